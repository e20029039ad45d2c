import type { ChatStore } from "./chat.ts";

/** States that are kept whatever they take: those before and after an answer. */
const LEAST = 2;

/** A ChatStore in memory: beyond `most` bytes, what was used least recently is forgotten, but for the last two states. */
export class MemoryStore implements ChatStore {
  readonly #most: number;
  readonly #states = new Map<string, Uint8Array>();
  #bytes = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Bytes of all states. */
  get bytes(): number {
    return this.#bytes;
  }

  async latest(keys: readonly string[]): Promise<readonly [index: number, state: Uint8Array] | undefined> {
    const index = keys.findLastIndex((key) => this.#states.has(key));
    if (index < 0) return undefined;
    const key = keys[index] as string;
    const state = this.#states.get(key) as Uint8Array;
    this.put(key, state);
    return [index, state];
  }

  put(key: string, state: Uint8Array): void {
    this.#bytes += state.length - (this.#states.get(key)?.length ?? 0);
    this.#states.delete(key);
    this.#states.set(key, state);
    for (const [old, { length }] of this.#states) {
      if (this.#bytes <= this.#most || this.#states.size <= LEAST) break;
      this.#states.delete(old);
      this.#bytes -= length;
    }
  }
}
