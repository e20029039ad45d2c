/** What observers note of a step, against the softmax and the hidden states of the dense mask in f64. */

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import type { Engine } from "../../src/engine/engine.ts";
import { observe } from "../../src/engine/observe.ts";
import type { Checkpoint } from "../../src/formats/checkpoint.ts";
import { headsOf } from "../../src/models/program.ts";
import type { ObserveOptions } from "../../src/plan/observers.ts";
import { type PlanningOptions, planModel } from "../../src/plan/plan_checkpoint.ts";
import { POLICIES, type PolicyName, type PolicyOptions } from "../../src/plan/policy.ts";
import { Crew } from "../machine/crew.ts";
import type { AttentionRow } from "../reference/attention.ts";
import { deviation } from "../setup.ts";
import { checkpointOf, dense, engineOf, FAMILIES, fixture, PATIENCE, policyOf, randomIds, rowOf } from "./tiny.ts";

setDefaultTimeout(PATIENCE);

const crews: Crew[] = [];
afterAll(() => {
  for (const crew of crews) crew.stop();
});

/** Of each layer and index: statistics [tokens · heads · 3], the logits of each step's last row by its position, hidden states. */
interface Noted {
  readonly attention: number[][];
  readonly logits: Map<number, Float32Array>[];
  readonly hidden: number[][];
}

async function noted(engine: Engine, ids: readonly number[], origin = 0): Promise<Noted> {
  const layers = engine.program.layers.length;
  const lists = (count: number) => Array.from({ length: count }, (): number[] => []);
  const found: Noted = {
    attention: lists(layers),
    logits: Array.from({ length: layers }, () => new Map()),
    hidden: lists(layers + 1),
  };
  const id = engine.open(origin, 1);
  await observe(engine, id, ids, (step) => {
    expect(step.rows).toBe(Math.min(engine.plan.chunkSize, ids.length - (step.position - origin)));
    for (let i = 0; i <= layers; i++) {
      found.hidden[i]?.push(...step.hidden(i));
      if (i === layers) continue;
      found.attention[i]?.push(...step.attention(i));
      found.logits[i]?.set(step.position - origin + step.rows - 1, step.logits(i));
    }
  });
  engine.dispose(id);
  return found;
}

/** The same by the f64 reference; logits of every position. */
function wanted(family: string, ids: readonly number[], policy: PolicyOptions, span: number, sinks: number) {
  const rows: AttentionRow[][] = [];
  const hidden: Float64Array[][] = [];
  dense(family, ids, policy, {
    attention: (layer, row) => void (rows[layer] ??= []).push(row),
    hidden: (index, x) => void (hidden[index] = x),
  });
  const heads = 1 + Math.max(...(rows[0] as AttentionRow[]).map(({ head }) => head));
  return {
    hidden: hidden.map((x) => x.flatMap((row) => [...row])),
    attention: rows.map((layer) => {
      const numbers = new Array<number>(3 * heads * ids.length);
      for (const { head, p, logits, weights } of layer) {
        const entropy = weights.reduce((sum, w) => sum - (w > 0 ? w * Math.log(w) : 0), 0);
        const share = weights.slice(0, sinks).reduce((sum, w) => sum + w, 0);
        numbers.splice(3 * (p * heads + head), 3, entropy, Math.max(...logits), share);
      }
      return numbers;
    }),
    logits: rows.map((layer) => (p: number) => {
      const all = new Array<number>(heads * span).fill(NaN);
      for (const row of layer.filter((row) => row.p === p)) {
        for (let d = 0; d < Math.min(span, p + 1); d++) {
          const logit = row.logits[p - d] as number;
          if (logit !== -Infinity) all[row.head * span + d] = logit;
        }
      }
      return all;
    }),
  };
}

/** As deviation, but NaN equals NaN and nothing else. */
function deviationOfLogits(found: Float32Array, wanted: readonly number[]): number {
  const places = wanted.flatMap((logit, i) => (Number.isNaN(logit) ? [] : [i]));
  expect([...found.keys()].filter((i) => !Number.isNaN(found[i]))).toEqual(places);
  return deviation(
    places.map((i) => found[i] as number),
    places.map((i) => wanted[i] as number),
  );
}

const BOUND = 2e-4;

