/** The same tiny models as a directory and as a GGUF file, which another program has written (test/golden/make_gguf.py). */
import { afterAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Engine, LoadingOptions } from "../../src/engine/engine.ts";
import { directory } from "../../src/sources/directory.ts";
import { readSafetensors } from "../reference/safetensors.ts";
import { deviation, engineFrom, FIXTURES, GGUF, kernels, logitsOf, openEngine } from "../setup.ts";

/** Models whose config a GGUF file has in other numbers: factors instead of what they are computed from. */
const OTHER_NUMBERS = new Set(["llama-rope-llama3", "phi3"]);
// Not longer than the length from which on Phi-3 is another model.
const full: LoadingOptions = { attention: "full", dtype: "f32", maxPositions: 64 };

const engineOf = async (file: string) => engineFrom(directory(GGUF, file), await kernels(), full);

async function logits(engine: Engine, ids: number[]): Promise<Float32Array> {
  return Float32Array.from((await logitsOf(engine, ids)).flatMap((row) => [...row]));
}

const names = readdirSync(GGUF).flatMap((file) => {
  const [, name] = file.match(/^(.*?)(?:-00001-of-\d+)?\.gguf$/) ?? [];
  return name === undefined || /-of-/.test(name) || name === "types" ? [] : [[name, file] as const];
});
const seen: string[] = [];
for (const [name, file] of names) {
  const fixture = join(FIXTURES, name === "split" ? "llama-gqa-tied" : name);
  test(`${file}: the logits of its directory, and transformers' within 2e-4 · (1 + |logit|)`, async () => {
    const golden = readSafetensors(join(fixture, "golden.safetensors"));
    const ids = Array.from(golden.get("ids")?.data ?? []);
    const engine = await engineOf(file);
    expect(engine.unused).toEqual([]);
    const found = await logits(engine, ids);
    expect(deviation(found, golden.get("logits")?.data ?? [])).toBeLessThan(2e-4);
    const same = await logits(await openEngine(fixture, full), ids);
    if (OTHER_NUMBERS.has(name)) expect(deviation(found, same)).toBeLessThan(2e-5);
    else expect(found).toEqual(same);
    seen.push(engine.program.modelType);
  });
}

test("matrices of every type of block, as transformers computes with what they stand for", async () => {
  const golden = readSafetensors(join(GGUF, "types.safetensors"));
  const found = await logits(await engineOf("types.gguf"), Array.from(golden.get("ids")?.data ?? []));
  expect(deviation(found, golden.get("logits")?.data ?? [])).toBeLessThan(2e-4);
});

afterAll(() => {
  const types = "gemma2 gemma3_text gpt_neox granite llama ministral3 mpt olmo2 phi3 qwen2 qwen3 smollm3 stablelm";
  expect([...new Set(seen)].sort().join(" ")).toBe(types);
});
