/** Connections to databases, by packages that only those install who need them. */
import { LambentError, mismatch } from "../base/errors.ts";
import { shownPlace } from "../sources/address.ts";

/** A package that `what` needs. Throws LambentError if it is not there. */
export async function needed<T>(what: string, name: string, load: () => Promise<T>): Promise<T> {
  return load().catch((error) => {
    if (error?.code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new LambentError(`${what} needs ${name}: npm install ${name}`);
  });
}

/**
 * A connection to Redis, which is there when this returns and is tried again when it is lost. `options`: as of ioredis.
 * Rejects with what the connection failed by.
 */
export async function redisAt(what: string, place: string, options: object) {
  const { Redis } = await needed(what, "ioredis", () => import("ioredis"));
  const client = new Redis(place, { lazyConnect: true, ...options });
  let fault: Error | undefined;
  client.on("error", (error) => {
    fault = error;
  });
  await client.connect().catch((error) => {
    client.disconnect();
    throw fault ?? error;
  });
  return client;
}

/** Connections to PostgreSQL, made when they are used. */
export async function postgresAt(what: string, place: string) {
  const { Pool } = (await needed(what, "pg", () => import("pg"))).default;
  const pool = new Pool({ connectionString: place, connectionTimeoutMillis: 5000 });
  pool.on("error", () => {});
  return pool;
}

/** Why a place cannot be used, in one line. */
export function unusable(what: string, place: string, expected: string, error: unknown): LambentError {
  if (error instanceof LambentError) return error;
  const { message, code } = error as NodeJS.ErrnoException;
  return new LambentError(mismatch(`${what} ${shownPlace(place)}`, expected, message || code));
}

/** What opens a place, by the scheme of its address. Throws LambentError for another one. */
export function byScheme<T>(what: string, place: string, known: Readonly<Record<string, T>>): T {
  const [, scheme = ""] = place.match(/^([a-z][a-z\d+.-]+):\/\//) ?? [];
  const found = place === "" ? undefined : known[scheme];
  if (found) return found;
  const folder = "" in known ? "a folder or " : "";
  const schemes = Object.keys(known).filter((name) => name !== "");
  const expected = `${folder}an address of ${schemes.join(", ")}`;
  throw new LambentError(mismatch(what, expected, shownPlace(place) || "nothing"));
}
