/** Models with positions of their own, under every policy, against the dense masks in f64 (test/reference). */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { Rope } from "../../src/models/positions.ts";
import { attentionOf } from "../../src/models/program.ts";
import { planModel } from "../../src/plan/plan_checkpoint.ts";
import { POLICIES, type PolicyOptions } from "../../src/plan/policy.ts";
import { forward } from "../reference/model.ts";
import { readTensors } from "../reference/safetensors.ts";
import { deviation, FIXTURES } from "../setup.ts";
import { Bare } from "./bare.ts";
import { checkpointOf, dense, engineOf, fixture, oneByOne, PATIENCE, policyOf, randomIds, sameBits } from "./tiny.ts";

setDefaultTimeout(PATIENCE);

/** Yarn's factor; longrope's, and its choice at 16, 64 and 32 tokens; no positions; temperature; a part of each head. */
const MODELS = ["llama-rope-yarn", "llama-rope-longrope", "phi3", "phi3-long", "smollm3", "ministral3", "gpt-neox"];
const TOKENS = 70;
const ids = randomIds(TOKENS, 5);
const SHAPES: PolicyOptions[] = [
  { nGlobal: 3, nLocal: 8, limit: 13 },
  { nGlobal: 2, nLocal: 24, limit: 30 },
  { nGlobal: 5, nLocal: 40, limit: 90 },
];

function worst(found: readonly Float32Array[], wanted: readonly Float64Array[]): number {
  return Math.max(...found.map((row, i) => deviation(row, wanted[i] as Float64Array)));
}

describe.each(MODELS)("%s", (name) => {
  test.each([...POLICIES])("%s: logits equal the dense mask's within 2e-4 · (1 + |logit|)", async (attention) => {
    for (const shape of SHAPES) {
      const wanted = dense(name, ids, { ...shape, attention });
      for (const chunkSize of [1, 7, 64]) {
        const model = await Bare.load(name, { ...policyOf(attention, shape, TOKENS), chunkSize, maxSessions: 1 });
        const off = worst(model.read(ids), wanted);
        expect({ shape, chunkSize, off, good: off < 2e-4 }).toEqual({ shape, chunkSize, off, good: true });
      }
    }
  });

  test("a session that begins far out gives the same logits within 1e-4 · (1 + |logit|)", async () => {
    const engine = await engineOf(name, { nGlobal: 3, nLocal: 8, limit: 13, chunkSize: 24 });
    const near = await oneByOne(engine, ids);
    const far = await oneByOne(engine, ids, 2 ** 40 + 1);
    expect(Math.max(...far.map((row, i) => deviation(row, near[i] as Float32Array)))).toBeLessThan(1e-4);
  });
});

/** Which factors each policy gives the frequencies of a model, and what `inspect` prints of it. */
async function factorsOf(name: string, options: PolicyOptions): Promise<(string | undefined)[]> {
  const { plan } = planModel(await checkpointOf(fixture(name)), options);
  const angles = plan.records.flat().filter(({ text }) => text.startsWith("angles"));
  return angles.map(({ text }) => text.match(/by (\w+) factors/)?.[1]);
}

test("longrope's factors: short ones while no distance exceeds the original length of 64 tokens", async () => {
  const cases: [PolicyOptions, string][] = [
    [{ nLocal: 64, limit: 64 }, "short"],
    [{ nLocal: 64, limit: 65 }, "long"],
    [{ nLocal: 65 }, "long"],
    [{ attention: "window", nLocal: 64 }, "short"],
    [{ attention: "window", nLocal: 65 }, "long"],
    [{ attention: "full", maxPositions: 64 }, "short"],
    [{ attention: "full", maxPositions: 65 }, "long"],
    [{ attention: "full" }, "long"],
    [{ attention: "ceiling-only", limit: 64 }, "short"],
    [{ attention: "ceiling-only", limit: 65, maxPositions: 64 }, "short"],
    [{ attention: "ceiling-only", limit: 65 }, "long"],
    [{ attention: "sinks", nGlobal: 4, nLocal: 60 }, "short"],
    [{ attention: "sinks", nGlobal: 4, nLocal: 61 }, "long"],
    [{ attention: "lambda-only", nLocal: 8 }, "long"],
  ];
  for (const [options, wanted] of cases) {
    expect({ options, factors: await factorsOf("phi3", options) }).toEqual({ options, factors: [wanted] });
  }
  const middle = { nLocal: 48, limit: 64, recall: 2, recallLayers: [1], recallTokens: 8 };
  expect(await factorsOf("phi3", { ...middle, recallDistance: 40 })).toEqual(["short", "short"]);
  // The layers that attend to middle tokens alone go over to the long ones.
  expect(await factorsOf("phi3", { ...middle, recallDistance: 65 })).toEqual(["short", "long", "long"]);
  expect(await factorsOf("llama-rope-yarn", {})).toEqual([undefined]);
});

test("a model's program keeps both kinds of factors; only its plan has chosen", async () => {
  const { program } = planModel(await checkpointOf(fixture("phi3")), {});
  const rope = attentionOf(program, 0)?.positions as Rope;
  expect([rope.long?.beyond, rope.long?.inverseFrequencies.length, rope.factors]).toEqual([64, 6, undefined]);
  expect(rope.inverseFrequencies[5]).toBeGreaterThan(rope.long?.inverseFrequencies[5] as number);
});

test("Ministral's queries: beyond the ceiling of Λ every position counts as the ceiling", async () => {
  const shape = { nGlobal: 0, nLocal: 8 };
  const temper = async (options: PolicyOptions) => {
    const { plan } = planModel(await checkpointOf(fixture("ministral3")), options);
    return plan.records.flat().flatMap(({ text }) => (text.includes("ln(1 +") ? [text] : []));
  };
  expect(await temper({ ...shape, limit: 20 })).toEqual(
    Array(2).fill("q[64] times 1 + 0.5 · ln(1 + ⌊min(n, 20) / 16⌋) after n tokens"),
  );
  expect((await temper({ attention: "full" }))[0]).toContain("⌊n / 16⌋");
  expect((await temper({ attention: "sinks", nGlobal: 2, nLocal: 8 }))[0]).toContain("min(n, 9)");
  // Within the original length nothing is multiplied, whatever beta is.
  const model = fixture("ministral3");
  const { llama_4_scaling_beta: _, ...rope } = model.config.rope_parameters as Record<string, unknown>;
  const plain = { ...model, config: { ...model.config, rope_parameters: rope } };
  const read = async (tiny: typeof model, limit: number) => oneByOne(await engineOf(tiny, { ...shape, limit }), ids);
  const same = (a: Float32Array[], b: Float32Array[]) => a.every((row, i) => sameBits(row, b[i] as Float32Array));
  expect(same(await read(model, 15), await read(plain, 15))).toBe(true);
  expect(same(await read(model, 16), await read(plain, 16))).toBe(false);
});

test("middle keys are met with the factor of yarn too", async () => {
  const options = {
    nGlobal: 2,
    nLocal: 40,
    limit: 44,
    recall: 60,
    recallDistance: 18,
    recallLayers: [0, 1],
    recallTokens: 60,
  };
  // All of the middle are chosen: a full attention whose distances are clamped at 18 behind the local keys.
  const model = await Bare.load("llama-rope-yarn", { ...options, chunkSize: 7, maxSessions: 1 });
  const tensors = readTensors(join(FIXTURES, "llama-rope-yarn"));
  const wanted = forward(fixture("llama-rope-yarn").config, tensors, ids, { policy: "lambda", ...options });
  expect(worst(model.read(ids), wanted)).toBeLessThan(2e-4);
});
