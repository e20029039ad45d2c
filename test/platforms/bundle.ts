/** The programs as each kind of place takes them, made by esbuild. */
import { join } from "node:path";
import { HERE, importTool } from "./tools.ts";

interface Esbuild {
  build(options: object): Promise<unknown>;
}

const SHARED = { bundle: true, format: "esm", target: "esnext", logLevel: "warning", legalComments: "none" } as const;

export interface Bundles {
  /** Bun, Deno, Node: a module that imports the installed package. */
  readonly command: string;
  /** Browsers: a folder with page.js. */
  readonly page: string;
  /** workerd: a folder with worker.js and the kernels. */
  readonly worker: string;
}

/** Bundles the programs into `project`, where the package is installed. */
export async function bundle(project: string): Promise<Bundles> {
  const esbuild = importTool<Esbuild>("esbuild");
  const made = { command: join(project, "command.js"), page: join(project, "page"), worker: join(project, "worker") };
  const entry = (name: string) => join(HERE, "program", `${name}.ts`);
  const resolving = { nodePaths: [join(project, "node_modules")] };
  await esbuild.build({
    ...{ ...SHARED, entryPoints: [entry("command")], outfile: made.command },
    ...{ platform: "node", external: ["lambent", "lambent/*"] },
  });
  await esbuild.build({
    ...{ ...SHARED, ...resolving, entryPoints: [entry("page")], outdir: made.page },
    ...{ platform: "browser", conditions: ["browser"] },
  });
  await esbuild.build({
    ...{ ...SHARED, ...resolving, entryPoints: [entry("worker")], outdir: made.worker },
    ...{ platform: "browser", conditions: ["workerd", "worker"], external: ["node:*"], loader: { ".wasm": "copy" } },
    assetNames: "[name]",
  });
  return made;
}
