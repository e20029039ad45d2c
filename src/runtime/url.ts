import { ModelError, mismatch, OptionError } from "../errors.ts";
import type { ByteSource, Files } from "../source.ts";
import { FIRST, type Flow, ForwardSource } from "./forward.ts";
import { type Answer, Client, type Fetch, HubError, TIMING, Transient } from "./hub-client.ts";

export interface UrlOptions {
  /** In place of the global one: that of a service binding, for instance. */
  readonly fetch?: Fetch | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Sent with every request, but to no other origin. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** Answers that are left running, of all files; browsers and workers have six connections. */
const RUNNING = 3;

/**
 * A directory on an HTTP server, such as `https://example.com/models/small/`. Files are read by ranges where the server
 * gives them, else as one stream each, and nothing is kept; what breaks off goes on where it broke.
 *
 * @example
 * const model = await load(filesFromUrl("https://example.com/models/small/"));
 */
export function filesFromUrl(url: string | URL, options: UrlOptions = {}, timing = TIMING): Files {
  const { signal = new AbortController().signal, fetch, headers } = options;
  const page = globalThis.location?.href;
  if (!URL.canParse(url, page)) throw new OptionError(mismatch("url", "an http or https address", `${url}`));
  const base = new URL(url, page);
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  const client = new Client(base.origin, undefined, signal, timing, { fetch, headers });
  const site: Site = { client, ranges: true, running: new Set() };
  return { name: `${url}`, open: (file) => new RemoteFile(site, new URL(file, base).href).open() };
}

/** What the files of a directory share. */
interface Site {
  readonly client: Client;
  /** Whether parts are asked for, as they are stored: until that turns out to be of no use. */
  ranges: boolean;
  /** Files whose answers run, those first that were asked for first. */
  readonly running: Set<ForwardSource>;
}

/** Of an empty file, which has no first byte. */
const NOTHING: Flow = { begin: 0, end: 0, read: async () => undefined, close() {} };

class RemoteFile {
  #size = 0;
  #etag: string | null = null;

  constructor(
    private readonly site: Site,
    private readonly url: string,
  ) {}

  /** Undefined if there is no such file, or a page in its place. */
  async open(): Promise<ByteSource | undefined> {
    const { url } = this;
    const { client, running } = this.site;
    this.#makeRoom();
    const flow = await client.retry(() => this.#first());
    if (!flow) return undefined;
    const source: ForwardSource = new ForwardSource(
      url,
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

  /** Ends the oldest answer if one more would be too many. */
  #makeRoom(): void {
    const { running } = this.site;
    for (const source of running) if (!source.runs) running.delete(source);
    const [oldest] = running;
    if (oldest && running.size >= RUNNING) oldest.pause();
  }

  /** Finds out how long the file is; the flow of its first bytes. */
  async #first(): Promise<Flow | undefined> {
    const { site, url } = this;
    const { client } = site;
    const answer = await this.#ask(0, FIRST).catch((error) => {
      // A browser may have refused the answer for what was asked: as a part, or compressed all the same.
      if (!site.ranges || !(error instanceof HubError) || error instanceof Transient) throw error;
    });
    if (!answer) return this.#firstAsPage();
    const { status, headers, ok } = answer.response;
    const page = ok && headers.get("content-type")?.startsWith("text/html");
    if (status === 404 || status === 416 || page) {
      answer.close();
      return status === 416 ? NOTHING : undefined;
    }
    client.check(answer, url);
    this.#etag = headers.get("etag");
    const part = partOf(answer.response);
    if (part?.begin === 0 && part.size !== undefined) {
      this.#size = part.size;
      return this.#flow(answer, 0, part.end ?? part.size);
    }
    if (site.ranges && (status === 206 || encoded(headers))) {
      // A part of a file of unknown length, or one that a page is not told of; or compressed all the same.
      answer.close();
      return this.#firstAsPage();
    }
    if (status !== 200) {
      answer.close();
      throw new ModelError(mismatch(url, "the file, or a part of it and its length", foundIn(answer.response)));
    }
    // Nobody says how long it is: it is read once to know.
    this.#size = 0;
    for (let bytes = await answer.read(); bytes; bytes = await answer.read()) this.#size += bytes.length;
    return this.#size === 0 ? NOTHING : this.#start(0, this.#size);
  }

  /** From now on files are asked for as a page is. */
  #firstAsPage(): Promise<Flow | undefined> {
    this.site.ranges = false;
    return this.#first();
  }

  async #start(from: number, to: number): Promise<Flow> {
    const { url } = this;
    const { client } = this.site;
    const answer = await this.#ask(from, to);
    client.check(answer, url);
    const { begin = Infinity, size = this.#size, end = size } = partOf(answer.response) ?? {};
    const etag = answer.response.headers.get("etag");
    const same = !etag || !this.#etag || etag === this.#etag;
    if (same && begin <= from && end > from && end <= size && size === this.#size)
      return this.#flow(answer, begin, end);
    answer.close();
    throw new ModelError(
      same
        ? mismatch(url, `bytes ${from}-${to - 1}/${this.#size}`, foundIn(answer.response))
        : mismatch(url, `the file that was opened, of ETag ${this.#etag}`, etag),
    );
  }

  #ask(begin: number, end: number): Promise<Answer> {
    const { client, ranges } = this.site;
    const headers = { range: `bytes=${begin}-${end - 1}`, "accept-encoding": "identity" };
    return client.open(this.url, { subject: this.url, headers: ranges ? headers : {} });
  }

  /** What ends before its time may come whole the next time. */
  #flow(answer: Answer, begin: number, end: number): Flow {
    const { url } = this;
    let at = begin;
    const read = async () => {
      const bytes = await answer.read();
      at += bytes?.length ?? 0;
      // Read to its very end, so that the connection serves the next request.
      const more = at === end ? await answer.read() : undefined;
      if (more || at > end) throw new ModelError(mismatch(url, `${end - begin} bytes from ${begin} on`, "more"));
      if (!bytes && at < end) throw new Transient(mismatch(url, `${end - begin} bytes from ${begin} on`, at - begin));
      return bytes;
    };
    return { begin, end, read, close: answer.close };
  }
}

/** The part of the file that an answer holds, as far as it says so; undefined if it is none, or not as it is stored. */
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

/** What an answer says of itself, as errors show it. */
function foundIn({ status, headers }: Response): string {
  return headers.get("content-range") ?? `HTTP ${status}, Content-Length ${headers.get("content-length")}`;
}
