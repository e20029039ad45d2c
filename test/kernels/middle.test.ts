/** Top-k middle tokens of one layer, against their definition in f64 (test/reference/attention.ts). */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { CACHE_DTYPES } from "../../src/base/dtype.ts";
import { type PolicyOptions, resolvePolicy } from "../../src/plan/policy.ts";
import { rounded } from "../reference/cache_format.ts";
import { Bench, Dice, words, worst } from "./harness.ts";
import { attend, beginsOf, chunksOf, draw, expected, type Setup } from "./session.ts";

setDefaultTimeout(60_000);

const bench = await Bench.open();
const POLICIES = ["lambda", "window", "lambda-only", "sinks"] as const;
const POSITIONS = ["half", "interleaved", "alibi"] as const;

function setupOf(position: (typeof POSITIONS)[number], shape: Shape, options: PolicyOptions): Setup {
  const { kvHeads, group, headDim } = shape;
  return {
    heads: kvHeads * group,
    kvHeads,
    headDim,
    rotaryDim: position === "alibi" ? 0 : (headDim >> 2) << 1,
    layout: position === "interleaved" ? "interleaved" : "half",
    scale: 1 / Math.sqrt(headDim),
    softCap: group === 3 ? 2 : 0,
    policy: resolvePolicy(options, 4096),
  };
}

interface Shape {
  readonly kvHeads: number;
  readonly group: number;
  readonly headDim: number;
}

const cases = fc.record({
  attention: fc.constantFrom(...POLICIES),
  shape: fc.record({
    headDim: fc.oneof(fc.integer({ min: 4, max: 20 }), fc.constantFrom(64, 80)),
    kvHeads: fc.integer({ min: 1, max: 3 }),
    group: fc.integer({ min: 1, max: 4 }),
  }),
  limits: fc.record({
    nGlobal: fc.integer({ min: 0, max: 6 }),
    nLocal: fc.integer({ min: 1, max: 12 }),
    middleK: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.constantFrom(63, 64, 65, 256)),
    maxMiddle: fc.oneof(fc.integer({ min: 1, max: 30 }), fc.constantFrom(64, 100, 500)),
    middleDistance: fc.integer({ min: 1, max: 50 }),
  }),
  over: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 20 })),
  n: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 60, max: 160 })),
  origin: fc.constantFrom(0n, 7n, 2n ** 40n, 2n ** 53n - 200n),
  seed: fc.nat(),
  every: fc.integer({ min: 1, max: 4 }),
});

