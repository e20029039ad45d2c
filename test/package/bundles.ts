/** The package inside bundles for Node and Bun: with the kernels it works, on one thread; without, the error says what to do. */
import { describe, expect, test } from "bun:test";
import { cpSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { command } from "../platforms/command.ts";
import { importTool } from "../platforms/tools.ts";
import { emptyFolder, project } from "./tarball.ts";
import { bun, node22, node24, run, tool } from "./tools.ts";

const KERNELS = "node_modules/lambent/dist/build";
const MODEL = "node_modules/lambent/dist/models/lambent-llama-5m";
const SERVER = `import { engineInfo, load } from "lambent";
const { KERNELS: kernels, WORKER } = process.env;
const options = { threads: 2, ...(kernels ? { kernels } : {}), ...(WORKER ? { worker: true } : {}) };
load("${MODEL}", options)
  .then(async (model) => {
    const generation = model.generate("The letter", { maxNewTokens: 8, temperature: 0 });
    const text = await generation.text();
    const { logitsHash } = await generation.result;
    const { threads, reasons } = await engineInfo(options);
    console.log(JSON.stringify({ text, logitsHash, info: [model.info.threads, threads, reasons.at(-1)] }));
    model.dispose();
  })
  .catch((error) => console.log(JSON.stringify({ error: \`\${error.name}: \${error.message}\` })));
`;

interface Esbuild {
  build(options: object): Promise<unknown>;
}
const esbuild = (folder: string, format: "cjs" | "esm", extension: string) => {
  return importTool<Esbuild>("esbuild").build({
    ...{ absWorkingDir: folder, entryPoints: ["server.js"], bundle: true, platform: "node", format, tsconfigRaw: "{}" },
    ...{ outfile: `out/esbuild-${format}/server.${extension}`, logLevel: "error" },
  });
};
const WEBPACK = `import webpack from "webpack";
const output = { path: process.cwd() + "/out/webpack", filename: "server.cjs" };
webpack({ target: "node", mode: "production", entry: "./server.js", output }, (error, stats) => {
  if (error || stats.hasErrors()) throw error ?? new Error(stats.toString());
});
`;

/** How each is made, whether it brings the kernels along, and in which of its folders the code of a host comes to lie. */
const BUNDLES = [
  { name: "esbuild-cjs", file: "server.cjs", brings: false, make: (to: string) => esbuild(to, "cjs", "cjs") },
  { name: "esbuild-esm", file: "server.mjs", brings: false, make: (to: string) => esbuild(to, "esm", "mjs") },
  {
    ...{ name: "webpack", file: "server.cjs", brings: true },
    make(to: string) {
      // Where webpack is found.
      const script = join(import.meta.dir, "node_modules/.webpack.mjs");
      writeFileSync(script, WEBPACK);
      return command([node24(), script], to);
    },
  },
  {
    ...{ name: "vite", file: "server.js", brings: false, chunks: "assets" },
    make(to: string) {
      writeFileSync(join(to, "vite.config.js"), "export default { ssr: { noExternal: true } };\n");
      return command([...tool("vite/bin/vite.js"), "build", "--ssr", "server.js", "--outDir", "out/vite"], to);
    },
  },
  {
    ...{ name: "bun", file: "server.js", brings: false },
    make: (to: string) => command([bun, "build", "server.js", "--target=node", "--outdir=out/bun"], to),
  },
];

/** What a program prints. */
async function told(words: readonly string[], cwd: string, env: Readonly<Record<string, string>> = {}) {
  const { out, err } = await run(words, cwd, { env });
  if (out === "") throw new Error(err);
  return JSON.parse(out);
}

/** All bundles in a folder of their own, beside a model and the kernels; the package they were made of is gone. */
async function elsewhere() {
  const from = await project("bundled", { "server.js": SERVER });
  for (const { make } of BUNDLES) await make(from);
  const wanted = await told([node22(), "server.js"], from);
  const to = emptyFolder("bundles");
  for (const part of ["out", MODEL, KERNELS]) cpSync(join(from, part), join(to, part), { recursive: true });
  rmSync(from, { recursive: true });
  return { to, wanted };
}

describe("a bundle for Node, without the package, by", () => {
  let folder: ReturnType<typeof elsewhere> | undefined;
  test.each(BUNDLES)("$name", async ({ name, file, brings, ...more }) => {
    folder ??= elsewhere();
    const { to, wanted } = await folder;
    expect(wanted.info).toEqual([2, 2, "threads: as asked for"]);
    const alone = expect.stringMatching(/^one thread: workers need the package outside of a bundle \(external\): /);
    const good = { ...wanted, info: [1, 1, alone] };
    const bundle = join("out", name, file);
    const hosts = [node22(), node24(), bun];
    for (const host of hosts) {
      if (brings) expect(await told([host, bundle], to)).toEqual(good);
      else {
        expect((await told([host, bundle], to)).error).toMatch(
          /^LambentError: kernels: expected \S+single-relaxed\.wasm.*, found none: bundled code has them beside it or is given their folder \(option kernels\)/,
        );
      }
      expect(await told([host, bundle], to, { KERNELS })).toEqual(good);
      expect((await told([host, bundle], to, { KERNELS, WORKER: "1" })).error).toMatch(
        /^LambentError: the engine's worker ended: workers need the package outside of a bundle/,
      );
    }
    cpSync(join(to, KERNELS), join(to, "out", name, "chunks" in more ? more.chunks : "."), { recursive: true });
    for (const host of hosts) expect(await told([host, bundle], to)).toEqual(good);
  });
});
