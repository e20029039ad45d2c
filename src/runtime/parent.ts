import { parentPort } from "node:worker_threads";
import type { Port } from "./types.ts";

/**
 * The connection from a worker to the thread that started it; Bun's Web Workers have it too. Under Deno messages arrive
 * as events: its port processes every byte of a message in JavaScript, 300 ms per MB (docs/LOG.md).
 */
export const parent: Port = {
  post: (message, transfer = []) => parentPort?.postMessage(message, transfer),
  listen(handler) {
    if ("Deno" in globalThis) addEventListener("message", ({ data }) => handler(data));
    else parentPort?.on("message", handler);
  },
};
