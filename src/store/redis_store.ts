import { checkKey, type PutOptions, type SessionStore, type Stored } from "./store.ts";

/** The part of a Redis client that is used: that of `ioredis`. */
export interface RedisClient {
  callBuffer(command: string, args: (string | Uint8Array | number)[]): Promise<unknown>;
}

/** What keys start with. */
export interface RedisStoreOptions {
  /** "lambent:" by default. */
  readonly prefix?: string | undefined;
}

/** Compares and sets a hash of version and data; a put that a client sends twice has the same version. */
const PUT = `
local version = redis.call('HGET', KEYS[1], 'v')
if ARGV[1] == 'none' and version and version ~= ARGV[3] then return 0 end
if ARGV[1] == 'same' and version ~= ARGV[2] and version ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[3], 'd', ARGV[4])
if ARGV[5] == '' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[5]) end
return 1`;

/**
 * Values in Redis from version 5 on, or Valkey: a hash each, put by a script that compares the version. What is put with a
 * time to live goes by itself.
 *
 * @example
 * const store = redisStore(new Redis("redis://127.0.0.1:6379")); // of ioredis
 */
export function redisStore(client: RedisClient, { prefix = "lambent:" }: RedisStoreOptions = {}): SessionStore {
  const keyOf = (key: string) => prefix + checkKey(key);
  return {
    async get(key: string): Promise<Stored | undefined> {
      const [version, bytes] = (await client.callBuffer("HMGET", [keyOf(key), "v", "d"])) as (Buffer | null)[];
      return version && bytes ? { bytes, version: `${version}` } : undefined;
    },
    async put(key: string, bytes: Uint8Array, { ifVersion, ttl }: PutOptions = {}): Promise<string | undefined> {
      const version = crypto.randomUUID();
      const condition = ifVersion === undefined ? "any" : ifVersion === null ? "none" : "same";
      const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
      const expires = ttl === undefined ? "" : Math.max(1, Math.round(1000 * ttl));
      const args = [PUT, 1, keyOf(key), condition, ifVersion ?? "", version, data, expires];
      return (await client.callBuffer("EVAL", args)) === 1 ? version : undefined;
    },
    async delete(key: string): Promise<boolean> {
      return (await client.callBuffer("DEL", [keyOf(key)])) === 1;
    },
    async list(start: string): Promise<string[]> {
      const keys = new Set<string>();
      const pattern = `${(prefix + start).replace(/[\\*?[\]]/g, "\\$&")}*`;
      for (let cursor = ""; cursor !== "0"; ) {
        const args = [cursor || "0", "MATCH", pattern, "COUNT", 1000];
        const [next, found] = (await client.callBuffer("SCAN", args)) as [Buffer, Buffer[]];
        for (const key of found) keys.add(`${key}`.slice(prefix.length));
        cursor = `${next}`;
      }
      return [...keys].sort();
    },
  };
}
