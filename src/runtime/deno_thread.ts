/** A thread of the pool under Deno: its first message is a question whether it is there, which it answers. */
import { parentPort } from "node:worker_threads";
import "../machine/worker.ts";

const { onmessage } = globalThis;
globalThis.onmessage = () => {
  globalThis.onmessage = onmessage;
  parentPort?.postMessage("");
};
