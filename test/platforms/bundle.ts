/** The programs as each kind of place takes them, made by esbuild. */
import { cpSync } from "node:fs";
import { join } from "node:path";
import { HERE, importTool } from "./tools.ts";

interface Esbuild {
  build(options: object): Promise<unknown>;
}

/** Our own tsconfig.json would lead to the sources: what is bundled is the installed package. */
const SHARED = { bundle: true, format: "esm", target: "esnext", logLevel: "warning", tsconfigRaw: "{}" } as const;

export interface Bundles {
  /** Bun, Deno, Node: a module that imports the installed package. */
  readonly command: string;
  /** Browsers: a folder with PAGE_SCRIPT. */
  readonly page: string;
  /** workerd: a folder with worker.js and the kernels. */
  readonly worker: string;
}

/** The page's script in its folder. */
export const PAGE_SCRIPT = "src/runtime/page.js";

/** Bundles the programs into `project`, where the package is installed. */
export async function bundle(project: string): Promise<Bundles> {
  const { build } = importTool<Esbuild>("esbuild");
  const made = { command: join(project, "command.js"), page: join(project, "page"), worker: join(project, "worker") };
  const modules = join(project, "node_modules");
  const installed = join(modules, "lambent/dist");
  const entry = (name: string) => join(HERE, "program", `${name}.ts`);
  await build({
    ...{ ...SHARED, entryPoints: [entry("command")], outfile: made.command },
    ...{ platform: "node", external: ["lambent", "lambent/*"] },
  });
  // esbuild does not see that `new URL("…", import.meta.url)` names a worker, a kernel or a model: they are bundled and
  // copied to where the addresses lead from src/runtime/, where all code of the package comes to lie.
  await build({
    ...{ ...SHARED, nodePaths: [modules], platform: "browser", conditions: ["browser"], splitting: true },
    // Of stores; none of those that read files is made in a page.
    ...{ outdir: made.page, chunkNames: "src/runtime/[name]-[hash]", external: ["node:*"] },
    entryPoints: {
      "src/runtime/page": entry("page"),
      "src/runtime/browser_thread": join(installed, "src/runtime/browser_thread.js"),
      "src/entry/browser_worker": join(installed, "src/entry/browser_worker.js"),
    },
  });
  cpSync(join(installed, "build"), join(made.page, "build"), { recursive: true });
  cpSync(join(installed, "models"), join(made.page, "models"), { recursive: true });
  await build({
    ...{ ...SHARED, nodePaths: [modules], platform: "browser", conditions: ["workerd", "worker"] },
    ...{ entryPoints: [entry("worker")], outdir: made.worker, external: ["node:*"] },
    ...{ loader: { ".wasm": "copy" }, assetNames: "[name]" },
  });
  return made;
}
