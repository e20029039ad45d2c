import type { SessionStore } from "./store.ts";

/**
 * Where the segments of sessions' logs are kept (engine/log.ts): immutable bytes under names that follow from them, so that
 * sessions which have read the same share them. Calls are done when the store has it.
 */
export interface LogStore {
  /** Whether it is new: false if the name was there already, which has the same bytes then. */
  put(name: string, bytes: Uint8Array): Promise<boolean>;
  /** Undefined if it is not there. */
  get(name: string): Promise<Uint8Array | undefined>;
  delete(name: string): Promise<unknown>;
  /**
   * Fills `into` with bytes of a segment that was put or got before, from `offset` on, at once: it is called within a step.
   * A store that cannot do so has every segment in memory that is looked at. Throws if there are no such bytes.
   */
  read?(name: string, offset: number, into: Uint8Array): void;
}

/** Tokens of a segment of a log. */
export const LOG_SEGMENT = 1024;

/** Behind the name of a segment: another process than the one that has put it there uses it, so that one leaves it. */
export const USED = ".used";

/** The number of the first segment that queries behind `length` tokens of a session can reach; below 0: all of them. */
export function firstReached(
  length: number,
  { nLocal, recallTokens }: { readonly nLocal: number; readonly recallTokens: number },
): number {
  return Math.floor((length - nLocal - recallTokens) / LOG_SEGMENT);
}

/** Segments in memory, for sessions of this process and snapshots that do not outlive it. */
export function memoryLog(): LogStore {
  const segments = new Map<string, Uint8Array>();
  return {
    async put(name, bytes) {
      if (segments.has(name)) return false;
      segments.set(name, bytes);
      return true;
    },
    async get(name) {
      return segments.get(name);
    },
    async delete(name) {
      return segments.delete(name);
    },
    read(name, offset, into) {
      const bytes = segments.get(name)?.subarray(offset, offset + into.length);
      if (bytes?.length !== into.length) throw new Error("it is not there");
      into.set(bytes);
    },
  };
}

/**
 * Segments among the values of a store of sessions: a bucket, a Durable Object, a database.
 *
 * @example
 * const model = await load(files, { recall: 4, recallStore: logIn(r2Store(env.SESSIONS)) });
 */
export function logIn(store: SessionStore, prefix = "segments/"): LogStore {
  return {
    async put(name, bytes) {
      return (await store.put(prefix + name, bytes, { ifVersion: null })) !== undefined;
    },
    async get(name) {
      return (await store.get(prefix + name))?.bytes;
    },
    delete: (name) => store.delete(prefix + name),
  };
}
