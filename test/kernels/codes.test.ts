/** The 8-bit codes of keys in a session's slot, byte for byte as the definition has them (test/reference/recall.ts). */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { CACHE_DTYPES } from "../../src/base/dtype.ts";
import { codeWidth, meanBytes } from "../../src/machine/code_sizes.ts";
import { resolvePolicy } from "../../src/plan/policy.ts";
import { rounded } from "../reference/cache_format.ts";
import { blockOf, coded, MOST_BLOCK, meanOf } from "../reference/recall.ts";
import { Bench, Dice } from "./harness.ts";
import { attend, chunksOf, draw, type Setup } from "./session.ts";

const bench = await Bench.open();

test.each(CACHE_DTYPES)(
  "%s keys: the blocks that are kept, whatever the chunks, the session's start and the sizes of keys",
  (cacheDtype) => {
    const property = fc.property(
      fc.record({
        headDim: fc.oneof(fc.integer({ min: 2, max: 40 }), fc.constantFrom(64, 80, 128, 129, 256)),
        kvHeads: fc.integer({ min: 1, max: 3 }),
        nGlobal: fc.nat({ max: 40 }),
        recallTokens: fc.integer({ min: 1, max: 90 }),
        n: fc.integer({ min: 1, max: 300 }),
        origin: fc.constantFrom(0n, 5n, 2n ** 53n - 300n),
        exponent: fc.integer({ min: -150, max: 110 }),
        seed: fc.nat(),
      }),
      ({ headDim, kvHeads, nGlobal, recallTokens, n, origin, exponent, seed }) => {
        const dice = new Dice(seed);
        const shape = { heads: kvHeads, kvHeads, headDim, rotaryDim: 0, layout: "half", scale: 1 } as const;
        const policy = resolvePolicy({ nGlobal, nLocal: MOST_BLOCK + 4, recall: 1, recallTokens }, 4096);
        const setup: Setup = { ...shape, policy, cacheDtype };
        const tokens = draw(dice, setup, n);
        // Keys of a few sizes, zeros among them.
        for (let i = 0; i < tokens.k.length; i++)
          tokens.k[i]! *= 2 ** (exponent - dice.below(4)) * (dice.below(9) && 1);
        const { slot, cache } = attend(bench, setup, tokens, chunksOf(dice, n, 5), {
          origin,
          slices: 1 + dice.below(3),
        });
        const bytes = new Uint8Array(slot.buffer);
        const keys = cacheDtype === "f32" ? tokens.k : rounded(cacheDtype, tokens.k, headDim);
        const size = blockOf(headDim);
        const full = Math.floor(n / size);
        const width = codeWidth(headDim);
        for (let head = 0; head < kvHeads; head++) {
          for (let block = Math.max(0, full - cache.codeBlocks); block < full; block++) {
            const rows = Array.from({ length: size }, (_, t) => {
              const at = ((size * block + t) * kvHeads + head) * headDim;
              return Float64Array.from(keys.subarray(at, at + headDim));
            });
            const { power, codes } = coded(rows);
            const number = head * cache.codeBlocks + (block % cache.codeBlocks);
            const mean = cache.parts.means + number * meanBytes(headDim);
            const read = (at: number) => [...new Int8Array(bytes.buffer, at, width)];
            const padded = (code: readonly number[]) => [
              ...code.map((x) => x + 0),
              ...new Array(width - headDim).fill(0),
            ];
            const means = meanOf(codes, block, nGlobal);
            expect(read(mean)).toEqual(padded(means));
            const behind = new DataView(bytes.buffer, mean + width);
            expect(behind.getFloat32(0, true)).toBe(power);
            expect(behind.getInt32(4, true)).toBe(means.reduce((sum, x) => sum + x, 0));
            for (const [t, code] of codes.entries()) {
              expect(read(cache.parts.codes + (number * size + t) * width)).toEqual(padded(code));
            }
          }
        }
      },
    );
    fc.assert(property, { numRuns: 40 });
  },
);

test("keys that are no numbers are coded as 0, infinite ones as the largest", () => {
  const shape = { heads: 1, kvHeads: 1, headDim: 4, rotaryDim: 0, layout: "half", scale: 1 } as const;
  const setup: Setup = {
    ...shape,
    policy: resolvePolicy({ nGlobal: 0, nLocal: MOST_BLOCK, recall: 1, recallTokens: 9 }, 4096),
  };
  const tokens = draw(new Dice(1), setup, 16);
  tokens.k.fill(1);
  tokens.k.set([NaN, Infinity, -Infinity, 3]);
  const { slot, cache } = attend(bench, setup, tokens, new Array(16).fill(1));
  const codes = new Int8Array(slot.buffer, cache.parts.codes, 32);
  expect([...codes.subarray(0, 4)]).toEqual([0, 127, -127, 3]);
  expect([...codes.subarray(16, 20)]).toEqual([1, 1, 1, 1]);
});
