import { parentPort } from "node:worker_threads";
import type { Port } from "./types.ts";

/**
 * The line from a worker to the thread that started it; Bun's Web Workers have it too. Under Deno messages are heard as events:
 * its port goes through every byte of one by JavaScript, 300 ms for each MB (docs/LOG.md).
 */
export const parent: Port = {
  post: (message, transfer = []) => parentPort?.postMessage(message, transfer),
  listen(handler) {
    if ("Deno" in globalThis) addEventListener("message", ({ data }) => handler(data));
    else parentPort?.on("message", handler);
  },
};
