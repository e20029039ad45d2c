import { fileURLToPath } from "node:url";
import { filesFromBlobs } from "../sources/blobs.ts";
import { codeAt, endOf } from "./beside.ts";
import { host } from "./host.ts";
import type { EngineThread, Runtime } from "./types.ts";

/** The part of Bun that is used here; users who compile this code have no types of Bun. */
const { Bun } = globalThis as unknown as {
  readonly Bun: { readonly version: string; file(path: string): Blob & { exists(): Promise<boolean> } };
};

const shared = host({
  name: `bun ${Bun.version}`,
  startThread: () => thread(codeAt("../machine/worker.ts")),
  startEngine: () => thread(codeAt("../entry/host_worker.ts")),
});

/** Bun. */
export const bun = {
  ...shared,
  async open(url: URL) {
    const found = await shared.open(url);
    if (found || url.protocol !== "file:") return found;
    // Files inside an executable of `bun build --compile` can only be opened as blobs.
    const blob = Bun.file(fileURLToPath(url));
    return (await blob.exists())
      ? filesFromBlobs("executable", { [url.pathname]: blob }).open(url.pathname)
      : undefined;
  },
} satisfies Runtime;

const OPTIONS = { ref: false } as WorkerOptions;

/** A Web Worker: ready after 3 ms, it costs this thread 0.5 ms; node:worker_threads takes 14 and 12 (docs/LOG.md). */
function thread(url: URL): EngineThread {
  const worker = new Worker(url, OPTIONS);
  const counted = worker as unknown as { ref(): void; unref(): void };
  let reason: unknown;
  worker.addEventListener("error", (event) => {
    // The worker has ended then, which the next event reports; an unhandled error would be printed.
    event.preventDefault();
    reason = endOf(event.error ?? event.message);
  });
  return {
    post: (message, transfer = []) => worker.postMessage(message, { transfer }),
    listen: (handler) => worker.addEventListener("message", ({ data }) => handler(data)),
    hold: (waits) => (waits ? counted.ref() : counted.unref()),
    terminate: () => worker.terminate(),
    ended: new Promise((resolve) => worker.addEventListener("close", () => resolve(reason))),
  };
}
