/**
 * Where servers keep sessions, so that several share them (entry `lambent/stores`, option `store` of `createServer`), and
 * where sessions keep their logs (option `recallStore` of `load`). What speaks to a database is a client of your own:
 * `ioredis`, `pg`, `aws4fetch`, or a binding.
 *
 * @example
 * const store = redisStore(new Redis("redis://127.0.0.1:6379"));
 * const server = createServer({ model: await load("org/name") }, { store });
 */
export {
  type DurableStorage,
  type DurableTransaction,
  durableStore,
} from "../store/durable_store.ts";
export { fileLog } from "../store/file_log.ts";
export { type FileStoreOptions, fileStore } from "../store/file_store.ts";
export { type LogStore, logIn, memoryLog } from "../store/log_store.ts";
export { type PostgresClient, type PostgresStoreOptions, postgresStore } from "../store/postgres_store.ts";
export { type R2Binding, type R2Head, type R2StoreOptions, r2Store } from "../store/r2_store.ts";
export { type RedisClient, type RedisStoreOptions, redisStore } from "../store/redis_store.ts";
export { type S3StoreOptions, type SigningClient, s3Store } from "../store/s3_store.ts";
export { deleteSegments, segmentsOf } from "../store/snapshot_segments.ts";
export type { PutOptions, SessionStore, Stored } from "../store/store.ts";
