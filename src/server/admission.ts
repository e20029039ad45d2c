import { ApiError } from "./errors.ts";

/** Seconds after which a client that was turned away may try again. */
const RETRY_AFTER = 1;

interface Waiting {
  admit(): void;
}

/**
 * Who may have a session: as many requests at once as the model has sessions, then a bounded queue, first come, first
 * served, then 429. A seat is given back once, whoever gives it back.
 */
export class Admission {
  readonly #seats: number;
  readonly #queue: number;
  #taken = 0;
  #waiting: Waiting[] = [];
  #closed = false;
  #emptied: (() => void)[] = [];

  /** @param limits seats: requests at once; queue: how many more may wait */
  constructor({ seats, queue }: { readonly seats: number; readonly queue: number }) {
    this.#seats = seats;
    this.#queue = queue;
  }

  get seats(): number {
    return this.#seats;
  }

  /** Requests that have a seat. */
  get active(): number {
    return this.#taken;
  }

  /** Requests that wait for one. */
  get waiting(): number {
    return this.#waiting.length;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Takes a seat, as soon as there is one; what it returns gives it back. Throws ApiError 429 if the queue is full, 503
   * after `close`, and the signal's reason.
   */
  async enter(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#closed) throw closing();
    if (this.#taken >= this.#seats) await this.#wait(signal);
    else this.#taken++;
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#leave();
    };
  }

  /** Turns away who comes from now on, and who waits; done when the last one has left. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const waiting of this.#waiting.splice(0)) waiting.admit();
    if (this.#taken > 0) await new Promise<void>((resolve) => this.#emptied.push(resolve));
  }

  #wait(signal: AbortSignal): Promise<void> {
    if (this.#waiting.length >= this.#queue) {
      const message = `all ${this.#seats} sessions are in use, and ${this.#queue} requests wait: try again later`;
      throw new ApiError(429, message, { code: "rate_limit_exceeded", retryAfter: RETRY_AFTER });
    }
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#waiting = this.#waiting.filter((other) => other !== waiting);
        reject(signal.reason);
      };
      const waiting: Waiting = {
        admit: () => {
          signal.removeEventListener("abort", abort);
          if (this.#closed) reject(closing());
          else resolve();
        },
      };
      signal.addEventListener("abort", abort, { once: true });
      this.#waiting.push(waiting);
    });
  }

  /** The seat goes to the one that waits longest. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (next) next.admit();
    else this.#taken--;
    if (this.#taken === 0) for (const resolve of this.#emptied.splice(0)) resolve();
  }
}

function closing(): ApiError {
  return new ApiError(503, "the server is shutting down", { code: "shutting_down", retryAfter: RETRY_AFTER });
}
