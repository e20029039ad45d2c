import { mismatch, OptionError } from "../base/errors.ts";

/** A value, and what tells it from every other one that has been under its key. */
export interface Stored {
  readonly bytes: Uint8Array;
  readonly version: string;
}

/** How a value is put. */
export interface PutOptions {
  /** Only in the place of this version; null: only where there is none. By default in the place of any. */
  readonly ifVersion?: string | null | undefined;
  /** Seconds after which the value is gone; by default it stays. */
  readonly ttl?: number | undefined;
}

/**
 * Where sessions are kept, so that several processes share them: bytes under keys of at most 200 letters, digits and
 * `. _ - : /`, no part `.` or `..`. Every call is atomic, and done when the store has it. Plain data go in and out, so that a store may also be
 * the stub of a Durable Object.
 */
export interface SessionStore {
  get(key: string): Promise<Stored | undefined>;
  /** The new version; undefined: `ifVersion` was not what is there, and nothing has changed. */
  put(key: string, bytes: Uint8Array, options?: PutOptions): Promise<string | undefined>;
  /** Whether it was there. */
  delete(key: string): Promise<boolean>;
  /** The keys that start with `prefix`, sorted; some may have expired. */
  list(prefix: string): Promise<string[]>;
}

/** A key as it is. Throws OptionError for one that is none. */
export function checkKey(key: string): string {
  // Addresses give "." and ".." a meaning of their own.
  if (typeof key === "string" && /^[\w.:/-]{1,200}$/.test(key) && !/(^|\/)\.\.?(\/|$)/.test(key)) return key;
  throw new OptionError(mismatch("key", "1 to 200 letters, digits and . _ - : /, no part . or ..", key));
}

/** When a value put now expires, in ms since 1970; Infinity: never. */
export function expiryOf(ttl: number | undefined): number {
  return ttl === undefined ? Infinity : Date.now() + 1000 * ttl;
}
