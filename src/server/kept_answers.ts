import { link } from "../session/chat_keys.ts";
import type { Resume } from "../session/resume.ts";
import type { SessionStore } from "../store/store.ts";
import type { Task } from "./task.ts";

/** How answers are kept. */
export interface KeepingOptions {
  /** The least seconds between two times that an answer is kept. */
  readonly seconds: number;
  /** Seconds that it stays in the store. */
  readonly ttl: number;
}

/** Where an answer is kept until it has ended. */
export interface KeptAnswer extends Resume {
  end(): Promise<unknown>;
}

/**
 * Answers that are being written, in a store: a server that is asked the same again goes on with one that was cut off.
 * Only those to tasks with a seed, as others need not be the same.
 */
export class KeptAnswers {
  readonly #store: SessionStore;
  readonly #options: KeepingOptions;

  constructor(store: SessionStore, options: KeepingOptions) {
    this.#store = store;
    this.#options = options;
  }

  /** Where the answer to a task is kept. What the store fails to do only costs time. */
  async of(task: Task): Promise<KeptAnswer | undefined> {
    if (task.options.seed === undefined) return undefined;
    const store = this.#store;
    const { seconds, ttl } = this.#options;
    const key = `answers/${await link("answer", JSON.stringify(task))}`;
    const failed = () => undefined;
    return {
      seconds,
      get: async () => (await store.get(key).catch(failed))?.bytes,
      put: (bytes) => store.put(key, bytes, { ttl }).catch(failed),
      end: () => store.delete(key).catch(failed),
    };
  }
}
