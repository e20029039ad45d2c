import { ModelError, mismatch, OptionError } from "../errors.ts";
import type { ByteSource, Files } from "../source.ts";
import { FIRST, type Flow, ForwardSource } from "./forward.ts";
import { type Answer, Client, type Fetch, TIMING, Transient } from "./hub-client.ts";

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
  const running = new Set<ForwardSource>();
  return { name: `${url}`, open: (file) => new RemoteFile(client, new URL(file, base).href, running).open() };
}

/** Of an empty file, which has no first byte. */
const NOTHING: Flow = { begin: 0, end: 0, read: async () => undefined, close() {} };

class RemoteFile {
  #size = 0;
  #etag: string | null = null;
  /** Whether parts are asked for. */
  #ranges = true;

  constructor(
    private readonly client: Client,
    private readonly url: string,
    private readonly running: Set<ForwardSource>,
  ) {}

  /** Undefined if there is no such file, or a page in its place. */
  async open(): Promise<ByteSource | undefined> {
    const { client, url, running } = this;
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
    const { running } = this;
    for (const source of running) if (!source.runs) running.delete(source);
    const [oldest] = running;
    if (oldest && running.size >= RUNNING) oldest.pause();
  }

  /** Finds out how long the file is; the flow of its first bytes. */
  async #first(): Promise<Flow | undefined> {
    const { client, url } = this;
    const answer = await this.#ask(0, FIRST);
    const { status, headers } = answer.response;
    if (status === 416) {
      answer.close();
      return NOTHING;
    }
    if (status === 404 || headers.get("content-type")?.startsWith("text/html")) {
      answer.close();
      if (status === 404 || answer.response.ok) return undefined;
    }
    client.check(answer, url);
    this.#etag = headers.get("etag");
    const part = partOf(answer.response);
    if (part?.begin === 0 && part.size !== undefined) {
      this.#size = part.size;
      return this.#flow(answer, 0, part.end ?? part.size);
    }
    if (status === 206 && this.#ranges) {
      // It gives parts, but of a file of unknown length, or compressed ones, or does not let a page see which.
      answer.close();
      this.#ranges = false;
      return this.#first();
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

  async #start(from: number, to: number): Promise<Flow> {
    const { client, url } = this;
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
    const range = this.#ranges ? { range: `bytes=${begin}-${end - 1}` } : undefined;
    return this.client.open(this.url, { subject: this.url, headers: { "accept-encoding": "identity", ...range } });
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
  const encoded = (headers.get("content-encoding") ?? "identity") !== "identity";
  if (status === 200) {
    const length = headers.get("content-length");
    return encoded || length === null ? { begin: 0 } : { begin: 0, size: Number(length) };
  }
  const range = headers.get("content-range")?.match(/^bytes (\d+)-(\d+)\/(\d+)$/);
  if (status !== 206 || encoded || !range) return undefined;
  return { begin: Number(range[1]), end: Number(range[2]) + 1, size: Number(range[3]) };
}

/** What an answer says of itself, as errors show it. */
function foundIn({ status, headers }: Response): string {
  return headers.get("content-range") ?? `HTTP ${status}, Content-Length ${headers.get("content-length")}`;
}
