import type { ChatStore } from "./chat.ts";

/** States that are kept whatever they take: those before and after an answer. */
const LEAST = 2;

/** A ChatStore in memory: beyond `most` bytes, what was used least recently is forgotten, but for the last two states. */
export class MemoryStore implements ChatStore {
  readonly #most: number;
  readonly #forget: (state: Uint8Array) => void;
  readonly #states = new Map<string, Uint8Array>();
  #bytes = 0;

  /** @param forget called with states that are not kept any more */
  constructor(most: number, forget: (state: Uint8Array) => void = () => {}) {
    this.#most = most;
    this.#forget = forget;
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
    const before = this.#states.get(key);
    this.#states.delete(key);
    this.#states.set(key, state);
    this.#bytes += state.length;
    if (before) this.#drop(before, before === state);
    for (const [old, state] of this.#states) {
      if (this.#bytes <= this.#most || this.#states.size <= LEAST) break;
      this.#states.delete(old);
      this.#drop(state);
    }
  }

  #drop(state: Uint8Array, stays = false): void {
    this.#bytes -= state.length;
    if (!stays) this.#forget(state);
  }

  /** Forgets all states. */
  clear(): void {
    for (const state of this.#states.values()) this.#drop(state);
    this.#states.clear();
  }
}
