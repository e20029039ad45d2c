/**
 * Models behind the HTTP APIs that clients speak (entry `lambent/server`), for every host; needs the packages `hono` and
 * `zod`.
 *
 * @example
 * const server = createServer({ "lambent-llama-5m": await load("models/lambent-llama-5m") });
 * export default { fetch: server.fetch };
 */
export { createServer, type LogEntry, type Server, type ServerOptions } from "../server/server.ts";
export type { StoreFault } from "../server/watched_store.ts";
export type { PutOptions, SessionStore, Stored } from "../store/store.ts";
