import { LambentError, mismatch } from "../base/errors.ts";
import { fileStore } from "../store/file_store.ts";
import { postgresStore } from "../store/postgres_store.ts";
import { redisStore } from "../store/redis_store.ts";
import { s3Store } from "../store/s3_store.ts";
import type { SessionStore } from "../store/store.ts";
import { byScheme, needed, postgresAt, redisAt, unusable } from "./connections.ts";

/** A store, and what ends the connections to it. */
export interface OpenStore {
  readonly store: SessionStore;
  close(): Promise<unknown>;
}

/** Opens the store that a flag names, `--store` by default. Throws LambentError if it does not answer, or the package for it is missing. */
export async function openStore(place: string, flag = "--store"): Promise<OpenStore> {
  const open = byScheme(flag, place, BY_SCHEME);
  let opened: OpenStore | undefined;
  try {
    opened = await open(place, flag);
    await opened.store.put("start", new Uint8Array(), { ttl: 60 });
    await opened.store.delete("start");
    return opened;
  } catch (error) {
    await opened?.close();
    throw unusable(flag, place, "a store that answers", error);
  }
}

const BY_SCHEME: Readonly<Record<string, (place: string, flag: string) => OpenStore | Promise<OpenStore>>> = {
  "": (folder) => ({ store: fileStore(folder), close: async () => {} }),
  redis: openRedis,
  rediss: openRedis,
  postgres: openPostgres,
  postgresql: openPostgres,
  s3: openS3,
};

async function openRedis(place: string, flag: string): Promise<OpenStore> {
  // A call fails while there is no connection.
  const client = await redisAt(flag, place, { enableOfflineQueue: false, maxRetriesPerRequest: 0 });
  return { store: redisStore(client), close: async () => client.disconnect() };
}

async function openPostgres(place: string, flag: string): Promise<OpenStore> {
  const pool = await postgresAt(flag, place);
  return { store: postgresStore(pool), close: () => pool.end() };
}

/** `s3://bucket/folder`, with the variables of AWS's own tools. */
async function openS3(place: string): Promise<OpenStore> {
  const { AwsClient } = await needed("--store", "aws4fetch", () => import("aws4fetch"));
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
