/** One file on an HTTP server, read by ranges if the server supports them, otherwise as one stream. */
import { ModelError, mismatch } from "../base/errors.ts";
import type { ByteSource } from "../base/source.ts";
import { FIRST, type Flow, ForwardSource } from "./forward.ts";
import { type Answer, type Client, HubError, Transient } from "./hub_client.ts";

/** The most responses that stay open, over all files; browsers and workers have six connections. */
const RUNNING = 3;

/** What the files of a directory share. */
export interface Site {
  readonly client: Client;
  /** Whether ranges of the stored bytes are requested, until that proves useless. */
  ranges: boolean;
  /** Files with open responses, oldest first. */
  readonly running: Set<ForwardSource>;
}

/** Why a file is not available; `certain`: the server says that it does not exist. */
export interface Absent {
  readonly absent: string;
  readonly certain: boolean;
}

/** For an empty file, which has no first byte. */
const NOTHING: Flow = { begin: 0, end: 0, read: async () => undefined, close() {} };

/** A file on an HTTP server, before it is opened. */
export class UrlFile {
  #size = 0;
  #etag: string | null = null;

  constructor(
    private readonly site: Site,
    private readonly url: string,
    /** Its name in errors. */
    private readonly name: string,
  ) {}

  async open(): Promise<ByteSource | Absent> {
    const { name } = this;
    const { client, running } = this.site;
    this.#makeRoom();
    const flow = await client.retry(() => this.#first());
    if ("absent" in flow) return flow;
    const source: ForwardSource = new ForwardSource(
      name,
      this.#size,
      (begin, end) => {
        running.delete(source);
        this.#makeRoom();
        running.add(source);
        return this.#start(begin, end);
      },
      (attempt, advanced) => client.retry(attempt, advanced),
      flow,
    );
    running.add(source);
    return source;
  }

  /** Closes the oldest response if one more would exceed the limit. */
  #makeRoom(): void {
    const { running } = this.site;
    for (const source of running) if (!source.runs) running.delete(source);
    const [oldest] = running;
    if (oldest && running.size >= RUNNING) oldest.pause();
  }

  /** Determines the length of the file; returns the flow of its first bytes. */
  async #first(): Promise<Flow | Absent> {
    const { site, name } = this;
    const { client } = site;
    const found = await this.#ask(0, FIRST).catch((error) => {
      // A browser may have rejected the response to such a request: partial, or compressed anyway.
      if (!site.ranges || !(error instanceof HubError) || error instanceof Transient) throw error;
    });
    if (!found) return this.#firstAsPage();
    const { status, headers } = found.response;
    if (status === 416) {
      found.close();
      return NOTHING;
    }
    const absent = await absence(found, name);
    if (absent) return absent;
    client.check(found, name);
    const answer = await peek(found);
    if (isPage(answer.text, headers)) {
      answer.close();
      return { absent: `a web page of ${answer.host}`, certain: false };
    }
    this.#etag = etagOf(headers);
    const part = partOf(answer.response);
    if (part?.begin === 0 && part.size !== undefined) {
      this.#size = part.size;
      return this.#flow(answer, 0, part.end ?? part.size);
    }
    if (site.ranges && (status === 206 || encoded(headers))) {
      // A range of a file of unknown length, or of a length that the page may not see; or compressed anyway.
      answer.close();
      return this.#firstAsPage();
    }
    if (status !== 200) {
      answer.close();
      throw new ModelError(mismatch(name, "the file, or a part of it and its length", foundIn(answer.response)));
    }
    // The length is unknown: the file is read once to find out.
    this.#size = 0;
    for (let bytes = await answer.read(); bytes; bytes = await answer.read()) this.#size += bytes.length;
    return this.#size === 0 ? NOTHING : this.#start(0, this.#size);
  }

  /** From now on files are requested without ranges. */
  #firstAsPage(): Promise<Flow | Absent> {
    this.site.ranges = false;
    return this.#first();
  }

  async #start(from: number, to: number): Promise<Flow> {
    const { name } = this;
    const { client } = this.site;
    const answer = await this.#ask(from, to);
    client.check(answer, name);
    const { begin = Infinity, size = this.#size, end = size } = partOf(answer.response) ?? {};
    const etag = etagOf(answer.response.headers);
    const same = !etag || !this.#etag || etag === this.#etag;
    if (same && begin <= from && end > from && end <= size && size === this.#size)
      return this.#flow(answer, begin, end);
    answer.close();
    throw new ModelError(
      same
        ? mismatch(name, `bytes ${from}-${to - 1}/${this.#size}`, foundIn(answer.response))
        : mismatch(name, `the file that was opened, of ETag ${this.#etag}`, etag),
    );
  }

  #ask(begin: number, end: number): Promise<Answer> {
    const { client, ranges } = this.site;
    const headers = { range: `bytes=${begin}-${end - 1}`, "accept-encoding": "identity" };
    return client.open(this.url, { subject: this.name, headers: ranges ? headers : {} });
  }

  /** A response that ends early may be complete the next time. */
  #flow(answer: Answer, begin: number, end: number): Flow {
    const { name } = this;
    let at = begin;
    const read = async () => {
      const bytes = await answer.read();
      at += bytes?.length ?? 0;
      // Read to the very end, so that the connection can be reused.
      const more = at === end ? await answer.read() : undefined;
      if (more || at > end) throw new ModelError(mismatch(name, `${end - begin} bytes from ${begin} on`, "more"));
      if (!bytes && at < end) throw new Transient(mismatch(name, `${end - begin} bytes from ${begin} on`, at - begin));
      return bytes;
    };
    return { begin, end, read, close: answer.close };
  }
}

