import { LambentError, show } from "../base/errors.ts";
import type { PutOptions, SessionStore, Stored } from "../store/store.ts";

/** A call of a store that failed, for the log. */
export interface StoreFault {
  readonly event: "store";
  readonly operation: "get" | "put" | "delete" | "list";
  readonly error: string;
}

/** The store did not do what it was asked. */
export class StoreError extends LambentError {}

/** The most time of a call, in ms. */
const MOST_MS = 5000;

/** A store whose calls end in time: what fails is a StoreError, which `onFault` is told of. */
export class WatchedStore implements SessionStore {
  readonly #store: SessionStore;
  readonly #onFault: (fault: StoreFault) => void;
  readonly #mostMs: number;

  constructor(store: SessionStore, onFault: (fault: StoreFault) => void, mostMs = MOST_MS) {
    this.#store = store;
    this.#onFault = onFault;
    this.#mostMs = mostMs;
  }

  get(key: string): Promise<Stored | undefined> {
    return this.#watch("get", () => this.#store.get(key));
  }

  put(key: string, bytes: Uint8Array, options?: PutOptions): Promise<string | undefined> {
    return this.#watch("put", () => this.#store.put(key, bytes, options));
  }

  delete(key: string): Promise<boolean> {
    return this.#watch("delete", () => this.#store.delete(key));
  }

  list(prefix: string): Promise<string[]> {
    return this.#watch("list", () => this.#store.list(prefix));
  }

  async #watch<T>(operation: StoreFault["operation"], call: () => Promise<T>): Promise<T> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer in ${this.#mostMs} ms`)), this.#mostMs);
    });
    try {
      return await Promise.race([call(), late]);
    } catch (error) {
      const { message, code } = error as NodeJS.ErrnoException;
      // Some errors of clients have no message.
      const text = show(message || code || error);
      this.#onFault({ event: "store", operation, error: text });
      throw new StoreError(`the session store failed (${operation})`);
    } finally {
      clearTimeout(timer);
    }
  }
}
