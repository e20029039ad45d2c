/** The README's program as a Worker: bundled by esbuild, run by miniflare or by workerd alone. */
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { importTool } from "../platforms/tools.ts";
import { workerd } from "./tools.ts";

const COMPATIBILITY = "2026-07-01";

interface Esbuild {
  build(options: object): Promise<unknown>;
}

/** Bundles worker.js of a project into its folder out/, as README.md says. */
export async function bundleWorker(project: string): Promise<string> {
  const { build } = importTool<Esbuild>("esbuild");
  const out = join(project, "out");
  await build({
    ...{ absWorkingDir: project, entryPoints: ["worker.js"], outdir: out, bundle: true, format: "esm" },
    ...{ conditions: ["workerd"], loader: { ".wasm": "copy" }, logLevel: "warning" },
  });
  return out;
}

/** The files of a bundle: the worker first, then its kernels. */
function modulesOf(out: string) {
  const kernels = readdirSync(out).filter((file) => file.endsWith(".wasm"));
  return [{ name: "worker.js", wasm: false }, ...kernels.map((name) => ({ name, wasm: true }))];
}

interface Miniflare {
  dispatchFetch(url: string): Promise<Response>;
  dispose(): Promise<void>;
}

/** What a bundled Worker answers to a path, in miniflare. */
export async function inMiniflare(out: string, path: string): Promise<string> {
  const { Miniflare } = importTool<{ Miniflare: new (options: object) => Miniflare }>("miniflare");
  const miniflare = new Miniflare({
    modulesRoot: out,
    modules: modulesOf(out).map(({ name, wasm }) => ({
      ...{ type: wasm ? "CompiledWasm" : "ESModule", path: join(out, name) },
    })),
    ...{ compatibilityDate: COMPATIBILITY, cf: false },
  });
  try {
    return await (await miniflare.dispatchFetch(`http://lambent${path}`)).text();
  } finally {
    await miniflare.dispose();
  }
}

/** What it answers in workerd alone. */
export async function inWorkerd(out: string, path: string): Promise<string> {
  const modules = modulesOf(out).map(({ name, wasm }) => {
    return `(name = "${name}", ${wasm ? "wasm" : "esModule"} = embed "${name}")`;
  });
  const config = join(out, "config.capnp");
  writeFileSync(
    config,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (modules = [${modules.join(", ")}], compatibilityDate = "${COMPATIBILITY}")),
    (name = "internet", network = (allow = ["public", "private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
`,
  );
  const child = Bun.spawn([workerd(), "serve", config, "--control-fd=1"], { stdout: "pipe", stderr: "inherit" });
  try {
    for await (const line of child.stdout) {
      const port = new TextDecoder().decode(line).match(/"socket":"http","port":(\d+)/)?.[1];
      if (port) return await (await fetch(`http://127.0.0.1:${port}${path}`)).text();
    }
    throw new Error("workerd: expected a port, found its end");
  } finally {
    child.kill();
    await child.exited;
  }
}