/** Whether a response says, or may mean, that there is no such file; not if a signature or token has expired. */
async function absence(answer: Answer, name: string): Promise<Absent | undefined> {
  const { status } = answer.response;
  if (![204, 400, 403, 404, 410].includes(status)) return undefined;
  const certain = status === 404 || status === 410;
  const absent = `HTTP ${status}`;
  const { text } = certain ? { text: "" } : await peek(answer, ERROR_BYTES);
  answer.close();
  if (/\b(?:expired|signature|credentials?)/i.test(text.replace(/<(HostId|RequestId)>.*?<\/\1>/g, "")))
    throw new HubError(
      mismatch(name, `an answer from ${answer.host}`, `${absent}: the signature or token is invalid or has expired`),
    );
  return { absent, certain };
}

/** How much of an error's text is examined. */
const ERROR_BYTES = 4096;

/** A response and the start of its text, whose bytes are read again by the caller. */
async function peek(answer: Answer, least = 256): Promise<Answer & { text: string }> {
  const chunks: Uint8Array[] = [];
  for (let length = 0; length < least; ) {
    const bytes = await answer.read();
    if (!bytes) break;
    chunks.push(bytes);
    length += bytes.length;
  }
  const text = String.fromCharCode(...chunks.flatMap((bytes) => [...bytes.subarray(0, least)]));
  return { ...answer, text, read: async () => chunks.shift() ?? answer.read() };
}

/** Whether a web page was sent in place of a file, as from hosts that serve one page for every path. */
function isPage(text: string, headers: Headers): boolean {
  const html = headers.get("content-type")?.startsWith("text/html");
  // A byte order mark, compared by bytes; a chat template may start with a tag such as <s>.
  const begin = text.replace(/^\xef\xbb\xbf/, "").trimStart();
  return /^<(?:!doctype html|html)\b/i.test(begin) || (html === true && /^<(?:!|\?xml|head|body)/i.test(begin));
}

/** An ETag without the weak marker, which servers change between responses. */
function etagOf(headers: Headers): string | null {
  return headers.get("etag")?.replace(/^W\//, "") ?? null;
}

/** The range of the file that a response contains, as far as it says; undefined if it is none, or not as stored. */
function partOf({ status, headers }: Response): { begin: number; end?: number; size?: number } | undefined {
  if (status === 200) {
    const length = headers.get("content-length");
    return encoded(headers) || length === null ? { begin: 0 } : { begin: 0, size: Number(length) };
  }
  const range = headers.get("content-range")?.match(/^bytes (\d+)-(\d+)\/(\d+)$/);
  if (status !== 206 || encoded(headers) || !range) return undefined;
  return { begin: Number(range[1]), end: Number(range[2]) + 1, size: Number(range[3]) };
}

function encoded(headers: Headers): boolean {
  return (headers.get("content-encoding") ?? "identity") !== "identity";
}

/** A response's own description, as errors show it. */
function foundIn({ status, headers }: Response): string {
  return headers.get("content-range") ?? `HTTP ${status}, Content-Length ${headers.get("content-length")}`;
}
