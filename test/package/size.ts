/** What the package weighs, in bytes, and what it brings where it is installed; run by `npm run size`. */
import { globSync, statSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { command } from "../platforms/command.ts";
import { importTool, installTools } from "../platforms/tools.ts";
import { BUILDS, ROOT } from "../setup.ts";
import { installed, project, removeProjects } from "./tarball.ts";

interface Esbuild {
  build(options: object): Promise<{ outputFiles: { contents: Uint8Array }[] }>;
}

await installTools();
await command(["npm", "run", "build"], ROOT);
const { build } = importTool<Esbuild>("esbuild");
const dist = join(ROOT, "dist");
const size = (...files: readonly string[]) => files.reduce((sum, file) => sum + statSync(file).size, 0);

/** A bundle of an entry of dist/src, minified. */
async function minified(entry: string) {
  const options = { bundle: true, minify: true, format: "esm", platform: "browser", write: false, logLevel: "error" };
  const { outputFiles } = await build({ ...options, entryPoints: [join(dist, "src", entry)] });
  return outputFiles[0]!.contents;
}

const rows: [string, number][] = BUILDS.map((name) => [`build/${name}.wasm`, size(join(dist, `build/${name}.wasm`))]);
rows.push(["the kernels together", rows.reduce((sum, [, bytes]) => sum + bytes, 0)]);
const scripts = globSync("**/*.js", { cwd: dist });
const library = scripts.filter((file) => !/^src\/cli\//.test(file));
rows.push(["JavaScript of the library", size(...library.map((file) => join(dist, file)))]);
rows.push(["JavaScript with the command line", size(...scripts.map((file) => join(dist, file)))]);
for (const entry of ["entry/browser.js", "entry/browser_worker.js"]) {
  const code = await minified(entry);
  rows.push([`src/${entry}, bundled with its dependencies, minified`, code.length]);
  rows.push(["the same, gzip", gzipSync(code).length]);
}
rows.push(["the embedded model", size(...globSync("models/*/*", { cwd: dist }).map((file) => join(dist, file)))]);
const [packed] = JSON.parse(await command(["npm", "pack", "--dry-run", "--json", "--ignore-scripts"], ROOT));
rows.push(["the package, unpacked", packed.unpackedSize], ["the package", packed.size]);
for (const [name, flags] of [
  ["installed", []],
  ["installed with --omit=optional", ["--omit=optional"]],
] as const) {
  const { packages, bytes } = installed(await project(name.replaceAll(/\W/g, "-"), {}, flags));
  rows.push([`${name}: ${packages} packages`, bytes]);
}
removeProjects();

console.log("| what | bytes |\n| --- | ---: |");
for (const [name, bytes] of rows) console.log(`| ${name} | ${bytes.toLocaleString("en")} |`);
