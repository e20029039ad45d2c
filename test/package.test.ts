/** What the package's files say of each other; `npm run package-test` tries the package itself. */
import { expect, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { VERSION } from "../src/base/version.ts";
import { BUILDS, ROOT } from "./setup.ts";

const json = (file: string) => JSON.parse(readFileSync(join(ROOT, file), "utf8"));
const manifest = json("package.json");
/** Bytes of all builds of the kernels together, at most. */
const KERNELS_BUDGET = 260_000;

test("package.json, its lock, jsr.json and the code say the same version", () => {
  const said = [manifest.version, json("package-lock.json").version, json("jsr.json").version];
  expect(said).toEqual([VERSION, VERSION, VERSION]);
});

test("installing the package runs no script", () => {
  const scripts = Object.keys(manifest.scripts);
  expect(scripts.filter((name) => /^(?:preinstall|install|postinstall|prepare)$/.test(name))).toEqual([]);
});

test("every entry is named by package.json, those of Deno by jsr.json", () => {
  const { exports } = json("jsr.json");
  const source = (path: string) => path.replace("./dist/", "./").replace(/\.js$/, ".ts");
  const { deno } = manifest.exports["."];
  expect(exports).toEqual({
    ".": source(deno.default),
    "./embedded": source(manifest.exports["./embedded"].default.default),
    "./server": source(manifest.exports["./server"].default),
    "./stores": source(manifest.exports["./stores"].default),
    "./ai-sdk": source(manifest.exports["./ai-sdk"].default),
  });
});

test(`the kernels take at most ${KERNELS_BUDGET} bytes together`, () => {
  const sizes = BUILDS.map((build) => statSync(join(ROOT, "build", `${build}.wasm`)).size);
  expect(sizes.reduce((a, b) => a + b)).toBeLessThanOrEqual(KERNELS_BUDGET);
});
