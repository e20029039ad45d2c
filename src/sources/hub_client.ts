/** Requests to a hub or another server: redirects without the token, timeouts, retries. */
import { LambentError, mismatch } from "../base/errors.ts";
import { tick } from "../base/tick.ts";
import { authorizationOf, shown, withoutSecrets } from "./address.ts";
import { connectionFailure } from "./network.ts";

/** The hub did not answer, or not as expected; `status` and `code` (X-Error-Code) if there was an answer. */
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

/** A temporary failure: it is retried, not before `after` milliseconds. */
export class Transient extends HubError {
  after = 0;
}

/** Milliseconds, except `retries`. Tests shorten them. */
export interface Timing {
  /** The longest a server may stay silent. */
  stall: number;
  /** The same for the first request if the cache could do without it. */
  probe: number;
  /** Retries of a failing request that makes no progress. */
  retries: number;
  /** Pause before the first retry; it doubles. */
  backoff: number;
  /** The longest pause, even if Retry-After asks for more. */
  patience: number;
}

/** The timings in production. */
export const TIMING: Timing = { stall: 30_000, probe: 10_000, retries: 5, backoff: 1000, patience: 300_000 };

const REDIRECTS = 10;
const API_LIMIT = 1 << 26;
/** Failures that retrying does not fix: an untrusted certificate, an unknown host. */
const FINAL = /CERT|TLS|SSL|UNABLE_TO|ENOTFOUND|certificate|dns error/;
const TRANSIENT = new Set([408, 425, 429, 500, 502, 503, 504]);

/** A request, beside its URL. */
export interface Ask {
  method?: string;
  headers?: Record<string, string>;
  /** Its name in errors. */
  subject: string;
  /** Whether a redirect with the size of its target (X-Linked-Size) is enough of an answer. */
  linked?: boolean;
}

/** The part of the global fetch that is needed. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** The last response after redirects, read chunk by chunk. */
export interface Answer {
  response: Response;
  host: string;
  /** The hub's own ETag for the file, without quotes. */
  etag?: string | undefined;
  /** The next bytes; undefined at the end. */
  read(): Promise<Uint8Array | undefined>;
  close(): void;
}

/** Sends requests to one endpoint. */
export class Client {
  /** Without credentials. */
  readonly endpoint: string;
  private readonly home: URL;
  /** Headers for the endpoint only. */
  private readonly secret: Readonly<Record<string, string>>;
  private readonly send: Fetch;
  /** "follow" if the host does not expose redirects, as browsers do not. */
  private redirect: "manual" | "follow" = "manual";
  /** Whether a server has ever answered. */
  private reached = false;

