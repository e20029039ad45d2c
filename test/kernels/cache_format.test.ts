/** Keys and values in the formats of the cache: what a cast makes of them, and attention over them. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Cast, Op } from "../../assembly/op.ts";
import { CACHE_DTYPES, type CacheDType } from "../../src/base/dtype.ts";
import { CACHE_FORMATS, headBytes } from "../../src/plan/cache.ts";
import { POLICIES, resolvePolicy } from "../../src/plan/policy.ts";
import { BLOCK, rounded } from "../reference/cache_format.ts";
import { Bench, Dice, SINGLE_BUILDS, words, worst } from "./harness.ts";
import { attend, chunksOf, draw, expected, type Setup } from "./session.ts";

const NARROW = ["bf16", "int8"] as const;
const benches = await Promise.all(SINGLE_BUILDS.map((build) => Bench.open(build)));

/** What Op.Cast makes of rows of heads, read back number by number. */
function cast(bench: Bench, dtype: CacheDType, x: Float32Array, rows: number, headDim: number, slices = 1) {
  bench.clear();
  const kvHeads = x.length / rows / headDim;
  const bytes = headBytes(dtype, headDim);
  const y = bench.take((x.length / headDim) * bytes);
  bench.rows(rows);
  const shape = { kvHeads, headDim, format: CACHE_FORMATS[dtype], headBytes: bytes };
  bench.execute(Op.Cast, Cast, { y, x: bench.floats(x), ...shape }, { slices });
  bench.checkGuards();
  // What lies between the numbers and their scales is always the same.
  for (let head = y; dtype === "int8" && head < y + (x.length / headDim) * bytes; head += bytes) {
    for (let d = headDim; d % 4; d++) expect(bench.view.getInt8(head + d)).toBe(0);
  }
  return x.map((_, i) => {
    const [head, d] = [y + Math.floor(i / headDim) * bytes, i % headDim];
    if (dtype === "bf16") {
      return new Float32Array(Uint32Array.of(bench.view.getUint16(head + 2 * d, true) << 16).buffer)[0]!;
    }
    const scale = head + 4 * Math.ceil(headDim / 4) + 4 * Math.floor(d / BLOCK);
    return bench.view.getInt8(head + d) * bench.view.getFloat32(scale, true);
  });
}

const heads = fc.record({
  rows: fc.integer({ min: 1, max: 4 }),
  kvHeads: fc.integer({ min: 1, max: 3 }),
  headDim: fc.integer({ min: 1, max: 100 }),
  exponent: fc.integer({ min: -60, max: 60 }),
  seed: fc.nat(),
});

describe.each(NARROW)("%s", (dtype) => {
  test("a cast gives the numbers of the definition, exact, in any slices", () => {
    const property = fc.property(heads, ({ rows, kvHeads, headDim, exponent, seed }) => {
      const dice = new Dice(seed);
      const x = dice.floats(rows * kvHeads * headDim, 2 ** exponent);
      // Blocks of zeros, and numbers that lie in the middle of two.
      if (dice.below(2)) x.fill(0, dice.below(x.length));
      if (dice.below(2)) for (let i = 0; i < x.length; i++) x[i] = (dice.below(509) - 254) / 2;
      for (const bench of benches) {
        expect(words(cast(bench, dtype, x, rows, headDim, 1 + dice.below(3)).map((value) => value + 0))).toEqual(
          words(rounded(dtype, x, headDim).map((value) => value + 0)),
        );
      }
    });
    fc.assert(property, { numRuns: 100 });
  });

  test("NaN and infinities do not become numbers, and no other block or head feels them", () => {
    const [bench] = benches as [Bench];
    for (const bad of [NaN, Infinity, -Infinity, new Float32Array(Uint32Array.of(0x7fffffff).buffer)[0]!]) {
      const x = new Dice(1).floats(3 * 40);
      const good = cast(bench, dtype, x, 1, 40);
      x[40 + 35] = bad;
      const found = cast(bench, dtype, x, 1, 40);
      expect(Number.isFinite(found[40 + 35])).toBe(false);
      expect(words(found.subarray(0, 40 + BLOCK))).toEqual(words(good.subarray(0, 40 + BLOCK)));
      expect(words(found.subarray(80))).toEqual(words(good.subarray(80)));
    }
  });
});

