import { LambentError, mismatch } from "../base/errors.ts";
import { checkKey, expiryOf, type PutOptions, type SessionStore, type Stored } from "./store.ts";

/** A `fetch` that signs requests: that of an `AwsClient` of `aws4fetch`. */
export interface SigningClient {
  fetch(url: string, init?: RequestInit): Promise<Response>;
}

const EXPIRES = "x-amz-meta-expires";

/** What keys start with. */
export interface S3StoreOptions {
  /** None by default. */
  readonly prefix?: string | undefined;
}

/**
 * Values as objects of S3, or of another store that speaks its API and knows conditional writes. `bucket` is the URL of
 * the bucket. What has expired is not found any more; for it to be deleted the bucket needs a rule.
 *
 * @example
 * const client = new AwsClient({ accessKeyId, secretAccessKey }); // of aws4fetch
 * const store = s3Store(client, "https://name.s3.eu-central-1.amazonaws.com");
 */
export function s3Store(client: SigningClient, bucket: string, { prefix = "" }: S3StoreOptions = {}): SessionStore {
  const place = bucket.replace(/\/+$/, "");
  const urlOf = (key: string) => `${place}/${(prefix + checkKey(key)).split("/").map(encodeURIComponent).join("/")}`;
  const ask = async (url: string, init: RequestInit, known: readonly number[]): Promise<Response> => {
    const response = await client.fetch(url, init);
    if (response.ok || known.includes(response.status)) return response;
    const text = (await response.text()).slice(0, 200);
    throw new LambentError(mismatch(new URL(url).host, "an answer", `${response.status} ${text}`));
  };
  const write = async (key: string, bytes: Uint8Array, expires: number, condition: Record<string, string>) => {
    const headers = { ...condition, ...(expires < Infinity ? { [EXPIRES]: `${expires}` } : {}) };
    const init = { method: "PUT", body: bytes as Uint8Array<ArrayBuffer>, headers };
    const response = await ask(urlOf(key), init, Object.keys(condition).length > 0 ? [404, 409, 412] : []);
    await response.body?.cancel();
    return response.ok ? (response.headers.get("etag") as string) : undefined;
  };
  /** The version that is there; `expired`: still, although its time is over. */
  const look = async (key: string) => {
    const { status, headers } = await ask(urlOf(key), { method: "HEAD" }, [404]);
    if (status === 404) return undefined;
    return { version: headers.get("etag") as string, expired: hasExpired(headers) };
  };
  return {
    async get(key: string): Promise<Stored | undefined> {
      const response = await ask(urlOf(key), {}, [404]);
      const found = response.status !== 404 && !hasExpired(response.headers);
      if (found) return { bytes: await response.bytes(), version: response.headers.get("etag") as string };
      await response.body?.cancel();
      return undefined;
    },
    async put(key: string, bytes: Uint8Array, { ifVersion, ttl }: PutOptions = {}): Promise<string | undefined> {
      const expires = expiryOf(ttl);
      if (ifVersion === undefined) return write(key, bytes, expires, {});
      if (ifVersion === null) {
        const version = await write(key, bytes, expires, { "if-none-match": "*" });
        if (version) return version;
      }
      const there = await look(key);
      if (!there || there.expired !== (ifVersion === null)) return undefined;
      return write(key, bytes, expires, { "if-match": ifVersion ?? there.version });
    },
    async delete(key: string): Promise<boolean> {
      const there = await look(key);
      if (there) await ask(urlOf(key), { method: "DELETE" }, [404]);
      return there?.expired === false;
    },
    async list(start: string): Promise<string[]> {
      const keys: string[] = [];
      for (let token: string | undefined = ""; token !== undefined; ) {
        const query = new URLSearchParams({ "list-type": "2", prefix: prefix + start });
        if (token) query.set("continuation-token", token);
        const xml = await (await ask(`${place}/?${query}`, {}, [])).text();
        for (const [, key = ""] of xml.matchAll(/<Key>([^<]*)<\/Key>/g)) keys.push(key.slice(prefix.length));
        token = xml.match(/<NextContinuationToken>([^<]*)</)?.[1];
      }
      return keys.sort();
    },
  };
}

function hasExpired(headers: Headers): boolean {
  const expires = headers.get(EXPIRES);
  return expires !== null && Number(expires) <= Date.now();
}
