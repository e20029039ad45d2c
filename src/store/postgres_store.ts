import { mismatch, OptionError } from "../base/errors.ts";
import { checkKey, type PutOptions, type SessionStore, type Stored } from "./store.ts";

/** The part of a PostgreSQL client that is used: that of a pool of `pg`. */
export interface PostgresClient {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: unknown[]; readonly rowCount: number | null }>;
}

/** Which table values are in. */
export interface PostgresStoreOptions {
  /** "lambent_sessions" by default. */
  readonly table?: string | undefined;
}

/** Puts between two times that expired rows are deleted. */
const CLEAN_EVERY = 256;
/** Names the lock under which the table is made. */
const LOCK = 7_221_930;

/**
 * Values in one table of PostgreSQL from version 11 on, which is made if it is absent. Expired rows are deleted now and
 * then, as rows are put.
 *
 * @example
 * const store = postgresStore(new Pool({ connectionString: "postgres://127.0.0.1/lambent" })); // of pg
 */
export function postgresStore(
  client: PostgresClient,
  { table = "lambent_sessions" }: PostgresStoreOptions = {},
): SessionStore {
  if (!/^[a-z_][a-z0-9_]{0,49}$/.test(table)) {
    throw new OptionError(mismatch("table", "small letters, digits and _, at most 50", table));
  }
  let made: Promise<unknown> | undefined;
  const ready = async () => {
    made ??= client.query(tableOf(table));
    await made.catch((error) => {
      made = undefined;
      throw error;
    });
  };
  let puts = 0;
  const clean = async () => {
    if (puts++ % CLEAN_EVERY === 0) await client.query(`delete from ${table} where expires <= now()`);
  };
  return {
    async get(key: string): Promise<Stored | undefined> {
      checkKey(key);
      await ready();
      const { rows } = await client.query(
        `select bytes, version from ${table} where key = $1 and expires > now()`, //
        [key],
      );
      return rows[0] as Stored | undefined;
    },
    async put(key: string, bytes: Uint8Array, { ifVersion, ttl }: PutOptions = {}): Promise<string | undefined> {
      checkKey(key);
      await ready();
      const version = crypto.randomUUID();
      const values = [key, bytes, version, ttl ?? null];
      const { rowCount } = await (typeof ifVersion === "string"
        ? client.query(
            `update ${table} set bytes = $2, version = $3, expires = ${EXPIRES}
             where key = $1 and version = $5 and expires > now()`,
            [...values, ifVersion],
          )
        : client.query(
            `insert into ${table} as old (key, bytes, version, expires) values ($1, $2, $3, ${EXPIRES})
             on conflict (key) do update
             set bytes = excluded.bytes, version = excluded.version, expires = excluded.expires
             ${ifVersion === null ? "where old.expires <= now()" : ""}`,
            values,
          ));
      await clean();
      return rowCount === 1 ? version : undefined;
    },
    async delete(key: string): Promise<boolean> {
      checkKey(key);
      await ready();
      const { rows } = await client.query(
        `delete from ${table} where key = $1 returning expires > now() as valid`, //
        [key],
      );
      return (rows[0] as { valid: boolean } | undefined)?.valid ?? false;
    },
    async list(prefix: string): Promise<string[]> {
      await ready();
      const { rows } = await client.query(
        `select key from ${table} where key >= $1 and starts_with(key, $1) and expires > now() order by key`,
        [prefix],
      );
      return rows.map((row) => (row as { key: string }).key);
    },
  };
}

const EXPIRES = "coalesce(now() + $4::float8 * interval '1 second', 'infinity')";

/** Makes the table. Of processes that start at once, one does; numbers are not worth compressing. */
function tableOf(table: string): string {
  return `
    select pg_advisory_xact_lock(${LOCK});
    create table if not exists ${table} (
      key text collate "C" primary key,
      version text not null,
      expires timestamptz not null,
      bytes bytea not null
    );
    create index if not exists ${table}_expires on ${table} (expires);
    alter table ${table} alter bytes set storage external`;
}
