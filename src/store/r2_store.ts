import { checkKey, expiryOf, type PutOptions, type SessionStore, type Stored } from "./store.ts";

/** What R2 tells of an object. */
export interface R2Head {
  readonly etag: string;
  readonly customMetadata?: Record<string, string> | undefined;
}

/** The part of an R2 bucket's binding that is used. */
export interface R2Binding {
  get(key: string): Promise<(R2Head & { arrayBuffer(): Promise<ArrayBuffer> }) | null>;
  head(key: string): Promise<R2Head | null>;
  put(key: string, bytes: Uint8Array, options: object): Promise<R2Head | null>;
  delete(key: string): Promise<void>;
  list(options: { prefix: string; cursor?: string }): Promise<{
    readonly objects: readonly { readonly key: string }[];
    readonly truncated: boolean;
    readonly cursor?: string;
  }>;
}

/** What keys start with. */
export interface R2StoreOptions {
  /** None by default. */
  readonly prefix?: string | undefined;
}

/**
 * Values as objects of an R2 bucket. What has expired is not found any more; for it to be deleted the bucket needs a rule.
 *
 * @example
 * const store = r2Store(env.SESSIONS);
 */
export function r2Store(bucket: R2Binding, { prefix = "" }: R2StoreOptions = {}): SessionStore {
  const keyOf = (key: string) => prefix + checkKey(key);
  const write = async (key: string, bytes: Uint8Array, ttl: number | undefined, onlyIf?: object) => {
    const customMetadata = ttl === undefined ? {} : { expires: `${expiryOf(ttl)}` };
    return (await bucket.put(keyOf(key), bytes, { customMetadata, ...(onlyIf ? { onlyIf } : {}) }))?.etag;
  };
  return {
    async get(key: string): Promise<Stored | undefined> {
      const found = await bucket.get(keyOf(key));
      if (!found || hasExpired(found)) return undefined;
      return { bytes: new Uint8Array(await found.arrayBuffer()), version: found.etag };
    },
    async put(key: string, bytes: Uint8Array, { ifVersion, ttl }: PutOptions = {}): Promise<string | undefined> {
      if (ifVersion === undefined) return write(key, bytes, ttl);
      const there = await bucket.head(keyOf(key));
      const valid = there !== null && !hasExpired(there);
      if (valid !== (ifVersion !== null)) return undefined;
      return write(key, bytes, ttl, there ? { etagMatches: ifVersion ?? there.etag } : { etagDoesNotMatch: "*" });
    },
    async delete(key: string): Promise<boolean> {
      const there = await bucket.head(keyOf(key));
      if (there) await bucket.delete(keyOf(key));
      return there !== null && !hasExpired(there);
    },
    async list(start: string): Promise<string[]> {
      const keys: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await bucket.list({ prefix: prefix + start, ...(cursor ? { cursor } : {}) });
        keys.push(...page.objects.map(({ key }) => key.slice(prefix.length)));
        cursor = page.truncated ? page.cursor : undefined;
      } while (cursor);
      return keys.sort();
    },
  };
}

function hasExpired({ customMetadata }: R2Head): boolean {
  const expires = customMetadata?.expires;
  return expires !== undefined && Number(expires) <= Date.now();
}
