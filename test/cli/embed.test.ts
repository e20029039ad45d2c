/** `embed`: what it prints and writes are the library's vectors, to the bit. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { load } from "../../src/entry/index.ts";
import { readSafetensors } from "../reference/safetensors.ts";
import { EMBEDDED, removeTemporary, smallFolder, temporaryFolder } from "../session/small.ts";
import { good, lambent } from "./run.ts";

setDefaultTimeout(60_000);
afterAll(removeTemporary);

const TEXTS = ["ab the", "on a", "a longer text, which says the same again and again, the same again and again."];

async function library(where: string, options: Parameters<Awaited<ReturnType<typeof load>>["embed"]>[1] = {}) {
  using model = await load(where);
  return { tokens: TEXTS.map((text) => model.tokenizer.count(text)), vectors: await model.embed(TEXTS, options) };
}

test.each([EMBEDDED, smallFolder("gptj")])(
  "a line of JSON for each text, by argument, file or standard input",
  async (where) => {
    const { tokens, vectors } = await library(where);
    const file = join(temporaryFolder(), "texts");
    writeFileSync(file, `${TEXTS.join("\r\n")}\n\n`);
    const runs = await Promise.all([
      good(["embed", "-m", where, ...TEXTS]),
      good(["embed", "-m", where, "--lines", file]),
      good(["embed", "-m", where], TEXTS.join("\n")),
      good(["embed", "-m", where, TEXTS[0] as string, "--lines", file, "--attention", "full", "--threads", "2"]),
    ]);
    const [first, ...others] = runs.map(({ out }) =>
      out
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line)),
    );
    expect(first?.map(({ index, tokens }) => [index, tokens])).toEqual(tokens.map((count, i) => [i, count]));
    expect(first?.map(({ embedding }) => Float32Array.from(embedding))).toEqual(vectors);
    expect(others.slice(0, 2)).toEqual([first, first] as never);
    expect(others[2]?.map(({ embedding }) => embedding).slice(1)).toEqual(
      first?.map(({ embedding }) => embedding) as never,
    );
  },
);

test("a .npy or .safetensors file", async () => {
  const { vectors } = await library(EMBEDDED, { pooling: "mean", normalize: false });
  const flat = Float32Array.from(vectors.flatMap((vector) => [...vector]));
  const folder = temporaryFolder();
  const flags = ["--pooling", "mean", "--no-normalize", "--out"];
  const run = await good(["embed", ...TEXTS, ...flags, join(folder, "a.npy")]);
  expect(run.out).toBe("");
  const npy = readFileSync(join(folder, "a.npy"));
  const begin = 10 + npy.readUInt16LE(8);
  expect([npy.toString("latin1", 0, 8), begin % 64]).toEqual(["\u0093NUMPY\u0001\0", 0]);
  expect(npy.toString("latin1", 10, begin)).toMatch(
    /^\{'descr': '<f4', 'fortran_order': False, 'shape': \(3, 256\), \} *\n$/,
  );
  expect(new Float32Array(npy.buffer.slice(npy.byteOffset + begin, npy.byteOffset + npy.length))).toEqual(flat);
  await good(["embed", ...TEXTS, ...flags, join(folder, "a.safetensors")]);
  const { shape, data } = readSafetensors(join(folder, "a.safetensors")).get("embeddings") as {
    shape: number[];
    data: Float64Array;
  };
  expect([shape, Float32Array.from(data)]).toEqual([[3, 256], flat]);
  await good(["embed", ...TEXTS, ...flags, join(folder, "b.safetensors"), "--dimensions", "7"]);
  expect(readSafetensors(join(folder, "b.safetensors")).get("embeddings")).toMatchObject({
    shape: [3, 7],
    data: Float64Array.from(vectors.flatMap((vector) => [...vector.subarray(0, 7)])),
  });
});

test.each([
  [["a", "--out", "a.txt"], "--out: expected a name that ends in .npy or .safetensors, found a.txt"],
  [["--lines", "/nonexistent"], "/nonexistent: expected a readable file, found ENOENT"],
  [[], "embed: expected a text, found none"],
  [["", "-m", smallFolder("gptj")], "text 0: expected at least one token, found none"],
])("%j is refused", async (args, message) => {
  expect(await lambent(["embed", ...args])).toEqual({ code: 1, out: "", err: `error: ${message}\n` });
});
