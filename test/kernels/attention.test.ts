import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { POLICIES, type PolicyOptions, resolvePolicy } from "../../src/plan/policy.ts";
import { Bench, Dice, words, worst } from "./harness.ts";
import { attend, beginsOf, chunksOf, draw, expected, type Setup } from "./session.ts";

const bench = await Bench.open();
const POSITIONS = ["half", "interleaved", "alibi"] as const;

/** The rotary dimensions that a head can have, some of it or all. */
function rotaryDims(headDim: number): number[] {
  return [...new Set([2, (headDim >> 2) << 1, (headDim >> 1) << 1])].filter((dim) => dim >= 2 && dim <= headDim);
}

interface Wanted extends PolicyOptions {
  readonly position: (typeof POSITIONS)[number];
  readonly headDim: number;
  readonly kvHeads: number;
  readonly group: number;
  readonly partial: number;
  readonly softCap?: number;
}

function setupOf({ position, headDim, kvHeads, group, partial, softCap = 0, ...options }: Wanted): Setup {
  const dims = position === "alibi" ? [] : rotaryDims(headDim);
  return {
    heads: kvHeads * group,
    kvHeads,
    headDim,
    // A head of one number cannot be rotated.
    rotaryDim: dims[partial % dims.length] ?? 0,
    layout: position === "interleaved" ? "interleaved" : "half",
    scale: 1 / Math.sqrt(headDim),
    softCap,
    policy: resolvePolicy(options, 4096),
  };
}

describe.each(POLICIES)("%s", (attention) => {
  test.each(POSITIONS)(
    "%s: any shape, chunks, slices and origin within 2e-5 of the f64 reference; one bit pattern; keys counted",
    (position) => {
      const shape = {
        headDim: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constantFrom(64, 80, 128)),
        kvHeads: fc.integer({ min: 1, max: 3 }),
        group: fc.integer({ min: 1, max: 4 }),
        partial: fc.nat({ max: 2 }),
        softCap: fc.constantFrom(0, 1.5, 50),
      };
      const limits = {
        nGlobal: fc.integer({ min: 0, max: 6 }),
        nLocal: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 60, max: 70 })),
        over: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 20 })),
      };
      const run = {
        n: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 60, max: 140 })),
        origin: fc.constantFrom(0n, 7n, 2n ** 40n, 2n ** 53n - 200n),
        seed: fc.nat(),
      };
      const property = fc.property(
        fc.record({ ...shape, ...limits, ...run }),
        ({ n, origin, seed, over, ...wanted }) => {
          const limit = attention === "ceiling-only" ? wanted.nLocal : wanted.nLocal + over;
          const dice = new Dice(seed);
          const pinned = seed % 3 ? undefined : dice.below(wanted.nGlobal + 2);
          const setup = { ...setupOf({ ...wanted, position, attention, limit, maxPositions: n }), pinned };
          const tokens = draw(dice, setup, n);
          // Whole turns leave a window, now and then.
          const begins = beginsOf(dice, seed % 2 && setup.policy.nLocal < Infinity ? n : 0);
          const begin = (p: number) => begins[p] ?? 0;
          const one = attend(bench, setup, tokens, chunksOf(dice, n, 20), { origin, begin });
          const { out, pairs } = expected(setup, tokens, { begin });
          expect(worst(one.out, out, () => 1)).toBeLessThan(2e-5);
          expect(one.visited).toBe(pairs * setup.kvHeads);
          for (const chunks of [[n], chunksOf(dice, n, 3)]) {
            const other = attend(bench, setup, tokens, chunks, { origin, begin, slices: 1 + dice.below(4) });
            expect(words(other.out)).toEqual(words(one.out));
            expect(words(other.slot)).toEqual(words(one.slot));
            expect(other.visited).toBe(one.visited);
          }
        },
      );
      fc.assert(property, { numRuns: 25 });
    },
  );
});

describe("every head dimension, 1 head and groups of 2 and 3, 70 tokens: within 5e-6 of the f64 reference", () => {
  test.each(POSITIONS)("%s", (position) => {
    const dice = new Dice(1);
    for (const headDim of [...Array.from({ length: 20 }, (_, i) => i + 1), 64, 80, 128]) {
      const [kvHeads, group] = [
        [1, 1],
        [1, 2],
        [2, 3],
      ][headDim % 3] as [number, number];
      const limits = { attention: "lambda", nGlobal: 3, nLocal: 9, limit: 9 + (headDim % 4) } as const;
      const setup = setupOf({ ...limits, position, headDim, kvHeads, group, partial: headDim });
      const tokens = draw(dice, setup, 70);
      const found = attend(bench, setup, tokens, [33, 1, 1, 1, 34]).out;
      expect(worst(found, expected(setup, tokens).out, () => 1)).toBeLessThan(5e-6);
    }
  });
});

test("logits of ±40,000, the largest in any block: it alone is attended, exact", () => {
  const limits = { attention: "full", maxPositions: 200 } as const;
  const setup = {
    ...setupOf({ ...limits, position: "half", headDim: 4, kvHeads: 1, group: 1, partial: 0 }),
    rotaryDim: 0,
  };
  for (const strong of [0, 63, 64, 100, 199]) {
    const dice = new Dice(strong);
    const tokens = draw(dice, setup, 200);
    tokens.q.fill(200);
    tokens.k.fill(-100);
    tokens.k.fill(100, 4 * strong, 4 * strong + 4);
    const { out } = attend(bench, setup, tokens, [100, 100]);
    // From the strong key on, it alone is attended.
    for (let p = strong; p < 200; p++) {
      expect(words(out.subarray(4 * p, 4 * p + 4))).toEqual(words(tokens.v.subarray(4 * strong, 4 * strong + 4)));
    }
  }
});

test("a NaN or an infinity in query, key or value comes through", () => {
  const limits = { attention: "window", nLocal: 8 } as const;
  const setup = setupOf({ ...limits, position: "half", headDim: 6, kvHeads: 1, group: 1, partial: 2 });
  for (const name of ["q", "k", "v"] as const) {
    for (const bad of [NaN, Infinity, -Infinity]) {
      const tokens = draw(new Dice(1), setup, 12);
      tokens[name][3 * 6 + 1] = bad;
      const { out } = attend(bench, setup, tokens, [2, 10]);
      const finite = Array.from({ length: 12 }, (_, p) => out.subarray(6 * p, 6 * p + 6).every(Number.isFinite));
      expect(finite.slice(0, 3)).toEqual([true, true, true]);
      expect(finite[3]).toBe(false);
      expect(finite[11]).toBe(true);
    }
  }
});
