/** Models that mix windowed and global layers: the windowed ones keep their window, policies act on the others. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readSnapshot, writeSnapshot } from "../../src/engine/snapshot.ts";
import { NO_TEXT } from "../../src/engine/state.ts";
import type { Operation, Program } from "../../src/models/program.ts";
import { inverseFrequencies } from "../../src/models/rope_scaling.ts";
import { planModel } from "../../src/plan/plan_checkpoint.ts";
import { POLICIES, type PolicyOptions } from "../../src/plan/policy.ts";
import type { Policy } from "../reference/attention.ts";
import { forward } from "../reference/model.ts";
import { readTensors } from "../reference/safetensors.ts";
import { deviation, FIXTURES } from "../setup.ts";
import { Bare } from "./bare.ts";
import { checkpointOf, engineOf, fixture, kvHeadsOf, PATIENCE, randomIds, rowOf, sameBits } from "./tiny.ts";

setDefaultTimeout(PATIENCE);

/** Layers 0 and 2 have a window of 16 tokens. */
const MODEL = "qwen2-window";
const shape = { nGlobal: 3, nLocal: 24, limit: 30, maxPositions: 90 };
const ids = randomIds(90, 11);

const file = join(FIXTURES, MODEL);
function dense(options: PolicyOptions, rope?: Record<string, unknown>): Float64Array[] {
  const config = { ...fixture(MODEL).config, ...(rope && { rope_parameters: rope }) };
  const { attention = "lambda", nGlobal = 0, nLocal = Infinity, limit = nLocal } = options;
  const policy: Policy = { policy: attention, nGlobal, nLocal, limit };
  return forward(config, readTensors(file), ids, policy);
}

function worst(found: readonly Float32Array[], wanted: readonly Float64Array[]): number {
  return Math.max(...found.map((row, i) => deviation(row, wanted[i] as Float64Array)));
}

describe.each([...POLICIES])("%s", (attention) => {
  const options = { ...shape, attention };

  test("logits equal those of the dense masks, whatever the chunk", async () => {
    const wanted = dense(options);
    for (const chunkSize of [1, 7, 64]) {
      const model = await Bare.load(MODEL, { ...options, chunkSize, maxSessions: 1 });
      expect(worst(model.read(ids), wanted)).toBeLessThan(2e-4);
    }
  });

  test("every layer's policy and cache; memory and maxPositions follow from them", async () => {
    const { plan, program } = planModel(await checkpointOf(fixture(MODEL)), options);
    const windowed = { attention: "window", nGlobal: 0, nLocal: 16, limit: Infinity, maxPositions: Infinity } as const;
    const [first, second, third] = plan.layers;
    expect(first?.policy).toMatchObject(windowed);
    expect(third?.policy).toMatchObject(windowed);
    expect(second?.policy).toBe(plan.policy);
    expect(first?.cache.ring).toBe(16);
    expect(first?.cache.valueBytes).toBe(2 * 16 * kvHeadsOf(program) * 8 * 4);
    expect(plan.cacheBytes).toBe(plan.layers.reduce((sum, { cache }) => sum + cache.valueBytes, 0));
    expect(plan.maxPositions).toBe(attention === "full" || attention === "ceiling-only" ? 90 : Infinity);
  });

  test("a snapshot goes on with the same bits", async () => {
    const engine = await engineOf(MODEL, options);
    const here = engine.open(0, 1);
    await engine.append(here, ids.slice(0, 40));
    const { id: restored } = readSnapshot(engine, writeSnapshot(engine, engine.state(here), NO_TEXT));
    for (const session of [here, restored]) await engine.append(session, ids.slice(40));
    expect(sameBits(rowOf(engine, restored), rowOf(engine, here))).toBe(true);
  });
});

