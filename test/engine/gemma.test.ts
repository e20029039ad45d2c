/**
 * Gemma: layers with a window and a base of RoPE of their own between global ones, norms of heads, soft caps. Under every
 * policy logits equal those of the dense masks, whatever the chunk; test/engine/threads.test.ts has the threads.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { GREEDY } from "../../src/engine/sampler.ts";
import { planModel } from "../../src/plan/plan_checkpoint.ts";
import { POLICIES, type PolicyOptions } from "../../src/plan/policy.ts";
import { forward } from "../reference/model.ts";
import { readTensors } from "../reference/safetensors.ts";
import { deviation, FIXTURES } from "../setup.ts";
import { Bare } from "./bare.ts";
import { checkpointOf, dense, engineOf, fixture, PATIENCE, randomIds, rowOf, sameBits } from "./tiny.ts";

setDefaultTimeout(PATIENCE);

/** Layer 2 is global, the others have a window of 16 tokens. */
const MODELS = ["gemma3-text", "gemma2"] as const;
const ids = randomIds(90, 12);

function worst(found: readonly Float32Array[], wanted: readonly Float64Array[]): number {
  return Math.max(...found.map((row, i) => deviation(row, wanted[i] as Float64Array)));
}

describe.each(MODELS)("%s", (model) => {
  describe.each([24, 16, 7])("nLocal %i, the window being 16", (nLocal) => {
    test.each([...POLICIES])("%s: logits equal those of the dense masks, whatever the chunk", async (attention) => {
      const options: PolicyOptions = { attention, nGlobal: 3, nLocal, limit: nLocal + 4, maxPositions: 90 };
      const wanted = dense(model, ids, options);
      const [first, ...others] = await Promise.all(
        [1, 7, 64].map((chunkSize) => Bare.load(model, { ...options, chunkSize, maxSessions: 1 })),
      );
      const rows = (first as Bare).read(ids);
      expect(worst(rows, wanted)).toBeLessThan(2e-4);
      for (const other of others) {
        expect(other.read(ids).every((row, i) => sameBits(row, rows[i] as Float32Array))).toBe(true);
      }
    });
  });

  test("the layers with a window keep it under every policy; angles are made once for each base", async () => {
    for (const attention of POLICIES) {
      const options = { attention, nGlobal: 3, nLocal: 24, maxPositions: 90 };
      const { plan } = planModel(await checkpointOf(fixture(model)), options);
      expect(plan.windows).toEqual([16, 16, null, 16]);
      for (const [i, { policy, cache }] of plan.layers.entries()) {
        if (i === 2) expect(policy).toBe(plan.policy);
        else expect([policy.attention, cache.ring, cache.pinned]).toEqual(["window", 16, 0]);
      }
    }
    const { plan } = planModel(await checkpointOf(fixture(model)), { nGlobal: 3, nLocal: 24 });
    const angles = plan.records.flat().filter(({ text }) => text.startsWith("angles"));
    // The window's angles have no ceiling.
    expect(angles.length).toBe(2);
    const { kvHeads, headDim } = { kvHeads: 2, headDim: 10 };
    expect(plan.cacheBytes).toBe(4 * kvHeads * headDim * (3 * 2 * 16 + 2 * 24 + 3 * 3));
  });

  test("middle tokens are those of the global layers", async () => {
    const middle = { recall: 4, recallDistance: 9, recallLayers: [0, 1], recallTokens: 40, recallBlocks: 1 };
    const found = await Bare.load(model, { nGlobal: 3, nLocal: 36, limit: 36, ...middle });
    const policy = { policy: "lambda", nGlobal: 3, nLocal: 36, limit: 36, ...middle } as const;
    const wanted = forward(fixture(model).config, readTensors(`${FIXTURES}/${model}`), ids, policy);
    expect(worst(found.read(ids), wanted)).toBeLessThan(2e-4);
  });

  test("generated tokens continue as if they had been read", async () => {
    const engine = await engineOf(model, { nGlobal: 3, nLocal: 24, chunkSize: 8 });
    const [writer, reader] = [engine.open(0, 1), engine.open(0, 1)];
    await engine.append(writer, ids.slice(0, 40));
    const made: number[] = [];
    while (made.length < 40) made.push((await engine.next(writer, GREEDY)).id);
    await engine.append(reader, [...ids.slice(0, 40), ...made]);
    const [next, same] = [await engine.next(writer, GREEDY), await engine.next(reader, GREEDY)];
    expect(next.id).toBe(same.id);
    expect(sameBits(rowOf(engine, writer), rowOf(engine, reader))).toBe(true);
  });
});
