import { LambentError, ModelError, mismatch } from "../base/errors.ts";
import { isOf, messageOf } from "../base/realm.ts";
import { type LogStore, USED } from "../store/log_store.ts";

/** A segment that sessions or snapshots of this process use. */
interface Entry {
  /** How many logs have it, and how many snapshots that are not forgotten. */
  logs: number;
  snapshots: number;
  /** In memory: until it is written, and as long as there is room. */
  bytes: Uint8Array | undefined;
  /** Whether the store has it. */
  written: boolean;
  /** Whether this process has put it there, and deletes it again. */
  owned: boolean;
}

/** One for each store, as what is deleted from it is what none of its users needs. */
const memories = new WeakMap<LogStore, LogMemory>();

/**
 * The segments that sessions of this process use: in a store, and in memory as long as they have room, the newest ones.
 * Names follow from bytes, so that sessions that have read the same have them once.
 */
export class LogMemory {
  readonly #store: LogStore;
  readonly #hash: (bytes: Uint8Array) => string;
  readonly #entries = new Map<string, Entry>();
  /** What was asked of the store last about a name. */
  readonly #asked = new Map<string, Promise<unknown>>();
  /** The segments that snapshots need, by the last one's name, and how many of these there are. */
  readonly #snapshots = new Map<string, { readonly names: readonly string[]; times: number }>();
  /** Bytes of segments in memory, and how many of them may stay there once they are written. */
  #bytes = 0;
  #most = 0;
  /** What is read, as hosts do not read into shared memory. */
  #bytesOf = new Uint8Array(0);

  private constructor(store: LogStore, hash: (bytes: Uint8Array) => string) {
    this.#store = store;
    this.#hash = hash;
  }

  /** That of a store, with room for `most` bytes at least; `hash` names segments. */
  static of(store: LogStore, most: number, hash: (bytes: Uint8Array) => string): LogMemory {
    const memory = memories.get(store) ?? new LogMemory(store, hash);
    memories.set(store, memory);
    memory.#most = Math.max(memory.#most, store.read ? most : Infinity);
    return memory;
  }

  /** A log has made a segment. */
  add(name: string, bytes: Uint8Array): void {
    if (this.#hold(name)) {
      const entry = this.#entries.get(name) as Entry;
      if (entry.written || entry.bytes) return;
      // The store has lost it.
      entry.bytes = bytes;
      this.#bytes += bytes.length;
    } else {
      this.#enter(name, { bytes, written: false });
    }
    // An error is told where a call waits for it, which asks again.
    this.#write(name).catch(() => {});
  }

  /** Another log has a segment that one has. */
  hold(name: string): void {
    if (!this.#hold(name)) throw new Error(`segment ${name} is not held`);
  }

  #hold(name: string): boolean {
    const entry = this.#entries.get(name);
    if (entry) entry.logs++;
    return entry !== undefined;
  }

