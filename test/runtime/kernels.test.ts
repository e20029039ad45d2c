/** The option `kernels`: where they may be, and what is said where they are not. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { engineInfo, type LoadOptions, load } from "../../src/entry/index.ts";
import { BUILDS } from "../../src/machine/kernels.ts";
import { endOf } from "../../src/runtime/beside.ts";
import { edge } from "../../src/runtime/workerd.ts";
import { removeTemporary, smallFolder, temporaryFolder } from "../session/small.ts";
import { ROOT } from "../setup.ts";

setDefaultTimeout(60_000);
afterAll(removeTemporary);

const MODEL = smallFolder("llama-gqa-tied");
const FOLDER = temporaryFolder();
for (const build of BUILDS) copyFileSync(join(ROOT, `build/${build}.wasm`), join(FOLDER, `${build}.wasm`));
const bytes = (build: string) => new Uint8Array(readFileSync(join(FOLDER, `${build}.wasm`)));

/** The build that a model is computed by, and what it says. */
async function told(options: LoadOptions): Promise<[string, string]> {
  using model = await load(MODEL, { threads: 2, ...options });
  const generation = model.generate("ab", { maxNewTokens: 4, temperature: 0 });
  await generation.text();
  return [model.info.kernels, (await generation.result).logitsHash];
}

test("a directory, a relative one, a URL, bytes and modules compute the same as those that come with the code", async () => {
  const [, wanted] = await told({});
  const plain = { simd: "plain" } as const;
  expect(await told({ kernels: FOLDER })).toEqual(["shared-relaxed", wanted]);
  expect(await told({ kernels: relative(process.cwd(), FOLDER), threads: 1 })).toEqual(["single-relaxed", wanted]);
  expect(await told({ kernels: pathToFileURL(FOLDER), worker: true, ...plain })).toEqual(["shared-plain", wanted]);
  expect(await told({ kernels: `${pathToFileURL(FOLDER)}/` })).toEqual(["shared-relaxed", wanted]);
  expect(await told({ kernels: { "single-plain": bytes("single-plain") } })).toEqual(["single-plain", wanted]);
  const kernels = {
    "shared-plain": await WebAssembly.compile(bytes("shared-plain")),
    "single-plain": new ArrayBuffer(3),
  };
  expect(await told({ kernels })).toEqual(["shared-plain", wanted]);
  expect(await told({ kernels, worker: true })).toEqual(["shared-plain", wanted]);
});

test("engineInfo says what was there, and why threads do not run", async () => {
  const info = await engineInfo({ threads: 2, kernels: { "single-plain": bytes("single-plain") } });
  expect(info).toMatchObject({ kernels: "single-plain", threads: 1 });
  expect(info.reasons.join()).toContain("one thread: kernels: expected a build that runs here, found none");
  expect(endOf(new Error("Cannot find module '/a/node_thread.js'"))).toBe(
    "workers need the package outside of a bundle (external): Cannot find module '/a/node_thread.js'",
  );
});

const wrong: [string, unknown, RegExp][] = [
  ["a folder without them", "/nowhere", /^kernels: expected \/nowhere\/single-\w+\.wasm, found none: bundled code/],
  ["nothing", {}, /^kernels: expected a folder, or one or more of shared-relaxed.*, found \{\}$/],
  ["an unknown name", { "shared-quick": bytes("single-plain") }, /^kernels: expected a folder, or one or more of/],
  ["null", null, /^kernels: expected a folder.*found null$/],
  ["a number", 7, /^kernels: expected a folder.*found 7$/],
  ["a build that is none", { "single-plain": new Uint8Array(8) }, /found none: .*single-plain is not understood$/],
];
test.each(wrong)("%s is refused", async (_, kernels, expected) => {
  await expect(told({ kernels } as LoadOptions)).rejects.toThrow(expected);
});

test("an edge runtime compiles nothing, and takes modules by name alone", async () => {
  await expect(edge("workerd", {}).kernels("single-plain", "/here")).rejects.toThrow("modules by name");
});

test("threads that slept for longer than a nap are there for the next step", async () => {
  using model = await load(MODEL, { threads: 2 });
  const story = () => model.generate("ab", { maxNewTokens: 4, temperature: 0 }).text();
  const wanted = await story();
  await Bun.sleep(1200);
  expect(await story()).toBe(wanted);
  expect(model.info.threads).toBe(2);
});