  /** Credentials in the endpoint's URL replace the token, as in Python's httpx. */
  constructor(
    endpoint: string,
    readonly token: string | undefined,
    readonly signal: AbortSignal,
    readonly timing: Timing,
    { fetch: own, headers }: { fetch?: Fetch | undefined; headers?: Readonly<Record<string, string>> | undefined } = {},
  ) {
    this.home = new URL(endpoint);
    this.endpoint = shown(endpoint);
    const authorization = authorizationOf(this.home) ?? (token ? `Bearer ${token}` : undefined);
    const given = Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]);
    this.secret = { ...Object.fromEntries(given), ...(authorization ? { authorization } : undefined) };
    this.send = own ?? ((url, init) => fetch(url, init));
  }

  /** The same client with other timings. */
  with(timing: Timing): Client {
    return new Client(this.home.href.replace(/\/$/, ""), this.token, this.signal, timing);
  }

  /** A JSON document, with retries; throws if the status is no success. */
  json(address: string, subject: string): Promise<unknown> {
    return this.retry(async () => {
      const answer = await this.open(address, { subject });
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
      const text = await new Blob(chunks as BlobPart[]).text();
      try {
        return JSON.parse(text);
      } catch {
        throw new HubError(mismatch(subject, `JSON from ${answer.host}`, text));
      }
    });
  }

  /** Retries temporary failures; the count restarts whenever `advanced` says that there was progress. */
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
    const { subject, linked, headers: { "if-range": ifRange, ...headers } = {}, ...init } = ask;
    const { home } = this;
    const control = new AbortController();
    let url = new URL(address);
    let etag: string | undefined;
    try {
      for (let hop = 0; hop <= REDIRECTS; hop++) {
        // fetch does not accept them in a URL, and those of a redirect are not ours.
        url.username = url.password = "";
        const own: Record<string, string> = { ...headers };
        if (url.origin === home.origin) Object.assign(own, this.secret, ifRange && { "if-range": ifRange });
        const { redirect, send } = this;
        const request = send(url.href, { ...init, headers: own, redirect, signal: control.signal });
        const response = await this.within(request, subject, url);
        this.reached = true;
        if (response.type === "opaqueredirect" && response.status === 0) {
          this.follow(subject, url.host);
          continue;
        }
        const { status, headers: found } = response;
        const location = status >= 300 && status < 400 ? found.get("location") : null;
        if (url.origin === home.origin) etag = found.get("x-linked-etag") ?? found.get("etag") ?? etag;
        if (location === null || (linked && found.has("x-linked-size")))
          return this.answer(response, url, etag, subject, control);
        response.body?.cancel().catch(() => {});
        const next = URL.canParse(location, url) ? new URL(location, url) : undefined;
        const safe = next?.protocol === "https:" || (next?.protocol === "http:" && url.protocol === "http:");
        if (!next || !safe)
          throw new HubError(mismatch(subject, `a redirect to https from ${url.host}`, shown(location)));
        url = next;
      }
      throw new HubError(mismatch(subject, `at most ${REDIRECTS} redirects`, "more"));
    } catch (error) {
      control.abort();
      throw error;
    }
  }

  /** Throws if the status is no success. */
  check({ response, host, close }: Answer, subject: string): void {
    const { status, headers } = response;
    if (response.ok) return;
    close();
    const text = mismatch(subject, `an answer from ${host}`, `HTTP ${status}`);
    const own = host === this.home.host;
    if (!TRANSIENT.has(status)) throw new HubError(text, own ? status : undefined, headers.get("x-error-code"));
    const error = new Transient(text, status);
    error.after = pauseOf(headers);
    throw error;
  }

  /**
   * From now on the host follows redirects itself, as a browser must. It would forward headers meant for the endpoint.
   */
  private follow(subject: string, host: string): void {
    const own = Object.keys(this.secret).length > 0;
    if (own)
      throw new HubError(mismatch(subject, "an answer to a request with headers of its own", `a redirect by ${host}`));
    this.redirect = "follow";
  }

  private answer(response: Response, url: URL, tag: string | undefined, subject: string, control: AbortController) {
    const reader = response.body?.getReader();
    const close = () => {
      control.abort();
      reader?.cancel().catch(() => {});
    };
    // Empty chunks count as silence.
    const next = async () => {
      let result = await reader?.read();
      for (; result?.value?.length === 0 && !control.signal.aborted; result = await reader?.read()) await tick();
      return result?.done ? undefined : (result?.value as Uint8Array | undefined);
    };
    const read = async () => {
      try {
        return await this.within(next(), subject, url);
      } catch (error) {
        close();
        throw error;
      }
    };
    return { response, host: url.host, etag: tag?.replace(/^W\//, "").replaceAll('"', ""), read, close };
  }

  /** The promise, the abort, or an error after too long a silence, whichever comes first. */
  private async within<T>(work: Promise<T>, subject: string, url: URL): Promise<T> {
    const { stall } = this.timing;
    const { host } = url;
    let settle = () => {};
    const cut = new Promise<never>((_, reject) => {
      const silence = () =>
        mismatch(subject, `bytes from ${host} within ${stall / 1000} s`, connectionFailure(url, "none"));
      const timer = setTimeout(() => reject(new Transient(silence())), stall);
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
      const { name, code, cause, message } = error as {
        name?: string;
        code?: string;
        cause?: { code?: string; message?: string };
        message?: string;
      };
      const text = withoutSecrets(`${code || cause?.code || cause?.message || message}`);
      // Some errors repeat the address of the host, which this one has already.
      const reason = connectionFailure(url, text.replace(/^error sending request for url \(.*?\): /, ""));
      // Browsers say no more than this, even about servers that exist.
      if (name === "TypeError" && !code && !cause && !this.reached) {
        const found = `${reason} (no connection, or not allowed by CORS)`;
        throw new HubError(mismatch(subject, `an answer from ${host}`, found));
      }
      const failure = mismatch(subject, `an answer from ${host}`, reason);
      throw FINAL.test(reason) ? new HubError(failure) : new Transient(failure);
    } finally {
      settle();
    }
  }
}

/** Milliseconds that a server asks to wait: Retry-After, or the hub's rate limit (`"api";r=0;t=55`). */
function pauseOf(headers: Headers): number {
  const reset = headers.get("ratelimit")?.match(/;\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d+)/)?.[1];
  const after = headers.get("retry-after")?.trim();
  if (reset) return (Number(reset) + 1) * 1000;
  if (!after) return 0;
  return (/^\d+$/.test(after) ? Number(after) * 1000 : Date.parse(after) - Date.now()) || 0;
}

/** Resolves after the time, or rejects when the signal is aborted. */
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
