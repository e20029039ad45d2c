import { parentPort } from "node:worker_threads";
import type { Port } from "./types.ts";

/** The line from a worker to the thread that started it; Bun's Web Workers have it too. */
export const parent: Port = {
  post: (message, transfer = []) => parentPort?.postMessage(message, transfer),
  listen: (handler) => void parentPort?.on("message", handler),
};