test("a snapshot of other layers, or of a version that knows none, is refused", async () => {
  const engine = await engineOf(MODEL, shape);
  const session = engine.open(0, 1);
  await engine.append(session, ids.slice(0, 40));
  const snapshot = writeSnapshot(engine, engine.state(session), NO_TEXT);
  const tiny = fixture(MODEL);
  const other = await engineOf({ ...tiny, config: { ...tiny.config, sliding_window: 12 } }, shape);
  Object.assign(other, { modelHash: engine.modelHash });
  expect(() => readSnapshot(other, snapshot)).toThrow(
    "snapshot: layer_policies of layer 0: expected window (nGlobal 0, nLocal 12, limit ∞, maxPositions ∞), found window (nGlobal 0, nLocal 16, limit ∞, maxPositions ∞)",
  );
  const old = new Uint8Array(readFileSync(join(import.meta.dir, "snapshots", "v1-lambda.safetensors")));
  expect(() => readSnapshot(engine, old)).toThrow("snapshot: version: expected 2, found 1");
});

test("one window for all layers bounds nLocal, and policies act on all of them", async () => {
  const tiny = fixture(MODEL);
  const config = { ...tiny.config, layer_types: null, max_window_layers: 0 };
  const { plan } = planModel(await checkpointOf({ ...tiny, config }), {});
  expect([plan.policy.nLocal, plan.policy.nGlobal]).toEqual([16, 10]);
  for (const { policy } of plan.layers) expect(policy).toBe(plan.policy);
});

test("without layer_types, layers from max_window_layers on have the window", async () => {
  const tiny = fixture(MODEL);
  const config = { ...tiny.config, layer_types: null, max_window_layers: 2 };
  const { plan } = planModel(await checkpointOf({ ...tiny, config }), shape);
  expect(plan.layers.map(({ policy }) => policy.nLocal)).toEqual([24, 24, 16]);
});

/** The program with another attention in the layers that have a window (or in those that have none). */
function adapted(program: Program, windowed: boolean, change: (operation: Operation) => Operation): Program {
  const layers = program.layers.map((operations) =>
    operations.map((one) => (one.op === "attention" && (one.window !== undefined) === windowed ? change(one) : one)),
  );
  return { ...program, layers };
}

describe.each(["lambda", "sinks", "ceiling-only"] as const)("%s, two bases of RoPE in one program", (attention) => {
  const options = { ...shape, attention };
  const bases = { full_attention: { rope_theta: 700 }, sliding_attention: { rope_theta: 10000 } };
  const positions = {
    kind: "rope",
    inverseFrequencies: inverseFrequencies(8, 700, { type: "default" }),
    interleaved: false,
  } as const;
  const adapt = (program: Program) => adapted(program, false, (one) => ({ ...one, positions }) as Operation);

  test("logits equal the dense masks' with a base for each type of layer", async () => {
    const model = await Bare.load(MODEL, { ...options, chunkSize: 16, maxSessions: 1 }, undefined, adapt);
    const rows = model.read(ids);
    expect(worst(rows, dense(options, bases))).toBeLessThan(2e-4);
    expect(worst(rows, dense(options))).toBeGreaterThan(0.01);
  });

  test("each distinct key of angles is made once a step", async () => {
    const model = await Bare.load(MODEL, { ...options, chunkSize: 16, maxSessions: 1 }, undefined, adapt);
    const angles = model.plan.records.flat().filter(({ text }) => text.startsWith("angles"));
    expect(angles.length).toBe(2);
  });
});

test("layers without positions: a ceiling does nothing, window and pins hold", async () => {
  const adapt = (program: Program) =>
    adapted(program, false, (one) => ({ ...one, positions: { kind: "none" } }) as Operation);
  const read = async (options: PolicyOptions) => {
    const model = await Bare.load(MODEL, { ...options, chunkSize: 16, maxSessions: 1 }, undefined, adapt);
    return model.read(ids);
  };
  const lambda = await read({ nGlobal: 3, nLocal: 24, limit: 24 });
  const same = (other: Float32Array[]) => other.every((row, i) => sameBits(row, lambda[i] as Float32Array));
  expect(same(await read({ nGlobal: 3, nLocal: 24, limit: 60 }))).toBe(true);
  expect(same(await read({ attention: "lambda-only", nGlobal: 3, nLocal: 24 }))).toBe(true);
  expect(same(await read({ attention: "sinks", nGlobal: 3, nLocal: 24 }))).toBe(true);
  expect(same(await read({ nGlobal: 2, nLocal: 24, limit: 24 }))).toBe(false);
  expect(same(await read({ nGlobal: 3, nLocal: 25, limit: 25 }))).toBe(false);
});
