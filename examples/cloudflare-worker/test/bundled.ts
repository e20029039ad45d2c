/** A worker given as text, bundled as its hosts do and run by workerd: kernels are modules beside it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { Miniflare } from "miniflare";
import config from "../wrangler.jsonc";

/**
 * Runs `source` with the bucket MODELS, or these bindings; `condition` is the export condition by which it finds the
 * library.
 */
export async function startBundled(source: string, condition: "edge-light" | "workerd", bindings: object = {}) {
  const scratch = mkdtempSync(join(tmpdir(), "lambent-bundled-"));
  const kernels: string[] = [];
  const { outputs } = await Bun.build({
    entrypoints: [new URL("worker.js", import.meta.url).pathname],
    files: { [new URL("worker.js", import.meta.url).pathname]: source },
    conditions: [condition],
    external: ["cloudflare:*", "node:*"],
    plugins: [
      {
        name: "kernels as modules",
        setup(build) {
          build.onResolve({ filter: /\.wasm(\?module)?$/ }, ({ path, importer }) => {
            const [file] = path.split("?") as [string];
            kernels.push(join(dirname(importer), file));
            return { path: `./${basename(file)}`, external: true };
          });
        },
      },
    ],
  });
  const bundle = join(scratch, "worker.js");
  writeFileSync(bundle, (await outputs[0]?.text()) as string);
  const miniflare = new Miniflare({
    modules: [
      { type: "ESModule", path: bundle },
      ...kernels.map((path) => ({
        type: "CompiledWasm" as const,
        path: join(scratch, basename(path)),
        contents: readFileSync(path),
      })),
    ],
    modulesRoot: scratch,
    compatibilityDate: config.compatibility_date,
    r2Buckets: ["MODELS"],
    ...bindings,
    cf: false,
  });
  return {
    miniflare,
    async [Symbol.asyncDispose]() {
      await miniflare.dispose();
      rmSync(scratch, { recursive: true });
    },
  };
}
