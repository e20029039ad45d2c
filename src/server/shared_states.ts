import type { ChatStore } from "../session/chat.ts";
import { MemoryStore } from "../session/chat_store.ts";
import type { SessionStore } from "../store/store.ts";
import { Pending } from "./pending.ts";
import { StoreError } from "./watched_store.ts";

/** Bytes of states that are kept in memory. */
const MEMORY_BYTES = 2 ** 28;
/** States that may be on their way to the store before an answer waits. */
const MOST_WRITES = 4;
/** How many keys are looked up, the last ones: a chat that went on is found by one of them. */
const LOOKS = 8;

/** How states are kept. */
export interface SharedOptions {
  /** Seconds that they stay in the store. */
  readonly ttl: number;
  /** What the server waits for before it ends. */
  readonly pending: Pending;
}

/**
 * States of chats in a store that servers share, memory before it. Keys say all that a state has read, so what two put
 * under one key is the same. A state that cannot be had is read again, one that cannot be put stays in memory.
 */
export class SharedStates implements ChatStore {
  readonly #store: SessionStore;
  readonly #memory = new MemoryStore(MEMORY_BYTES);
  readonly #ttl: number;
  readonly #pending: Pending;
  readonly #writes = new Pending();

  constructor(store: SessionStore, { ttl, pending }: SharedOptions) {
    this.#store = store;
    this.#ttl = ttl;
    this.#pending = pending;
  }

  async latest(keys: readonly string[]): Promise<readonly [index: number, state: Uint8Array] | undefined> {
    const known = await this.#memory.latest(keys);
    for (const index of placesToLook(keys.length, known?.[0] ?? -1)) {
      const key = keys[index] as string;
      const found = await this.#store.get(nameOf(key)).catch(unlessStore);
      if (found === "failed") break;
      if (!found) continue;
      this.#memory.put(key, found.bytes);
      return [index, found.bytes];
    }
    return known;
  }

  async put(key: string, state: Uint8Array): Promise<void> {
    this.#memory.put(key, state);
    const written = this.#pending.begin();
    const done = await this.#writes.beginAmong(MOST_WRITES);
    const put = this.#store.put(nameOf(key), state, { ttl: this.#ttl }).catch(unlessStore);
    void put.finally(done).finally(written);
  }
}

function nameOf(key: string): string {
  return `states/${key}`;
}

/** Places behind `known` from the last one on; the first one is that of the system's turn, which many chats share. */
function* placesToLook(count: number, known: number): Generator<number> {
  const end = Math.max(known + 1, count - LOOKS);
  for (let index = count - 1; index >= end; index--) yield index;
  if (known < 0 && end > 0) yield 0;
}

/** The error has been counted. */
function unlessStore(error: unknown): "failed" {
  if (error instanceof StoreError) return "failed";
  throw error;
}
