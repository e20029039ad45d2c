/** A model that is spread over several memories computes the same bits, and its sessions hold the same bytes. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { Size } from "../../assembly/layout.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { planModel } from "../../src/plan/plan_checkpoint.ts";
import { POLICIES, type PolicyOptions } from "../../src/plan/policy.ts";
import {
  checkpointOf,
  engineOf,
  firstDifference,
  fixture,
  PATIENCE,
  policyOf,
  randomIds,
  type Tiny,
  tiedHead,
  untiedHead,
} from "./tiny.ts";

setDefaultTimeout(PATIENCE);

const models: [string, () => Tiny][] = [
  ["llama, tied", () => fixture("llama-gqa-tied")],
  ["llama, tied, stored as the head", () => fixture("llama-tied-head-only")],
  ["llama, untied", () => fixture("llama-untied")],
  ["llama, bf16", () => fixture("llama-bf16")],
  ["mpt, tied", () => fixture("mpt-heads6")],
  ["mpt, untied", () => untiedHead(fixture("mpt-heads6"))],
  ["gptj, tied", () => tiedHead(fixture("gptj"))],
  ["gptj, untied", () => fixture("gptj")],
];

const TOKENS = 60;
const shape: PolicyOptions = { nLocal: 16, nGlobal: 3, limit: 20 };

/** For every number of banks that the model can be spread over, a limit that does it. */
async function limits(tiny: Tiny, options: PolicyOptions): Promise<Map<number, number>> {
  const checkpoint = await checkpointOf(tiny);
  const found = new Map<number, number>();
  // Every bank has its areas of scratch beside weights, caches and activations.
  for (let bankBytes = Size.MaxSlices * Size.ScratchBytes; !found.has(1); bankBytes += 2048) {
    try {
      const { banks } = planModel(checkpoint, { ...options, chunkSize: 16, bankBytes }).plan;
      if (!found.has(banks.length)) found.set(banks.length, bankBytes);
    } catch {
      // no layer fits
    }
  }
  return found;
}

interface Reading {
  readonly logits: Float32Array[];
  readonly caches: Buffer[];
}

/** Logits after every token, and every layer's cache when the text is read. */
async function read(engine: Engine, ids: readonly number[]): Promise<Reading> {
  const session = engine.open(0, 1);
  const logits: Float32Array[] = [];
  await engine.forward(session, ids, (row) => void logits.push(row.slice()));
  const { plan } = engine;
  const caches = plan.layers.map(({ cache }, layer) =>
    Buffer.from(engine.cacheBytes(engine.state(session), layer, 0, cache.bytes)),
  );
  return { logits, caches };
}

describe.each(models)("%s", (_, make) => {
  test.each([...POLICIES])("%s: over two banks and more as in one", async (attention) => {
    const ids = randomIds(TOKENS, 5);
    const options = { ...policyOf(attention, shape, TOKENS), chunkSize: 16 };
    const whole = await engineOf(make(), options);
    const wanted = await read(whole, ids);
    expect(whole.plan.banks.length).toBe(1);
    const spread = [...(await limits(make(), options))].filter(([banks]) => banks > 1);
    expect(spread.map(([banks]) => banks)).toContain(2);
    expect(Math.max(...spread.map(([banks]) => banks))).toBeGreaterThan(2);
    for (const [banks, bankBytes] of spread) {
      const engine = await engineOf(make(), { ...options, bankBytes });
      expect(engine.plan.banks.length).toBe(banks);
      expect(new Set(engine.plan.layers.map(({ bank }) => bank)).size).toBeGreaterThan(banks > 2 ? 1 : 0);
      expect(engine.plan.weightBytes).toBe(whole.plan.weightBytes);
      for (const bank of engine.plan.banks) expect(bank.initialBytes).toBeLessThanOrEqual(bankBytes);
      const found = await read(engine, ids);
      expect(firstDifference(found.logits, wanted.logits)).toBe(-1);
      for (const [layer, cache] of found.caches.entries()) {
        expect(cache.equals(wanted.caches[layer] as Buffer)).toBe(true);
        expect(cache.some((byte) => byte !== 0)).toBe(true);
      }
    }
  });
});

test("sessions of a model in banks are forked, and leave nothing behind", async () => {
  const tiny = fixture("llama-untied");
  const options = { ...policyOf("lambda", shape, TOKENS), chunkSize: 16 };
  const bankBytes = [...(await limits(tiny, options))].find(([banks]) => banks > 2)?.[1];
  const engine = await engineOf(tiny, { ...options, bankBytes });
  const ids = randomIds(TOKENS, 6);
  const { logits } = await read(engine, ids);
  const session = engine.open(0, 1);
  await engine.append(session, ids.slice(0, 30));
  const fork = engine.fork(session);
  await engine.append(session, randomIds(20, 7));
  engine.dispose(session);
  await read(engine, randomIds(TOKENS, 8));
  await engine.append(fork, ids.slice(30));
  expect(firstDifference([engine.logits(engine.state(fork))], logits.slice(-1))).toBe(-1);
});
