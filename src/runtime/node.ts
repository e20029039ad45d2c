import { Worker } from "node:worker_threads";
import { host } from "./host.ts";
import type { EngineThread } from "./types.ts";

/** Node. */
export const node = host({
  name: `node ${process.versions.node}`,
  startThread: () => thread(new Worker(local(new URL("./node_thread.ts", import.meta.url)))),
  startEngine: engineThread,
});

/** A worker with an engine, in Node and in Deno. */
export function engineThread(): EngineThread {
  return thread(new Worker(local(new URL("../host_worker.ts", import.meta.url))));
}

/** Code that came from a server, as Deno's may, is no worker by itself. */
export function local(url: URL): URL {
  return url.protocol === "file:" ? url : new URL(`data:text/javascript,import ${JSON.stringify(url.href)}`);
}

/** A worker of node:worker_threads, which Deno has too. */
export function thread(worker: Worker): EngineThread {
  let reason: unknown;
  // It has ended then, and says so by the next event; unheard, the error would end the process.
  worker.on("error", (error) => (reason = error));
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
