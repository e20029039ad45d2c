import { readFile } from "node:fs/promises";
import { freemem } from "node:os";
import { LambentError } from "../errors.ts";
import type { Build } from "../machine/kernels.ts";
import type { Thread } from "../machine/pool.ts";
import { directory, isDirectory, isFile } from "./directory.ts";
import type { Runtime } from "./types.ts";

/** Bun. What only a download needs is imported by it: that takes longer than to read a small model. */
export const bun: Runtime = {
  name: `bun ${Bun.version}`,
  kernels,
  cores: navigator.hardwareConcurrency,
  startThread,
  availableMemory: freemem,
  isDirectory,
  isFile,
  directory,
  webDirectory: async (url, signal) => (await import("./url.ts")).filesFromUrl(url, { signal }),
  isModelId: async (text) => (await import("./hub.ts")).isModelId(text),
  async downloadModel(id, { onProgress, ...options }) {
    const { downloadModel } = await import("./hub.ts");
    return downloadModel(id, { ...options, onProgress: ({ loaded, total }) => onProgress?.(loaded, total) });
  },
};

async function kernels(build: Build): Promise<Uint8Array<ArrayBuffer>> {
  const url = new URL(`../../build/${build}.wasm`, import.meta.url);
  try {
    return await readFile(url);
  } catch {
    throw new LambentError(`${url.pathname}: expected the kernels there, found none: run \`npm run prepare\``);
  }
}

/** A Web Worker: it is there after 3 ms and costs this thread 0.5; node:worker_threads takes 14 and 12 (docs/LOG.md). */
function startThread(): Thread {
  const worker = new Worker(new URL("../machine/worker.ts", import.meta.url), { ref: false } as WorkerOptions);
  // It has ended then, and says so by the next event; unheard, the error would be printed.
  worker.addEventListener("error", (event) => event.preventDefault());
  return {
    post: (message) => worker.postMessage(message),
    terminate: () => worker.terminate(),
    ended: new Promise((resolve) => worker.addEventListener("close", () => resolve())),
  };
}
