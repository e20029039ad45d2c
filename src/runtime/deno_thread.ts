/** A pool thread under Deno: its first message asks whether it is ready, which it answers. */
import { parentPort } from "node:worker_threads";
import "../machine/worker.ts";

const { onmessage } = globalThis;
globalThis.onmessage = () => {
  globalThis.onmessage = onmessage;
  parentPort?.postMessage("");
};
