import { mismatch, OptionError } from "../base/errors.ts";

interface Waiting {
  /** Takes its slot, or fails for a reason of its own. */
  admit(): void;
}

/** Work that waits for a slot. */
export interface Waited<T> {
  readonly done: Promise<T>;
  /** Ends the waiting, for a reason. */
  leave(reason: unknown): void;
}

/** The session slots of an engine: which are taken, and who waits for one. */
export class Slots {
  readonly #most: number;
  readonly #fits: (slot: number) => boolean;
  readonly #taken = new Set<number>();
  #waiting: Waiting[] = [];

  /** @param fits makes room in memory for a slot; false where there is none */
  constructor(most: number, fits: (slot: number) => boolean) {
    this.#most = most;
    this.#fits = fits;
  }

  /** The lowest free slot. Throws OptionError if there is none. */
  take(): number {
    const { slot, free } = this.#lowest();
    if (!free) throw new OptionError(mismatch("session", `at most ${slot} open at once`, `${slot + 1}`));
    this.#taken.add(slot);
    return slot;
  }

  /** Whether one can be had at once. */
  get free(): boolean {
    return this.#lowest().free;
  }

  /** Gives a slot back; the longest waiting goes on. */
  give(slot: number): void {
    if (!this.#taken.delete(slot)) return;
    while (this.#waiting.length > 0 && this.#lowest().free) this.#waiting.shift()?.admit();
  }

  /** Does `work`, which takes a slot, as soon as one is free: first come, first served. */
  whenFree<T>(work: () => T): Waited<T> {
    const { promise: done, resolve, reject } = Promise.withResolvers<T>();
    const waiting: Waiting = {
      admit() {
        try {
          resolve(work());
        } catch (error) {
          reject(error);
        }
      },
    };
    if (this.#lowest().free) waiting.admit();
    else this.#waiting.push(waiting);
    const leave = (reason: unknown) => {
      this.#waiting = this.#waiting.filter((other) => other !== waiting);
      reject(reason);
    };
    return { done, leave };
  }

  #lowest(): { slot: number; free: boolean } {
    let slot = 0;
    while (this.#taken.has(slot)) slot++;
    return { slot, free: slot < this.#most && this.#fits(slot) };
  }
}
