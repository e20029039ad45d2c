import { checkKey, expiryOf, type PutOptions, type SessionStore, type Stored } from "./store.ts";

/** The part of a Durable Object's storage that is used within a transaction. */
export interface DurableTransaction {
  get(key: string): Promise<unknown>;
  get(keys: string[]): Promise<Map<string, unknown>>;
  put(entries: Record<string, unknown>): Promise<void>;
  delete(keys: string[]): Promise<number>;
  list(options: { prefix: string }): Promise<Map<string, unknown>>;
}

/** The part of a Durable Object's storage that is used (`ctx.storage`). */
export interface DurableStorage {
  transaction<T>(work: (transaction: DurableTransaction) => Promise<T>): Promise<T>;
}

/** What is under a key; the bytes are in parts beside it. */
interface Entry {
  readonly version: string;
  /** ms since 1970. */
  readonly expires: number;
  readonly parts: number;
}

/** Bytes of a part: both kinds of Durable Objects hold so many under a key. */
const PART = 120_000;
/** Keys that one call may name. */
const MOST_KEYS = 128;
/** Puts between two times that expired values are deleted. */
const CLEAN_EVERY = 256;
const HEAD = "session:";

/**
 * Values in the storage of a Durable Object, in parts, as its values are small. A stub of an object whose class has these
 * four methods is a store as well.
 *
 * @example
 * export class Sessions extends DurableObject {
 *   store = durableStore(this.ctx.storage);
 *   get(key) { return this.store.get(key); } // and put, delete, list
 * }
 */
export function durableStore(storage: DurableStorage): SessionStore {
  let puts = 0;
  return {
    async get(key: string): Promise<Stored | undefined> {
      checkKey(key);
      return storage.transaction(async (transaction) => {
        const entry = await entryOf(transaction, key);
        if (!entry || entry.expires <= Date.now()) return undefined;
        return { bytes: await readParts(transaction, entry), version: entry.version };
      });
    },
    async put(key: string, bytes: Uint8Array, { ifVersion, ttl }: PutOptions = {}): Promise<string | undefined> {
      checkKey(key);
      return storage.transaction(async (transaction) => {
        if (puts++ % CLEAN_EVERY === 0) await clean(transaction);
        const before = await entryOf(transaction, key);
        const there = before && before.expires > Date.now() ? before.version : null;
        if (ifVersion !== undefined && ifVersion !== there) return undefined;
        const entry = { version: crypto.randomUUID(), expires: expiryOf(ttl), parts: Math.ceil(bytes.length / PART) };
        for (const names of inGroups(partsOf(entry))) {
          const parts = names.map(([name, i]) => [name, bytes.slice(i * PART, (i + 1) * PART)]);
          await transaction.put(Object.fromEntries(parts));
        }
        await transaction.put({ [HEAD + key]: entry });
        if (before) await deleteParts(transaction, before);
        return entry.version;
      });
    },
    async delete(key: string): Promise<boolean> {
      checkKey(key);
      return storage.transaction((transaction) => remove(transaction, key));
    },
    async list(prefix: string): Promise<string[]> {
      return storage.transaction(async (transaction) => {
        const now = Date.now();
        const found = (await transaction.list({ prefix: HEAD + prefix })) as Map<string, Entry>;
        const valid = [...found].filter(([, { expires }]) => expires > now);
        return valid.map(([name]) => name.slice(HEAD.length)).sort();
      });
    },
  };
}

async function entryOf(transaction: DurableTransaction, key: string): Promise<Entry | undefined> {
  return (await transaction.get(HEAD + key)) as Entry | undefined;
}

/** The keys of a value's parts. */
function partsOf({ version, parts }: Entry): [name: string, index: number][] {
  return Array.from({ length: parts }, (_, i) => [`part:${version}:${i}`, i]);
}

function inGroups<T>(all: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(all.length / MOST_KEYS) }, (_, i) => {
    return all.slice(i * MOST_KEYS, (i + 1) * MOST_KEYS);
  });
}

async function readParts(transaction: DurableTransaction, entry: Entry): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (const names of inGroups(partsOf(entry))) {
    const found = (await transaction.get(names.map(([name]) => name))) as Map<string, Uint8Array>;
    parts.push(...names.map(([name]) => found.get(name) as Uint8Array));
  }
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  for (const [i, part] of parts.entries()) bytes.set(part, i * PART);
  return bytes;
}

async function deleteParts(transaction: DurableTransaction, entry: Entry): Promise<void> {
  for (const names of inGroups(partsOf(entry))) await transaction.delete(names.map(([name]) => name));
}

/** Whether it was there and had not expired. */
async function remove(transaction: DurableTransaction, key: string): Promise<boolean> {
  const entry = await entryOf(transaction, key);
  if (!entry) return false;
  await deleteParts(transaction, entry);
  await transaction.delete([HEAD + key]);
  return entry.expires > Date.now();
}

async function clean(transaction: DurableTransaction): Promise<void> {
  const now = Date.now();
  for (const [name, { expires }] of (await transaction.list({ prefix: HEAD })) as Map<string, Entry>) {
    if (expires <= now) await remove(transaction, name.slice(HEAD.length));
  }
}
