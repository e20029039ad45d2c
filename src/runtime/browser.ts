import { LambentError, mismatch } from "../base/errors.ts";
import { messageOf } from "../base/realm.ts";
import type { Build } from "../machine/kernels.ts";
import { KERNELS } from "./addresses.ts";
import type { EngineThread, Runtime } from "./types.ts";
import { findOnWeb, openOnWeb } from "./web.ts";

const isolated = globalThis.crossOriginIsolated;

/**
 * A pool thread in a browser. What starts engines is in `page.ts`, or bundlers would find workers that start
 * themselves.
 */
export const browser: Runtime = {
  name: nameOf(navigator.userAgent),
  kernels,
  cores: navigator.hardwareConcurrency || 1,
  startThread: isolated
    ? () => thread(new Worker(new URL("./browser_thread.ts", import.meta.url), { type: "module" }))
    : undefined,
  single: isolated
    ? undefined
    : "the page is not cross-origin isolated (headers COOP: same-origin, COEP: require-corp)",
  worker: false,
  availableMemory: () => undefined,
  locate,
  open: openOnWeb,
  openLog: async (folder) => (await import("../store/opfs_log.ts")).opfsLog(folder),
  find: findOnWeb,
};

/** From a folder, relative to the page's address, or those that come with the code. */
async function kernels(build: Build, folder?: string): Promise<ArrayBuffer> {
  const url = folder === undefined ? KERNELS[build]() : new URL(`${build}.wasm`, `${locate(folder)}/`);
  const response = await fetch(url).catch((error) => {
    throw new LambentError(mismatch(url.href, "the kernels there", messageOf(error)));
  });
  if (!response.ok) throw new LambentError(mismatch(url.href, "the kernels there", `HTTP ${response.status}`));
  return response.arrayBuffer();
}

function locate(where: string): string {
  const relative = /^\.{0,2}\//.test(where);
  return relative ? new URL(where, globalThis.document?.baseURI ?? location.href).href : where;
}

/**
 * The product and version closest to a browser's name: not the last one of "Mozilla/5.0 (…) … Chrome/156.0.0.0
 * Safari/537.36".
 */
function nameOf(userAgent: string): string {
  const [, product, version] = userAgent.match(/(Edg|OPR|Firefox|Chrome|Version)\/(\d+)/) ?? [];
  return product ? `${product === "Version" ? "safari" : product.toLowerCase()} ${version}` : "browser";
}

/**
 * A worker, which first announces the name of a lock that it holds as long as it lives (`announce`), because browsers
 * have no event for its end. Messages posted earlier wait for the announcement.
 */
export function thread(worker: Worker): EngineThread {
  const waiting: (() => void)[] = [];
  let lock: string | undefined;
  let handler = (_: unknown): void => {};
  let reason: unknown;
  const { promise: ended, resolve: end } = Promise.withResolvers<unknown>();
  const terminate = () => {
    worker.terminate();
    if (lock === undefined) end(reason);
  };
  worker.addEventListener("error", (event) => {
    event.preventDefault();
    reason = event.error ?? event.message ?? "its script could not be loaded";
    terminate();
  });
  worker.addEventListener("message", ({ data }) => {
    if (lock !== undefined) return handler(data);
    lock = data as string;
    for (const post of waiting.splice(0)) post();
    // Without locks (a page without TLS) only errors are noticed.
    if (lock) void navigator.locks.request(lock, () => end(reason));
  });
  return {
    post(message, transfer = []) {
      const post = () => worker.postMessage(message, { transfer });
      if (lock === undefined) waiting.push(post);
      else post();
    },
    listen(listener) {
      handler = listener;
    },
    terminate,
    ended,
  };
}
