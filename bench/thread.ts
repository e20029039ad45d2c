import { Worker as NodeWorker } from "node:worker_threads";

const POOL_WORKER = new URL("../src/machine/worker.ts", import.meta.url);

/** A thread for the engine's pool, in every runtime that is measured. */
export function startThread() {
  return "Worker" in globalThis ? webWorker() : nodeWorker();
}

function webWorker() {
  const worker = new Worker(POOL_WORKER, { type: "module", ref: false } as WorkerOptions);
  worker.addEventListener("error", (event) => event.preventDefault());
  return {
    post: (message: unknown) => worker.postMessage(message),
    terminate: () => worker.terminate(),
    ended: new Promise<void>((resolve) => worker.addEventListener("close", () => resolve())),
  };
}

/** Node has no Web Workers: what comes for the worker's `onmessage` is handed to it. */
function nodeWorker() {
  const listen = `require("node:worker_threads").parentPort.on("message", (data) => globalThis.onmessage({ data }));`;
  const worker = new NodeWorker(`import(${JSON.stringify(POOL_WORKER.href)}).then(() => { ${listen} });`, {
    eval: true,
  });
  worker.unref();
  return {
    post: (message: unknown) => worker.postMessage(message),
    terminate: () => void worker.terminate(),
    ended: new Promise<void>((resolve) => worker.once("exit", () => resolve())),
  };
}
