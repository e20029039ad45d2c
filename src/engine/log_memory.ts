import { LambentError, ModelError, mismatch } from "../base/errors.ts";
import { messageOf } from "../base/realm.ts";
import type { LogStore } from "../store/log_store.ts";

/** A segment that sessions use. */
interface Entry {
  /** How many logs have it. */
  logs: number;
  /** In memory: until it is written, and as long as there is room. */
  bytes: Uint8Array | undefined;
  /** Whether the store has it. */
  written: boolean;
  /** Whether it is deleted with its last log: it was put by this process, and no snapshot names it. */
  deletes: boolean;
}

/**
 * The segments that an engine's sessions use: in a store, and in memory as long as they have room, the newest ones. Names
 * follow from bytes, so that sessions that have read the same have them once.
 */
export class LogMemory {
  readonly #store: LogStore;
  /** Bytes of segments in memory, without those that are not yet written. */
  readonly #most: number;
  readonly #entries = new Map<string, Entry>();
  /** What was asked of the store last about a name. */
  readonly #asked = new Map<string, Promise<unknown>>();
  #bytes = 0;
  /** What is read, as hosts do not read into shared memory. */
  #bytesOf = new Uint8Array(0);
  /** Bytes that steps have read from the store. */
  bytesRead = 0;

  constructor(store: LogStore, most: number) {
    this.#store = store;
    this.#most = store.read ? most : Infinity;
  }

  /** A log has made a segment. */
  add(name: string, bytes: Uint8Array): void {
    if (this.#hold(name)) return;
    this.#entries.set(name, { logs: 1, bytes, written: false, deletes: false });
    this.#bytes += bytes.length;
    // It is asked for again where somebody waits for it.
    this.#write(name).catch(() => {});
  }

  /** Another log has it. */
  hold(name: string): void {
    if (!this.#hold(name)) throw new Error(`segment ${name} is not held`);
  }

  #hold(name: string): boolean {
    const entry = this.#entries.get(name);
    if (entry) entry.logs++;
    return entry !== undefined;
  }

  /** A log does not need it any more. */
  release(name: string): void {
    const entry = this.#entries.get(name);
    if (!entry || --entry.logs > 0) return;
    this.#entries.delete(name);
    this.#bytes -= entry.bytes?.length ?? 0;
    if (entry.deletes || !entry.written) {
      // Once it is written, if it is being written; what is left behind after an error is only space.
      this.#ask(name, () => (entry.deletes && !this.#entries.has(name) ? this.#store.delete(name) : undefined)).catch(
        () => {},
      );
    }
  }

  /** A snapshot names it: it stays in the store. */
  promise(name: string): void {
    const entry = this.#entries.get(name);
    if (entry) entry.deletes = false;
  }

  /** Gets a segment for a log that is restored. Throws ModelError if it is not there. */
  async get(name: string): Promise<Uint8Array> {
    const known = this.#entries.get(name)?.bytes;
    const bytes = known ?? (await this.#ask(name, () => this.#store.get(name)));
    if (!bytes) throw new ModelError(mismatch(`segment ${name}`, "a file of the log", "none"));
    return bytes;
  }

  /** A log that is restored has it, as `get` gave it. */
  keep(name: string, bytes: Uint8Array): void {
    if (this.#hold(name)) return;
    this.#entries.set(name, { logs: 1, bytes, written: true, deletes: false });
    this.#bytes += bytes.length;
    this.#makeRoom();
  }

  /** Done when the store has these segments; rejects with what the store says. */
  async written(names: readonly string[]): Promise<void> {
    for (const name of names) {
      if (this.#entries.get(name)?.written === false) await this.#write(name);
    }
  }

  isWritten(name: string): boolean {
    return this.#entries.get(name)?.written !== false;
  }

  /** Copies bytes of a segment, from `offset` on. Throws LambentError, which names it, if they are not there. */
  read(name: string, offset: number, into: Uint8Array): void {
    const bytes = this.#entries.get(name)?.bytes;
    if (bytes) {
      into.set(bytes.subarray(offset, offset + into.length));
      return;
    }
    if (this.#bytesOf.length !== into.length) this.#bytesOf = new Uint8Array(into.length);
    try {
      this.#store.read?.(name, offset, this.#bytesOf);
      into.set(this.#bytesOf);
      this.bytesRead += into.length;
    } catch (error) {
      throw new LambentError(`segment ${name} of the log cannot be read: ${messageOf(error)}`);
    }
  }

  async #write(name: string): Promise<void> {
    const entry = this.#entries.get(name) as Entry;
    await this.#ask(name, async () => {
      if (entry.written || !entry.bytes) return;
      entry.deletes = await this.#store.put(name, entry.bytes).catch((error) => {
        throw new LambentError(`segment ${name} of the log cannot be written: ${messageOf(error)}`, { cause: error });
      });
      entry.written = true;
    });
    this.#makeRoom();
  }

  /** One thing at a time about each name. */
  #ask<T>(name: string, what: () => T | Promise<T>): Promise<T> {
    const before = this.#asked.get(name) ?? Promise.resolve();
    const asked = before.then(what, what);
    this.#asked.set(name, asked);
    const end = () => {
      if (this.#asked.get(name) === asked) this.#asked.delete(name);
    };
    asked.then(end, end);
    return asked;
  }

  #makeRoom(): void {
    for (const entry of this.#entries.values()) {
      if (this.#bytes <= this.#most) return;
      if (!entry.bytes || !entry.written) continue;
      this.#bytes -= entry.bytes.length;
      entry.bytes = undefined;
    }
  }
}