  #enter(name: string, { bytes, written }: Pick<Entry, "bytes" | "written">): void {
    this.#entries.set(name, { logs: 1, snapshots: 0, bytes, written, owned: false });
    this.#bytes += bytes?.length ?? 0;
  }

  /** A log does not need it any more. */
  release(name: string): void {
    const entry = this.#entries.get(name);
    if (entry) entry.logs--;
    this.#dropUnused(name);
  }

  /** A snapshot needs these segments, the last of which is its last: they stay until it is forgotten. */
  promise(names: readonly string[]): void {
    const last = names.at(-1);
    if (last === undefined) return;
    const known = this.#snapshots.get(last);
    if (known) known.times++;
    else this.#snapshots.set(last, { names: [...names], times: 1 });
    for (const name of known ? [] : names) (this.#entries.get(name) as Entry).snapshots++;
  }

  /** A snapshot with that last segment is not needed any more. */
  forget(last: string): void {
    const known = this.#snapshots.get(last);
    if (!known || --known.times > 0) return;
    this.#snapshots.delete(last);
    for (const name of known.names) {
      (this.#entries.get(name) as Entry).snapshots--;
      this.#dropUnused(name);
    }
  }

  #dropUnused(name: string): void {
    const entry = this.#entries.get(name);
    if (!entry || entry.logs > 0 || entry.snapshots > 0) return;
    this.#entries.delete(name);
    this.#bytes -= entry.bytes?.length ?? 0;
    // What is left behind after an error is only space.
    this.#ask(name, () => (entry.owned ? this.#delete(name, entry.bytes) : undefined)).catch(() => {});
  }

  /** Deletes a segment that this process has put there, unless another one uses it. */
  async #delete(name: string, known: Uint8Array | undefined): Promise<void> {
    const isUsed = async () => (await this.#store.get(name + USED)) !== undefined;
    if (this.#entries.has(name) || (await isUsed())) return;
    const bytes = known ?? (await this.#store.get(name));
    await this.#store.delete(name);
    // Another process says that it uses it before it looks whether it is there, which may have been meanwhile.
    if (bytes && (await isUsed())) await this.#store.put(name, bytes);
  }

  /** Gets a segment for a log that is restored. Throws ModelError if it is not there, or damaged. */
  async get(name: string): Promise<Uint8Array> {
    const known = this.#entries.get(name);
    if (known?.bytes && !known.written) return known.bytes;
    // Even if it is in memory: deleteSegments knows nothing of that.
    return this.#ask(name, async () => {
      if (!known) await this.#store.put(name + USED, new Uint8Array(0));
      const bytes = await this.#store.get(name);
      if (!known && !bytes) await this.#store.delete(name + USED);
      try {
        return this.#checked(name, bytes);
      } catch (error) {
        if (known) this.#lose(known);
        throw error;
      }
    });
  }

  #checked(name: string, bytes: Uint8Array | undefined): Uint8Array {
    if (!bytes) throw new ModelError(mismatch(`segment ${name}`, "a file of the log", "none"));
    if (!isOf("Uint8Array", bytes)) throw new ModelError(mismatch(`segment ${name}`, "bytes", bytes));
    const found = this.#hash(bytes);
    if (found === name) return bytes;
    throw new ModelError(mismatch(`segment ${name}`, "bytes of that hash", `${found}: it is damaged`));
  }

  /**
   * The store no longer has it, or not as it was, and may have lost others: a session that has one in memory, or makes it
   * again, writes it again.
   */
  #lose(entry: Entry): void {
    this.#bytes -= entry.bytes?.length ?? 0;
    entry.bytes = undefined;
    for (const other of this.#entries.values()) other.written = false;
  }

  /** A log that is restored has it, as `get` gave it. */
  keep(name: string, bytes: Uint8Array): void {
    if (this.#hold(name)) return;
    this.#enter(name, { bytes, written: true });
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
    const entry = this.#entries.get(name);
    if (entry?.bytes) {
      into.set(entry.bytes.subarray(offset, offset + into.length));
      return;
    }
    if (this.#bytesOf.length !== into.length) this.#bytesOf = new Uint8Array(into.length);
    try {
      this.#store.read?.(name, offset, this.#bytesOf);
      into.set(this.#bytesOf);
    } catch (error) {
      if (entry) this.#lose(entry);
      throw new LambentError(`segment ${name} of the log cannot be read: ${messageOf(error)}`);
    }
  }

  async #write(name: string): Promise<void> {
    const entry = this.#entries.get(name) as Entry;
    const { bytes } = entry;
    if (!bytes) return;
    await this.#ask(name, async () => {
      if (entry.written) return;
      try {
        entry.owned = (await this.#store.put(name, bytes)) || !(await this.#shares(name, bytes));
        entry.written = true;
      } catch (error) {
        throw new LambentError(`segment ${name} of the log cannot be written: ${messageOf(error)}`, { cause: error });
      }
    });
    this.#makeRoom();
  }

  /** Uses a segment that was in the store before; false if that was damaged, and has been replaced. */
  async #shares(name: string, bytes: Uint8Array): Promise<boolean> {
    await this.#store.put(name + USED, new Uint8Array(0));
    try {
      this.#checked(name, await this.#store.get(name));
      return true;
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
      await this.#store.delete(name);
      await this.#store.put(name, bytes);
      return false;
    }
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
