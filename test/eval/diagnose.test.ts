/** What `lambent diagnose` computes, against the f64 reference and by construction. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  attends,
  Curves,
  gridOf,
  keysOf,
  meanCurves,
  readCurves,
  spreadOf,
  uniform,
} from "../../research/eval/diagnose.ts";
import { alikeOf, findingsOf, type LayerFindings } from "../../research/eval/findings.ts";
import { HiddenStates, keptPositions, remoteness } from "../../research/eval/hidden.ts";
import { POLICIES, type Policy, type PolicyName, type PolicyOptions, resolvePolicy } from "../../src/plan/policy.ts";
import { dense, engineOf, FAMILIES, fixture, PATIENCE, policyOf, randomIds, type Tensor } from "../engine/tiny.ts";
import { type AttentionRow, pair } from "../reference/attention.ts";
import { deviation } from "../setup.ts";

setDefaultTimeout(PATIENCE);

describe("grid", () => {
  test.each([1, 2, 3, 100, 128, 129, 2048, 16384])(
    "of %d tokens: every position in one band, both ends of distance",
    (n) => {
      const { distances, edges } = gridOf(n);
      expect(distances[0]).toBe(0);
      expect(distances.at(-1)).toBe(n - 1);
      expect(distances).toEqual([...new Set(distances)].sort((a, b) => a - b));
      expect(edges[0]).toBe(0);
      expect(edges.at(-1)).toBe(n);
      expect(edges.every((edge, i) => i === 0 || edge > (edges[i - 1] as number))).toBe(true);
      expect(Math.max(edges.length, distances.length)).toBeLessThan(170);
    },
  );
});

test.each([...POLICIES])("%s: the keys that are met are those of the definition", (attention) => {
  const options: PolicyOptions = { attention, nGlobal: 3, nLocal: 5, limit: 7, maxPositions: 30 };
  const policy = resolvePolicy(options, 30);
  for (let p = 0; p < 30; p++) {
    const met = Array.from({ length: p + 1 }, (_, j) => pair({ ...policy, policy: attention }, p, j).attended);
    expect(met.map((_, j) => attends(policy, p, p - j))).toEqual(met);
    for (const sinks of [0, 2, 6]) {
      const count = (keys: boolean[]) => keys.filter(Boolean).length;
      expect(keysOf(policy, p, sinks)).toEqual({ keys: count(met), sinks: count(met.slice(0, sinks)) });
    }
  }
});

test("what all keys alike would give, by bands", () => {
  const grid = { length: 4, distances: [0, 3], edges: [0, 2, 4] };
  const { entropy, sinks } = uniform([resolvePolicy({ attention: "window", nLocal: 2 }, 4)], grid, 1);
  expect(entropy).toEqual([Math.log(2) / 2, Math.log(2)]);
  expect(sinks).toEqual([0.75, 0]);
});

test("what they would give in layers of unlike windows, on average", () => {
  const grid = { length: 4, distances: [0, 3], edges: [0, 2, 4] };
  const [two, one] = [2, 1].map((nLocal) => resolvePolicy({ attention: "window", nLocal }, 4)) as [Policy, Policy];
  const { entropy, sinks } = uniform([two, one, one], grid, 1);
  expect(entropy[1]).toBeCloseTo(Math.log(2) / 3, 12);
  expect(sinks[0]).toBeCloseTo((0.75 + 0.5 + 0.5) / 3, 12);
  expect(uniform([two, two, two], grid, 1)).toEqual(uniform([two], grid, 1));
});

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

describe.each([...FAMILIES])("%s: bounds, entropies and shares of every head within 2e-4", (family) => {
  const length = 150;
  test.each<PolicyName>(["full", "lambda", "sinks"])("%s", async (attention) => {
    const shape = { nGlobal: 3, nLocal: 40, limit: 45 };
    const ids = randomIds(length, 3);
    const rows: AttentionRow[][] = [];
    dense(
      family,
      ids,
      { ...shape, attention },
      { attention: (l, row) => void (rows[l] ??= []).push(row), hidden() {} },
    );
    const observe = { attention: { span: length, sinks: 4 } };
    const options = { ...policyOf(attention, shape, length), chunkSize: 16, maxSessions: 1, observe };
    const grid = gridOf(length);
    const curves = await readCurves(await engineOf(family, options), ids, grid);
    expect(curves.notFinite).toBe(0);
    for (const [layer, found] of rows.entries()) {
      for (let head = 0; head < curves.heads; head++) {
        const mine = found.filter((row) => row.head === head).sort((a, b) => a.p - b.p);
        const entropies = mine.map(({ weights }) => weights.reduce((sum, w) => sum - (w > 0 ? w * Math.log(w) : 0), 0));
        const shares = mine.map(({ weights }) => weights.slice(0, 4).reduce((sum, w) => sum + w, 0));
        const bands = (values: number[]) =>
          grid.edges.slice(1).map((end, i) => mean(values.slice(grid.edges[i] as number, end)));
        expect(deviation(curves.entropy(layer, head), bands(entropies))).toBeLessThan(2e-4);
        expect(deviation(curves.sinks(layer, head), bands(shares))).toBeLessThan(2e-4);
        const { logits } = mine[length - 1] as AttentionRow;
        const bound = grid.distances.map((d) => Math.max(...logits.slice(length - 1 - d)));
        expect(deviation(curves.bound(layer, head), bound)).toBeLessThan(2e-4);
      }
    }
  });
});

test("hidden states: those of the reference, at the positions that are kept", async () => {
  const ids = randomIds(90, 5);
  const hidden: Float64Array[][] = [];
  dense("gptj", ids, { attention: "full" }, { attention() {}, hidden: (index, x) => void (hidden[index] = x) });
  const options = { attention: "full", maxPositions: 90, chunkSize: 13, maxSessions: 1 } as const;
  const observe = { attention: { span: 90 }, hidden: [0, 2] };
  const engine = await engineOf("gptj", { ...options, observe });
  const dim = engine.program.buffers.hidden as number;
  const positions = [0, 1, 14, 15, 60];
  const states = new HiddenStates([0, 2], positions, dim);
  await readCurves(engine, ids, gridOf(90), (step) => states.take(step));
  for (const [i, layer] of [0, 2].entries()) {
    const right = positions.flatMap((p) => [...((hidden[layer] as Float64Array[])[p] as Float64Array)]);
    expect(deviation(states.values[i] as Float32Array, right)).toBeLessThan(2e-4);
  }
});

test("numbers that are not finite are told, not dropped", async () => {
  const tiny = fixture("llama-gqa-tied");
  const name = "model.layers.1.self_attn.q_proj.weight";
  const { dtype, shape, bytes } = tiny.tensors.get(name) as Tensor;
  // About 3.4e38 in every place, as f32 and as bf16: sums of them overflow.
  tiny.tensors.set(name, { dtype, shape, bytes: bytes.map((_, i) => (i % 2 ? 0x7f : 0x7e)) });
  const observe = { attention: { span: 20 } };
  const engine = await engineOf(tiny, { attention: "full", maxPositions: 20, maxSessions: 1, observe });
  const curves = await readCurves(engine, randomIds(20, 1), gridOf(20));
  expect(curves.entropy(1, 0).every(Number.isNaN)).toBe(true);
  expect(curves.bound(1, 0).at(-1)).not.toBeFinite();
  expect(curves.bound(0, 0).every(Number.isFinite)).toBe(true);
  const zero = new Curves(curves.layers, curves.heads, curves.grid);
  expect(meanCurves([zero, curves]).notFinite).toBe(curves.notFinite);
  const all = findingsOf(curves, 10, [0, 1]).at(-1) as LayerFindings;
  expect(all.entropy.end.mean).toBeNaN();
});

test("findings: within the trained length and at the end, over heads and over all of them", () => {
  const grid = gridOf(256);
  const curves = new Curves(2, 2, grid);
  for (const [layer, head] of [
    [0, 0],
    [0, 1],
    [1, 0],
    [1, 1],
  ] as const) {
    const factor = 1 + 2 * layer + head;
    for (const [i, d] of grid.distances.entries()) curves.bound(layer, head)[i] = factor * (d < 64 ? 1 : 2);
    for (let band = 0; band < 128; band++) {
      // Bands of 2 positions: 32 ≤ p < 64, and 224 ≤ p < 256.
      const inside = band >= 16 && band < 32;
      const last = band >= 112;
      curves.entropy(layer, head)[band] = factor * (inside ? 3 : last ? 4 : 1000);
      curves.sinks(layer, head)[band] = factor * (inside ? 0.1 : last ? 0.01 : 1000);
    }
  }
  const [first, second, all] = findingsOf(curves, 64, [0, 1]) as [LayerFindings, LayerFindings, LayerFindings];
  expect(first.bound).toEqual({ trained: spreadOf([1, 2]), end: spreadOf([2, 4]) });
  expect(second.entropy).toEqual({ trained: spreadOf([9, 12]), end: spreadOf([12, 16]) });
  expect(all).toMatchObject({ layer: "all", entropy: { trained: spreadOf([3, 6, 9, 12]) }, heads: [] });
  expect(all.sinks.trained.largest).toBeCloseTo(0.4, 6);
  expect(all.sinks.end.largest).toBeCloseTo(0.04, 6);
  expect(second.heads[1]?.bound).toEqual({ trained: 4, end: 8 });
  const global = findingsOf(curves, 64, [1]).at(-1) as LayerFindings;
  expect(global).toMatchObject({ layer: "global", bound: { trained: spreadOf([3, 4]) }, heads: [] });
  const alike = alikeOf([resolvePolicy({ attention: "window", nLocal: 20 }, 64)], grid, 5, 64);
  expect(alike.entropy.end).toBeCloseTo(Math.log(20), 9);
  expect(alike.sinks).toEqual({ trained: 0, end: 0 });
});

test("a spread divides by n − 1", () => {
  expect(spreadOf([1, 2, 6])).toEqual({ mean: 3, std: Math.sqrt(7) });
  expect(spreadOf([5])).toEqual({ mean: 5, std: 0 });
});

describe("first tokens", () => {
  test("positions that are kept: the first ones, then evenly, each once", () => {
    expect(keptPositions(20)).toEqual([...Array(20).keys()]);
    expect(keptPositions(512)).toEqual([...Array(512).keys()]);
    const many = keptPositions(4096);
    expect(many).toHaveLength(512);
    expect(many.slice(0, 33)).toEqual([...Array(33).keys()]);
    expect(new Set(many).size).toBe(512);
    expect(many.at(-1)).toBeGreaterThan(4080);
  });

  test("how far they are, in units of the others' spread", () => {
    // The others at ±2 of (1, 1): a spread of 2. Position 0 is 10 away, the next nine 6, those up to 31 at the centre.
    const positions = keptPositions(132);
    const text = new Float32Array(
      positions.flatMap((p) => (p === 0 ? [1, 11] : p < 10 ? [7, 1] : p < 32 ? [1, 1] : [1 + (p % 2 ? 2 : -2), 1])),
    );
    const { byPosition, first, withoutBos, chance } = remoteness([text, text], positions, 2);
    expect(byPosition.slice(0, 11)).toEqual([5, 3, 3, 3, 3, 3, 3, 3, 3, 3, 0]);
    expect(byPosition).toHaveLength(32);
    expect(withoutBos).toBe(3);
    expect(first).toBeCloseTo(Math.hypot(2.7, 0.5), 9);
    expect(chance).toBeCloseTo(1 / Math.sqrt(18), 9);
  });
});
