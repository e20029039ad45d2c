/** The numbers of a policy, their defaults, what a session's memory is, and what is refused before anything is read. */

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { LambentError } from "../../src/base/errors.ts";
import { checkSampling, GREEDY, type Sampling } from "../../src/engine/sampler.ts";
import { attentionOf } from "../../src/models/program.ts";
import { type PlanningOptions, planModel } from "../../src/plan/plan_checkpoint.ts";
import { POLICIES, type PolicyOptions, resolvePolicy } from "../../src/plan/policy.ts";
import { checkpointOf, engineOf, FAMILIES, fixture, PATIENCE } from "./tiny.ts";

setDefaultTimeout(PATIENCE);

describe("defaults depend on the model alone", () => {
  const numbers = (options: PolicyOptions, trained: number, slidingWindow?: number) => {
    const { nGlobal, nLocal, limit, maxPositions } = resolvePolicy(options, trained, slidingWindow);
    return [nGlobal, nLocal, limit, maxPositions];
  };
  test("nGlobal 10, nLocal min(P, 4096), limit nLocal; sinks 4 and 4 less; full and ceiling-only P tokens", () => {
    expect(numbers({}, 2048)).toEqual([10, 2048, 2048, Infinity]);
    expect(numbers({}, 131072)).toEqual([10, 4096, 4096, Infinity]);
    expect(numbers({}, 32768, 1024)).toEqual([10, 1024, 1024, Infinity]);
    expect(numbers({ nLocal: 300 }, 2048)).toEqual([10, 300, 300, Infinity]);
    expect(numbers({ attention: "lambda-only" }, 2048)).toEqual([10, 2048, Infinity, Infinity]);
    expect(numbers({ attention: "sinks" }, 2048)).toEqual([4, 2044, Infinity, Infinity]);
    expect(numbers({ attention: "sinks" }, 65536)).toEqual([4, 4092, Infinity, Infinity]);
    expect(numbers({ attention: "window" }, 2048)).toEqual([0, 2048, Infinity, Infinity]);
    expect(numbers({ attention: "full" }, 131072)).toEqual([0, Infinity, Infinity, 131072]);
    expect(numbers({ attention: "ceiling-only" }, 131072)).toEqual([0, Infinity, 4096, 131072]);
  });

  test("numbers that a policy does not use are ignored, so that one set of flags serves them all", () => {
    const flags = { nGlobal: 5, nLocal: 16, limit: 20, maxPositions: 100 };
    expect(POLICIES.map((attention) => numbers({ ...flags, attention }, 64))).toEqual([
      [5, 16, 20, Infinity],
      [0, Infinity, Infinity, 100],
      [0, 16, Infinity, Infinity],
      [5, 16, Infinity, Infinity],
      [5, 16, Infinity, Infinity],
      [0, Infinity, 20, 100],
    ]);
  });
});

describe.each([...FAMILIES])("%s: a session's keys and values are as many as the design says", (family) => {
  test.each([...POLICIES])("%s", async (attention) => {
    const checkpoint = await checkpointOf(fixture(family));
    const planned = (changes: PlanningOptions) =>
      planModel(checkpoint, { attention, nGlobal: 5, nLocal: 48, limit: 60, maxPositions: 100, ...changes });
    const { plan, program } = planned({});
    const { shape, positions } = attentionOf(program, 0)!;
    const { kvHeads, headDim } = shape;
    const rotates = positions.kind === "rope";
    const pinned = (rotates ? 3 : 2) * 5;
    const values = {
      lambda: 2 * 48 + pinned,
      sinks: 2 * 48 + pinned,
      "lambda-only": 2 * 48 + pinned,
      window: 2 * 48,
      full: 2 * 100,
      "ceiling-only": (rotates ? 3 : 2) * 100,
    }[attention];
    expect(plan.cacheBytes).toBe(4 * values * kvHeads * headDim * program.layers.length);
    // Alignment aside, a slot is that and the last row of logits; the chunk size does not enter.
    const slot = plan.banks[0]?.slotBytes as number;
    const bare = plan.cacheBytes + 4 * program.vocabSize;
    expect(slot).toBeGreaterThanOrEqual(bare);
    expect(slot).toBeLessThan(bare + 64 * (6 * program.layers.length + 1));
    // bf16 takes half of it; int8 a byte a value, and four for every 32 of a head.
    expect(planned({ cacheDtype: "bf16" }).plan.cacheBytes).toBe(plan.cacheBytes / 2);
    const heads = values * kvHeads * program.layers.length;
    const int8 = 4 * Math.ceil(headDim / 4) + 4 * Math.ceil(headDim / 32);
    expect(planned({ cacheDtype: "int8" }).plan.cacheBytes).toBe(heads * int8);
    for (const chunkSize of [1, 1000]) expect(planned({ chunkSize }).plan.banks[0]?.slotBytes).toBe(slot);
  });
});

