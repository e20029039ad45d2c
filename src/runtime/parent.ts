import { parentPort } from "node:worker_threads";
import type { Port } from "./types.ts";

/** The line from a worker to the thread that started it. */
export const parent: Port = {
  post(message, transfer = []) {
    if (parentPort) parentPort.postMessage(message, transfer);
    else postMessage(message, { transfer });
  },
  listen(handler) {
    if (parentPort) parentPort.on("message", handler);
    else globalThis.addEventListener("message", ({ data }) => handler(data));
  },
};
