import { LambentError, mismatch } from "../base/errors.ts";
import { shownPlace } from "../sources/address.ts";
import { fileStore } from "../store/file_store.ts";
import { postgresStore } from "../store/postgres_store.ts";
import { redisStore } from "../store/redis_store.ts";
import { s3Store } from "../store/s3_store.ts";
import type { SessionStore } from "../store/store.ts";

/** A store, and what ends the connections to it. */
export interface OpenStore {
  readonly store: SessionStore;
  close(): Promise<unknown>;
}

/** Opens the store that `--store` names. Throws LambentError if it does not answer, or the package for it is missing. */
export async function openStore(place: string): Promise<OpenStore> {
  const [, scheme = ""] = place.match(/^([a-z][a-z\d+.-]+):\/\//) ?? [];
  const open = BY_SCHEME[scheme];
  if (!open || place === "") {
    const known = Object.keys(BY_SCHEME).filter((name) => name !== "");
    const expected = `a folder or an address of ${known.join(", ")}`;
    throw new LambentError(mismatch("--store", expected, shownPlace(place) || "nothing"));
  }
  let opened: OpenStore | undefined;
  try {
    opened = await open(place);
    await opened.store.put("start", new Uint8Array(), { ttl: 60 });
    await opened.store.delete("start");
    return opened;
  } catch (error) {
    await opened?.close();
    if (error instanceof LambentError) throw error;
    const { message, code } = error as NodeJS.ErrnoException;
    throw new LambentError(mismatch(`--store ${shownPlace(place)}`, "a store that answers", message || code));
  }
}

const BY_SCHEME: Readonly<Record<string, (place: string) => OpenStore | Promise<OpenStore>>> = {
  "": (folder) => ({ store: fileStore(folder), close: async () => {} }),
  redis: openRedis,
  rediss: openRedis,
  postgres: openPostgres,
  postgresql: openPostgres,
  s3: openS3,
};

async function openRedis(place: string): Promise<OpenStore> {
  const { Redis } = await needed("ioredis", () => import("ioredis"));
  // A call fails while there is no connection; the connection is tried again.
  const client = new Redis(place, { lazyConnect: true, enableOfflineQueue: false, maxRetriesPerRequest: 0 });
  let fault: Error | undefined;
  client.on("error", (error) => {
    fault = error;
  });
  await client.connect().catch((error) => {
    client.disconnect();
    throw fault ?? error;
  });
  return { store: redisStore(client), close: async () => client.disconnect() };
}

async function openPostgres(place: string): Promise<OpenStore> {
  const { Pool } = (await needed("pg", () => import("pg"))).default;
  const pool = new Pool({ connectionString: place, connectionTimeoutMillis: 5000 });
  pool.on("error", () => {});
  return { store: postgresStore(pool), close: () => pool.end() };
}

/** `s3://bucket/folder`, with the variables of AWS's own tools. */
async function openS3(place: string): Promise<OpenStore> {
  const { AwsClient } = await needed("aws4fetch", () => import("aws4fetch"));
  const { hostname: bucket, pathname } = new URL(place);
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, ...rest } = process.env;
  if (!accessKeyId || !secretAccessKey) {
    const expected = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment";
    throw new LambentError(mismatch("--store s3", expected, "none"));
  }
  const { AWS_SESSION_TOKEN: sessionToken, AWS_REGION: region = "us-east-1", AWS_ENDPOINT_URL: endpoint } = rest;
  const token = sessionToken ? { sessionToken } : {};
  const client = new AwsClient({ accessKeyId, secretAccessKey, ...token, region, service: "s3", retries: 2 });
  const url = endpoint ? `${endpoint.replace(/\/+$/, "")}/${bucket}` : `https://${bucket}.s3.${region}.amazonaws.com`;
  const folder = pathname.replace(/^\/+|\/+$/g, "");
  return { store: s3Store(client, url, { prefix: folder && `${folder}/` }), close: async () => {} };
}

/** A package that only those install who need it. */
async function needed<T>(name: string, load: () => Promise<T>): Promise<T> {
  return load().catch((error) => {
    if (error?.code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new LambentError(`--store needs ${name}: npm install ${name}`);
  });
}