async function compare(
  family: string,
  attention: PolicyName,
  shape: PolicyOptions,
  { tokens, chunkSize, span, sinks, seed = tokens, origin = 0 }: Record<string, number> & { tokens: number },
): Promise<void> {
  const ids = randomIds(tokens, seed);
  const options = { ...policyOf(attention, shape, tokens), chunkSize, maxSessions: 1 };
  const observers: ObserveOptions = { attention: { span: span as number, sinks }, hidden: true };
  const engine = await engineOf(family, { ...options, observe: observers });
  const found = await noted(engine, ids, origin);
  const right = wanted(family, ids, { ...shape, attention }, span as number, sinks as number);
  for (const [i, numbers] of found.hidden.entries()) {
    expect(deviation(numbers, right.hidden[i] as number[])).toBeLessThan(BOUND);
  }
  for (const [layer, numbers] of found.attention.entries()) {
    expect(deviation(numbers, right.attention[layer] as number[])).toBeLessThan(BOUND);
    for (const [p, logits] of found.logits[layer] as Map<number, Float32Array>) {
      expect(deviationOfLogits(logits, right.logits[layer]?.(p) as number[])).toBeLessThan(BOUND);
    }
  }
}

describe.each([...FAMILIES, "gemma2"])(
  "%s: entropy, largest logit, share, logits and hidden states within 2e-4",
  (family) => {
    const shapes: [PolicyOptions, number][] = [
      [{ nGlobal: 3, nLocal: 8, limit: 11 }, 48],
      [{ nGlobal: 7, nLocal: 4, limit: 9 }, 24],
      [{ nGlobal: 5, nLocal: 70, limit: 80 }, 200],
    ];
    test.each([...POLICIES])("%s", async (attention) => {
      for (const [shape, tokens] of shapes) {
        for (const chunkSize of [1, 7, 64]) {
          await compare(family, attention, shape, { tokens, chunkSize, span: 40, sinks: 4, origin: 1 });
        }
      }
    });

    test("any policy, numbers, chunks, span and sinks", async () => {
      const cases = fc.record({
        attention: fc.constantFrom(...POLICIES),
        nLocal: fc.integer({ min: 1, max: 24 }),
        nGlobal: fc.integer({ min: 0, max: 12 }),
        beyond: fc.integer({ min: 0, max: 20 }),
        tokens: fc.integer({ min: 1, max: 72 }),
        chunkSize: fc.integer({ min: 1, max: 80 }),
        span: fc.integer({ min: 1, max: 100 }),
        sinks: fc.integer({ min: 0, max: 80 }),
        origin: fc.constantFrom(0, 63, 1000),
        seed: fc.nat(),
      });
      await fc.assert(
        fc.asyncProperty(cases, async ({ attention, nLocal, nGlobal, beyond, ...rest }) => {
          await compare(family, attention, { nLocal, nGlobal, limit: nLocal + beyond }, rest);
        }),
        { numRuns: 20, seed: 1 },
      );
    });
  },
);

/** The least bytes of a bank that the model fits in, spread over several. */
function bankBytesOf(checkpoint: Checkpoint, options: PlanningOptions): number {
  for (let bankBytes = 2 ** 18; ; bankBytes += 2048) {
    try {
      planModel(checkpoint, { ...options, chunkSize: 16, bankBytes });
      return bankBytes;
    } catch {
      // no layer fits
    }
  }
}

