/** Requests to a hub or another server: redirects without the token, silence that ends, retries. */
import { LambentError, mismatch } from "../errors.ts";

/** The hub did not answer, or not as hoped; `status` and `code` (X-Error-Code) where there was an answer. */
export class HubError extends LambentError {
  override readonly name: string = "HubError";
  constructor(
    message: string,
    readonly status?: number,
    readonly code?: string | null,
  ) {
    super(message);
  }
}

/** One that may pass: it is tried again, not before `after` milliseconds. */
export class Transient extends HubError {
  after = 0;
}

/** Milliseconds, except for `retries`. Tests shorten them. */
export interface Timing {
  /** Longest silence of a server. */
  stall: number;
  /** The same for the first request when the cache could do without it. */
  probe: number;
  /** How often something that fails is tried again without getting further. */
  retries: number;
  /** Pause before the first retry; it doubles. */
  backoff: number;
  /** Longest pause, also where Retry-After asks for more. */
  patience: number;
}

export const TIMING: Timing = { stall: 30_000, probe: 10_000, retries: 5, backoff: 1000, patience: 60_000 };

const REDIRECTS = 10;
const API_LIMIT = 1 << 26;
/** Failures that trying again does not mend: a certificate that is not trusted, a host that nobody knows. */
const FINAL = /CERT|TLS|SSL|UNABLE_TO|ENOTFOUND/;
const TRANSIENT = new Set([408, 425, 429, 500, 502, 503, 504]);

export interface Ask {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
  /** What errors call it. */
  subject: string;
}

/** The part of the global fetch that is needed. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** The last response after redirects, read chunk by chunk. */
export interface Answer {
  response: Response;
  host: string;
  /** ETag that the hub itself gave the file, without quotes. */
  etag?: string | undefined;
  /** Next bytes; undefined at the end. */
  read(): Promise<Uint8Array | undefined>;
  close(): void;
}

export class Client {
  /** What is for the endpoint alone. */
  private readonly secret: Readonly<Record<string, string>>;
  private readonly send: Fetch;
  /** "follow" where the host shows nobody a redirect, as browsers do. */
  private redirect: "manual" | "follow" = "manual";
  /** Whether a server has ever answered. */
  private reached = false;

  constructor(
    readonly endpoint: string,
    readonly token: string | undefined,
    readonly signal: AbortSignal,
    readonly timing: Timing,
    { fetch: own, headers }: { fetch?: Fetch | undefined; headers?: Readonly<Record<string, string>> | undefined } = {},
  ) {
    this.secret = { ...headers, ...(token ? { authorization: `Bearer ${token}` } : undefined) };
    this.send = own ?? ((url, init) => fetch(url, init));
  }

  /** A fetch for API calls: retried, and whole when it returns; it throws where the status is no success. */
  fetch(subject: string): typeof fetch {
    const call = (input: string | URL | Request, init?: RequestInit) =>
      this.retry(async () => {
        const { method = "GET", body } = init ?? {};
        const headers = Object.fromEntries(new Headers(init?.headers as HeadersInit).entries());
        const ask: Ask = { subject, method, headers };
        if (typeof body === "string") ask.body = body;
        const answer = await this.open(String(input), ask);
        this.check(answer, subject);
        const chunks: Uint8Array[] = [];
        let length = 0;
        for (let chunk = await answer.read(); chunk; chunk = await answer.read()) {
          length += chunk.length;
          if (length > API_LIMIT) {
            answer.close();
            throw new HubError(mismatch(subject, `an answer of at most ${API_LIMIT} bytes`, "more"));
          }
          chunks.push(chunk);
        }
        return new Response(new Blob(chunks as BlobPart[]), { headers: { "content-type": "application/json" } });
      });
    return call as typeof fetch;
  }

  /** Tries again what fails in passing; the count starts anew whenever `advanced` says that it got further. */
  async retry<T>(attempt: () => Promise<T>, advanced: () => boolean = () => false): Promise<T> {
    for (let failures = 0; ; ) {
      try {
        return await attempt();
      } catch (error) {
        this.signal.throwIfAborted();
        if (!(error instanceof Transient)) throw error;
        failures = advanced() ? 1 : failures + 1;
        if (failures > this.timing.retries) throw error;
        const pause = Math.max(this.timing.backoff * 2 ** (failures - 1) * (0.75 + Math.random() / 2), error.after);
        await sleep(Math.min(pause, this.timing.patience), this.signal);
        this.signal.throwIfAborted();
      }
    }
  }