describe.each(POSITIONS)("%s", (position) => {
  test("any policy, shape, chunks, slices, origin and rows that ask: the best are chosen; within 2e-5 of f64; one bit pattern", () => {
    const property = fc.property(cases, ({ attention, shape, limits, over, n, origin, seed, every }) => {
      const setup = setupOf(position, shape, { attention, ...limits, limit: limits.nLocal + over });
      const dice = new Dice(seed);
      const tokens = draw(dice, setup, n);
      const asks = (p: number) => p % every === 0;
      const begins = beginsOf(dice, seed % 2 ? n : 0);
      const begin = (p: number) => begins[p] ?? 0;
      const one = attend(bench, setup, tokens, chunksOf(dice, n, 20), { origin, asks, begin });
      const { out, pairs, margin } = expected(setup, tokens, { chosen: one.chosen, asks, begin });
      expect(margin).toBeGreaterThan(-1e-5);
      expect(worst(one.out, out, () => 1)).toBeLessThan(2e-5);
      expect(one.visited).toBe(pairs * setup.kvHeads);
      for (const chunks of [[n], chunksOf(dice, n, 3)]) {
        const other = attend(bench, setup, tokens, chunks, { origin, asks, begin, slices: 1 + dice.below(4) });
        expect(words(other.out)).toEqual(words(one.out));
        expect(words(other.slot)).toEqual(words(one.slot));
        expect(other.visited).toBe(one.visited);
      }
    });
    fc.assert(property, { numRuns: 25 });
  });

  test.each(CACHE_DTYPES)(
    "%s keys and values are attended as f32 ones of the same numbers, bit for bit",
    (cacheDtype) => {
      for (const seed of [1, 2, 3, 4]) {
        const shape = { headDim: 6 + 17 * seed, kvHeads: 2, group: 1 + (seed % 3) };
        const attention = POLICIES[seed - 1];
        const numbers = { nGlobal: 3, nLocal: 9, middleK: 4, maxMiddle: 40 };
        const setup = setupOf(position, shape, { attention, ...numbers });
        const dice = new Dice(seed);
        const tokens = draw(dice, setup, 90);
        const found = attend(bench, { ...setup, cacheDtype }, tokens, chunksOf(dice, 90, 30));
        const wanted = attend(bench, setup, tokens, [90], { rounding: cacheDtype });
        expect(words(found.out)).toEqual(words(wanted.out));
        const numbersOf = (x: Float32Array) => (cacheDtype === "f32" ? x : rounded(cacheDtype, x, setup.headDim));
        const same = { ...tokens, k: numbersOf(tokens.k), v: numbersOf(tokens.v) };
        expect(expected(setup, same, { chosen: found.chosen }).margin).toBeGreaterThan(-1e-5);
      }
    },
  );

  test("of equal keys the first ones are chosen, best first, in any chunks", () => {
    const shape = { headDim: 8, kvHeads: 2, group: 3 };
    const setup = setupOf(position, shape, { nGlobal: 2, nLocal: 3, middleK: 3, maxMiddle: 70 });
    const tokens = draw(new Dice(5), setup, 120);
    for (let p = 0; p < 120; p++) tokens.k.copyWithin(p * 16, 0, 16);
    for (const chunks of [[120], [70, 50], [1, 63, 56], Array.from({ length: 120 }, () => 1)]) {
      const { chosen } = attend(bench, setup, tokens, chunks);
      for (let p = 0; p < 120; p++) {
        const first = Math.max(2, p - 3 - 70 + 1);
        const wanted = [first, first + 1, first + 2].filter((j) => j <= p - 3);
        for (let head = 0; head < setup.heads; head++) expect(chosen(head, p)).toEqual(wanted);
      }
    }
  });

  test("a key is chosen until it is maxMiddle behind the local ones, and never from then on", () => {
    const shape = { headDim: 8, kvHeads: 1, group: 1 };
    const setup = { ...setupOf(position, shape, { nGlobal: 0, nLocal: 4, middleK: 1, maxMiddle: 10 }), rotaryDim: 0 };
    const tokens = draw(new Dice(6), setup, 60);
    tokens.q.fill(1);
    tokens.k.fill(-1);
    tokens.k.fill(5, 20 * 8, 21 * 8);
    for (const chunks of [[60], [5, 55], [30, 30], Array.from({ length: 60 }, () => 1)]) {
      const { chosen } = attend(bench, setup, tokens, chunks);
      for (let p = 20; p < 60; p++) expect(chosen(0, p).includes(20)).toBe(p >= 24 && p <= 33);
    }
  });
});

test("with k of all there are, and RoPE's distance of the ceiling, it is full coverage: ceiling-only at that distance", () => {
  const shape = { headDim: 16, kvHeads: 2, group: 2 };
  const options = { nGlobal: 3, nLocal: 1, limit: 1 };
  const middle = { middleK: 256, middleDistance: 1, maxMiddle: 1000 };
  for (const position of POSITIONS) {
    const setup = setupOf(position, shape, { ...options, ...middle });
    const tokens = draw(new Dice(7), setup, 150);
    const { out } = attend(bench, setup, tokens, [50, 100]);
    const all = setupOf(position, shape, { attention: "ceiling-only", limit: 1, maxPositions: 150 });
    expect(worst(out, expected(all, tokens).out, () => 1)).toBeLessThan(2e-5);
  }
});

test("rows that do not ask are attended as without middle keys, bit for bit", () => {
  const shape = { headDim: 12, kvHeads: 2, group: 2 };
  for (const position of POSITIONS) {
    const numbers = { nGlobal: 2, nLocal: 5, limit: 8 };
    const setup = setupOf(position, shape, { ...numbers, middleK: 4 });
    const tokens = draw(new Dice(8), setup, 80);
    const plain = attend(bench, setupOf(position, shape, numbers), tokens, [40, 40]);
    const none = attend(bench, setup, tokens, [30, 50], { asks: () => false });
    expect(words(none.out)).toEqual(words(plain.out));
    expect(none.visited).toBe(plain.visited);
    expect(words(attend(bench, setup, tokens, [30, 50]).out)).not.toEqual(words(plain.out));
  }
});
