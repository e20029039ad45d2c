import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Instance } from "../place.ts";
import { importTool } from "../tools.ts";

interface Miniflare {
  readonly ready: Promise<URL>;
  dispatchFetch(url: string, init: { method: "POST"; body: string }): Promise<Response>;
  dispose(): Promise<void>;
}
type MiniflareModule = { readonly Miniflare: new (options: object) => Miniflare };

const COMPATIBILITY = "2026-07-01";

/** A workerd of its own with what esbuild has put into `folder`: worker.js, and kernels as modules. */
export async function openWorkerd(folder: string): Promise<Instance> {
  const { Miniflare } = importTool<MiniflareModule>("miniflare");
  const kernels = readdirSync(folder).filter((file) => file.endsWith(".wasm"));
  const miniflare = new Miniflare({
    modulesRoot: folder,
    modules: [
      { type: "ESModule", path: join(folder, "worker.js") },
      ...kernels.map((file) => ({ type: "CompiledWasm", path: join(folder, file) })),
    ],
    compatibilityDate: COMPATIBILITY,
    cf: false,
  });
  await miniflare.ready;
  return {
    async run(url) {
      try {
        const response = await miniflare.dispatchFetch("http://lambent/", { method: "POST", body: url });
        return response.ok ? undefined : `HTTP ${response.status}: ${await response.text()}`;
      } catch (error) {
        return (error as Error).message;
      }
    },
    close: () => miniflare.dispose(),
  };
}