  /** One request with its redirects. Only the endpoint gets the token, and If-Range, whose ETag is the endpoint's. */
  async open(address: string, ask: Ask): Promise<Answer> {
    const { subject, headers: { "if-range": ifRange, ...headers } = {}, ...init } = ask;
    const home = new URL(this.endpoint).origin;
    const control = new AbortController();
    let url = new URL(address);
    let etag: string | undefined;
    try {
      for (let hop = 0; hop <= REDIRECTS; hop++) {
        const own: Record<string, string> = { ...headers };
        if (url.origin === home) Object.assign(own, this.secret, ifRange && { "if-range": ifRange });
        const { redirect, send } = this;
        const request = send(url.href, { ...init, headers: own, redirect, signal: control.signal });
        const response = await this.within(request, subject, url.host);
        this.reached = true;
        if (response.type === "opaqueredirect" && response.status === 0) {
          this.follow(subject, url.host);
          continue;
        }
        const location = response.status >= 300 && response.status < 400 ? response.headers.get("location") : null;
        if (url.origin === home) etag = response.headers.get("x-linked-etag") ?? response.headers.get("etag") ?? etag;
        if (location === null) return this.answer(response, url.host, etag, subject, control);
        response.body?.cancel().catch(() => {});
        const next = URL.canParse(location, url) ? new URL(location, url) : undefined;
        const safe = next?.protocol === "https:" || (next?.protocol === "http:" && url.protocol === "http:");
        if (!next || !safe) throw new HubError(mismatch(subject, `a redirect to https from ${url.host}`, location));
        url = next;
      }
      throw new HubError(mismatch(subject, `at most ${REDIRECTS} redirects`, "more"));
    } catch (error) {
      control.abort();
      throw error;
    }
  }

  /** Throws where the status is no success. */
  check({ response, host, close }: Answer, subject: string): void {
    const { status, headers } = response;
    if (response.ok) return;
    close();
    const text = mismatch(subject, `an answer from ${host}`, `HTTP ${status}`);
    const own = host === new URL(this.endpoint).host;
    if (!TRANSIENT.has(status)) throw new HubError(text, own ? status : undefined, headers.get("x-error-code"));
    const error = new Transient(text, status);
    const after = headers.get("retry-after");
    if (after) error.after = (/^\d+$/.test(after) ? Number(after) * 1000 : Date.parse(after) - Date.now()) || 0;
    throw error;
  }

  /** From now on the host follows redirects itself, as a browser must. It would take along what is for the endpoint alone. */
  private follow(subject: string, host: string): void {
    const own = Object.keys(this.secret).length > 0;
    if (own)
      throw new HubError(mismatch(subject, "an answer to a request with headers of its own", `a redirect by ${host}`));
    this.redirect = "follow";
  }

  private answer(response: Response, host: string, tag: string | undefined, subject: string, control: AbortController) {
    const reader = response.body?.getReader();
    const close = () => control.abort();
    const read = async () => {
      try {
        const result = await (reader && this.within(reader.read(), subject, host));
        return result?.done ? undefined : (result?.value as Uint8Array | undefined);
      } catch (error) {
        close();
        throw error;
      }
    };
    return { response, host, etag: tag?.replace(/^W\//, "").replaceAll('"', ""), read, close };
  }

  /** The promise, or the abort, or an error after too long a silence: whichever is first. */
  private async within<T>(work: Promise<T>, subject: string, host: string): Promise<T> {
    const { stall } = this.timing;
    let settle = () => {};
    const cut = new Promise<never>((_, reject) => {
      const silent = new Transient(mismatch(subject, `bytes from ${host} within ${stall / 1000} s`, "none"));
      const timer = setTimeout(() => reject(silent), stall);
      const abort = () => reject(this.signal.reason);
      this.signal.addEventListener("abort", abort, { once: true });
      settle = () => {
        clearTimeout(timer);
        this.signal.removeEventListener("abort", abort);
      };
      if (this.signal.aborted) abort();
    });
    try {
      return await Promise.race([work, cut]);
    } catch (error) {
      if (error instanceof LambentError || this.signal.aborted) throw error;
      const { name, code, cause, message } = error as Error & { code?: string; cause?: { code?: string } };
      const reason = code || cause?.code || message;
      // Browsers say no more than this, and say it of servers that are there too.
      if (name === "TypeError" && !code && !cause?.code && !this.reached) {
        const found = `${reason} (no connection, or not allowed by CORS)`;
        throw new HubError(mismatch(subject, `an answer from ${host}`, found));
      }
      const text = mismatch(subject, `an answer from ${host}`, reason);
      throw FINAL.test(String(reason)) ? new HubError(text) : new Transient(text);
    } finally {
      settle();
    }
  }
}

/** Until the time is over or the signal is aborted. */
function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done, { once: true });
  });
}
