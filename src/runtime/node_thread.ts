/** A pool thread under node:worker_threads, where messages arrive at a port and not as events of the thread. */
import { parentPort } from "node:worker_threads";
import "../machine/worker.ts";

parentPort?.on("message", (data) => (globalThis.onmessage as (event: { data: unknown }) => void)({ data }));
