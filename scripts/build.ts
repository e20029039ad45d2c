/**
 * Writes dist/, what the package has: the sources as JavaScript with types, in the tree that they are in here, so that the
 * kernels and the workers are where the code expects them. Only the command line is bundled, with all that it imports: it
 * starts sooner from a few large files. They are in its folder, from where every relative address is the same.
 */
import { spawnSync } from "node:child_process";
import { cpSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BUILDS } from "../src/machine/kernels.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const dist = join(root, "dist");
rmSync(dist, { recursive: true, force: true });
// What comments say stands in the types alone.
for (const only of [["--emitDeclarationOnly"], ["--declaration", "false", "--removeComments"]]) {
  const compiler = join(root, "node_modules/.bin/tsc");
  const { status } = spawnSync(compiler, ["-p", "tsconfig.build.json", ...only], { cwd: root, stdio: "inherit" });
  if (status !== 0) process.exit(1);
}
const cli = join(dist, "src/cli");
for (const file of globSync("*.js", { cwd: cli })) rmSync(join(cli, file));
await Bun.build({
  entrypoints: ["main", "batch_worker"].map((name) => join(root, "src/cli", `${name}.ts`)),
  outdir: cli,
  target: "node",
  packages: "external",
  splitting: true,
  // Names of classes and of functions stay: errors are told apart by them.
  minify: { whitespace: true, syntax: true },
});
// The compiler rewrites imports, but neither the addresses of workers nor what types import.
for (const file of globSync("**/*.{js,d.ts}", { cwd: dist })) {
  const text = readFileSync(join(dist, file), "utf8");
  const rewritten = text.replace(/((?:from |import\(|new URL\(|codeAt\()"\.{1,2}\/[^"]+)\.ts"/g, '$1.js"');
  if (rewritten !== text) writeFileSync(join(dist, file), rewritten);
}
// What the command line continues when no model is named.
cpSync(join(root, "models/lambent-llama-5m"), join(dist, "models/lambent-llama-5m"), { recursive: true });
mkdirSync(join(dist, "build"));
for (const build of BUILDS) cpSync(join(root, "build", `${build}.wasm`), join(dist, "build", `${build}.wasm`));
