import { Worker } from "node:worker_threads";
import { codeAt, endOf } from "./beside.ts";
import { host } from "./host.ts";
import type { EngineThread } from "./types.ts";

/** Node. */
export const node = host({
  name: `node ${process.versions.node}`,
  startThread: () => thread(codeAt("../runtime/node_thread.ts")),
  startEngine: engineThread,
});

/** Starts a worker with an engine, in Node and in Deno. */
export function engineThread(): EngineThread {
  return thread(codeAt("../entry/host_worker.ts"));
}

/** Starts a worker of node:worker_threads, which Deno has too. */
export function thread(url: URL): EngineThread {
  // Code that was loaded from a server, as Deno's may be, cannot be a worker directly.
  const local = url.protocol === "file:" ? url : new URL(`data:text/javascript,import ${JSON.stringify(url.href)}`);
  const worker = new Worker(local);
  let reason: unknown;
  // The worker has ended then, which the next event reports; an unhandled error would end the process.
  worker.on("error", (error) => (reason = endOf(error)));
  worker.unref();
  return {
    post: (message, transfer = []) => worker.postMessage(message, transfer),
    listen(handler) {
      worker.on("message", handler);
      worker.unref(); // a listener would keep the process alive
    },
    hold: (waits) => (waits ? worker.ref() : worker.unref()),
    terminate: () => void worker.terminate(),
    ended: new Promise((resolve) => worker.once("exit", () => resolve(reason))),
  };
}