describe("refused by name", () => {
  const most = 2 ** 31;
  const refused: [PlanningOptions, string][] = [
    [{ attention: "local" as "window" }, `attention: expected one of ${POLICIES.join(", ")}, found local`],
    [{ nLocal: 0 }, `nLocal: expected a whole number from 1 to ${most}, found 0`],
    [{ nLocal: 1.5 }, `nLocal: expected a whole number from 1 to ${most}, found 1.5`],
    [{ nLocal: Infinity }, `nLocal: expected a whole number from 1 to ${most}, found Infinity`],
    [{ nLocal: "8" as unknown as number }, `nLocal: expected a whole number from 1 to ${most}, found 8`],
    [{ nGlobal: -1 }, `nGlobal: expected a whole number from 0 to ${most}, found -1`],
    [{ nLocal: 16, limit: 15 }, "limit: expected nLocal (16) or more, found 15"],
    [{ attention: "full", maxPositions: 0 }, `maxPositions: expected a whole number from 1 to ${most}, found 0`],
    [{ chunkSize: 0 }, "chunkSize: expected a whole number from 1 to 65536, found 0"],
    [{ maxSessions: NaN }, "maxSessions: expected a whole number from 1 to 65536, found NaN"],
    [{ dtype: "q9" as "f16" }, "dtype: expected one of auto, f32, bf16, f16, q8, q7, q4, found q9"],
    [{ cacheDtype: "f16" as "bf16" }, "cacheDtype: expected one of f32, bf16, int8, found f16"],
  ];
  test.each(refused)("%o", async (options, message) => {
    const ended = engineOf("llama-gqa-tied", options);
    expect(ended).rejects.toThrow(LambentError);
    expect(await ended.then(String, (error) => error.message)).toBe(message);
  });

  test("what no memory holds, before any is asked for", async () => {
    const beyond = [{ nLocal: most }, { nGlobal: most }, { attention: "full", maxPositions: most }] as const;
    for (const options of [...beyond, { bankBytes: 1 }]) {
      const ended = engineOf("llama-gqa-tied", options);
      expect(await ended.then(String, (error) => error.message)).toMatch(
        /^memory: expected at most 8 banks of \d+ bytes, /,
      );
    }
  });
});

test("sampling options out of their range are refused by name", () => {
  const message = (changes: object) => {
    try {
      checkSampling({ ...GREEDY, ...changes } as Sampling);
    } catch (error) {
      return (error as Error).message;
    }
    return "accepted";
  };
  for (const temperature of [0, -1, NaN, Infinity, "1", null]) {
    expect(message({ temperature })).toStartWith("temperature: expected a number above 0, found ");
  }
  for (const topK of [-1, 1.5, NaN]) expect(message({ topK })).toStartWith("topK: expected a whole number");
  for (const topP of [0, 1.01, NaN])
    expect(message({ topP })).toStartWith("topP: expected a number above 0, at most 1");
  for (const minP of [-0.1, 1.01, NaN]) expect(message({ minP })).toStartWith("minP: expected a number from 0 to 1");
  for (const repetitionPenalty of [0, -2, Infinity]) {
    expect(message({ repetitionPenalty })).toStartWith("repetitionPenalty: expected a number above 0");
  }
  expect(message({ temperature: 1e-9, topK: 0, topP: 1, minP: 1, repetitionPenalty: 0.5 })).toBe("accepted");
});