test("bf16 is off by 2^-8 of the number at most, int8 by 1/254 of the largest in its block", () => {
  const property = fc.property(heads, ({ rows, kvHeads, headDim, exponent, seed }) => {
    const x = new Dice(seed).floats(rows * kvHeads * headDim, 2 ** exponent);
    const [bench] = benches as [Bench];
    expect(worst(cast(bench, "bf16", x, rows, headDim), x, (value) => Math.abs(value) || 1)).toBeLessThanOrEqual(
      2 ** -8,
    );
    const largest = x.map((_, i) => {
      const block = i - (i % headDim) + Math.floor((i % headDim) / BLOCK) * BLOCK;
      const end = Math.min(block + BLOCK, i - (i % headDim) + headDim);
      return x.subarray(block, end).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    });
    const off = worst(cast(bench, "int8", x, rows, headDim), x, (_, i) => (largest[i] as number) / 254 || 1);
    expect(off).toBeLessThan(1 + 1e-4);
  });
  fc.assert(property, { numRuns: 100 });
});

describe.each(CACHE_DTYPES)("attention over a cache of %s", (cacheDtype) => {
  test("is that over its numbers in f32, bit for bit, in any chunks and slices, under every policy", () => {
    const shape = {
      attention: fc.constantFrom(...POLICIES),
      headDim: fc.oneof(fc.integer({ min: 2, max: 50 }), fc.constantFrom(64, 80, 128)),
      kvHeads: fc.integer({ min: 1, max: 3 }),
      group: fc.integer({ min: 1, max: 5 }),
      rotates: fc.boolean(),
      nGlobal: fc.integer({ min: 0, max: 6 }),
      nLocal: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 60, max: 70 })),
      over: fc.nat({ max: 20 }),
      n: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 60, max: 140 })),
      origin: fc.constantFrom(0n, 7n, 2n ** 53n - 200n),
      seed: fc.nat(),
    };
    const property = fc.property(fc.record(shape), ({ n, origin, seed, over, rotates, group, ...rest }) => {
      const { attention, nGlobal, nLocal, kvHeads, headDim } = rest;
      const dice = new Dice(seed);
      const policy = resolvePolicy({ attention, nGlobal, nLocal, limit: nLocal + over, maxPositions: n }, 4096);
      const rotaryDim = rotates ? headDim & ~1 : 0;
      const common = { heads: kvHeads * group, kvHeads, headDim, rotaryDim, layout: "half", scale: 0.3 } as const;
      const setup: Setup = { ...common, policy };
      const tokens = draw(dice, setup, n);
      const wanted = attend(benches[0]!, setup, tokens, [n], { origin, rounding: cacheDtype });
      for (const bench of benches) {
        const options = { origin, slices: 1 + dice.below(4) };
        const found = attend(bench, { ...setup, cacheDtype }, tokens, chunksOf(dice, n, 20), options);
        expect(words(found.out)).toEqual(words(wanted.out));
        expect(found.visited).toBe(wanted.visited);
      }
      if (rotates) return;
      // Without rotation the reference can have the same keys.
      const [k, v] = [rounded(cacheDtype, tokens.k, headDim), rounded(cacheDtype, tokens.v, headDim)];
      expect(worst(wanted.out, expected(setup, { q: tokens.q, k, v }).out, () => 1)).toBeLessThan(2e-5);
    });
    fc.assert(property, { numRuns: 60 });
  });

  test("leaves the same cache, whatever the chunks", () => {
    const common = { heads: 6, kvHeads: 2, headDim: 45, rotaryDim: 44, layout: "half", scale: 0.3 } as const;
    const policy = resolvePolicy({ nGlobal: 3, nLocal: 9, limit: 12 }, 4096);
    const setup: Setup = { ...common, policy, cacheDtype };
    const tokens = draw(new Dice(4), setup, 50);
    const slots = [[50], [1, 48, 1], Array.from({ length: 50 }, () => 1)].map((chunks) =>
      words(attend(benches[0]!, setup, tokens, chunks).slot),
    );
    expect(slots[1]).toEqual(slots[0]!);
    expect(slots[2]).toEqual(slots[0]!);
  });
});