describe("the same bits", () => {
  const ids = randomIds(100, 4);
  const shape: PolicyOptions = { nGlobal: 3, nLocal: 20, limit: 24 };
  const observers: ObserveOptions = { attention: { span: 100, sinks: 3 }, hidden: true };

  /** What does not depend on where steps end, and the logits of the last token. */
  const comparable = ({ attention, logits, hidden }: Noted) => ({
    attention,
    hidden,
    last: logits.map((layer) => [...(layer.get(ids.length - 1) as Float32Array)]),
  });

  test.each([...FAMILIES])("%s: whatever the chunk, in one bank or several, with every cache", async (family) => {
    for (const cacheDtype of ["f32", "bf16", "int8"] as const) {
      const options = { ...shape, cacheDtype, maxSessions: 1, observe: observers };
      const read = async (more: object) =>
        comparable(await noted(await engineOf(family, { ...options, ...more }), ids));
      const right = await read({ chunkSize: 128 });
      expect(right.last.flat().some(Number.isFinite)).toBe(true);
      for (const chunkSize of [1, 9, 64]) expect(await read({ chunkSize })).toEqual(right);
      const checkpoint = await checkpointOf(fixture(family));
      const split = await engineOf(family, { ...options, chunkSize: 16, bankBytes: bankBytesOf(checkpoint, options) });
      expect(split.plan.banks.length).toBeGreaterThan(1);
      expect(comparable(await noted(split, ids))).toEqual(right);
    }
  });

  test("with two and three threads", async () => {
    const crew = await Crew.open();
    crews.push(crew);
    const options = { ...shape, chunkSize: 16, maxSessions: 1, observe: { ...observers, nll: true } };
    const right = comparable(await noted(await crew.engine("llama-gqa-tied", 1, options), ids));
    for (const threads of [2, 3]) {
      const engine = await crew.engine("llama-gqa-tied", threads, options);
      await crew.ready();
      expect(comparable(await noted(engine, ids))).toEqual(right);
    }
  });

  test("of logits and caches, with observers or without", async () => {
    for (const family of FAMILIES) {
      const engines = await Promise.all([
        engineOf(family, { ...shape, observe: { ...observers, nll: true } }),
        engineOf(family, { ...shape }),
      ]);
      const [one, other] = await Promise.all(
        engines.map(async (engine) => {
          const id = engine.open(0, 1);
          await engine.append(id, ids);
          const caches = engine.plan.layers.map(({ cache }, layer) =>
            engine.cacheBytes(engine.state(id), layer, 0, cache.bytes).slice(),
          );
          return { logits: rowOf(engine, id), caches };
        }),
      );
      expect(one).toEqual(other as NonNullable<typeof other>);
    }
  });
});

test("memory, records and the list of them: as planned, and nothing without observe", async () => {
  const checkpoint = await checkpointOf(fixture("llama-gqa-tied"));
  const options = { chunkSize: 32, nLocal: 16 };
  const plain = planModel(checkpoint, options);
  const { plan } = planModel(checkpoint, { ...options, observe: { attention: { span: 64 }, hidden: [0, 2] } });
  const heads = headsOf(plain.program, 0);
  const layers = plain.program.layers.length;
  const dim = plain.program.buffers.hidden as number;
  const more = layers * (12 * 32 * heads + 4 * heads * 64) + 2 * 4 * 32 * dim + 128 * (layers + 2);
  expect(plan.memoryBytes - plain.plan.memoryBytes).toBeWithin(more, more + 64 * (2 * layers + 3));
  const texts = plan.records.flat().map(({ text }) => text);
  expect(texts.filter((text) => text.startsWith("observed")).length).toBe(layers + 2);
  expect(plain.plan.records.flat().length).toBe(texts.length - layers - 2);
  expect(plain.plan.observed.every(({ attention, hidden, nll }) => !(attention || hidden || nll))).toBe(true);
  const engine = await engineOf("llama-gqa-tied", { ...options, observe: { hidden: [1] } });
  expect(engine.bank(0).memory.buffer.byteLength).toBeWithin(engine.plan.memoryBytes, engine.plan.memoryBytes + 65536);
});

test("what was not asked for is an error, and so are numbers that cannot be", async () => {
  const engine = await engineOf("gptj", { observe: { hidden: [1] } });
  const layers = engine.program.layers.length;
  await observe(engine, engine.open(0, 1), [1, 2], (step) => {
    expect(step.hidden(1).length).toBe(2 * (engine.program.buffers.hidden as number));
    expect(() => step.hidden(0)).toThrow("observe: expected what asks for hidden 0, found none");
    expect(() => step.attention(0)).toThrow("observe: expected what asks for attention of layer 0, found none");
    expect(() => step.logits(layers)).toThrow("observe: expected");
  });
  const checkpoint = await checkpointOf(fixture("gptj"));
  const bad: [ObserveOptions, string][] = [
    [{ hidden: [layers + 1] }, `observe.hidden: expected a whole number from 0 to ${layers}`],
    [{ hidden: [-1] }, "observe.hidden"],
    [{ attention: { span: 0 } }, "observe.attention.span: expected a whole number from 1"],
    [{ attention: { span: 4, sinks: 1.5 } }, "observe.attention.sinks: expected a whole number from 0"],
  ];
  for (const [observers, message] of bad) {
    expect(() => planModel(checkpoint, { observe: observers })).toThrow(message);
  }
});
