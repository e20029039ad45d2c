/** Powers, logarithms and random numbers that are the same on every engine. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { exp, log } from "../../src/base/math.ts";
import { draw } from "../../src/base/random.ts";

const BOUND = 1e-15;
const off = (found: number, wanted: number): number => (found === wanted ? 0 : Math.abs(found / wanted - 1));

describe("exp and log within 1e-15 of the engine's own", () => {
  test("exp", () => {
    fc.assert(
      fc.property(fc.double({ min: -708, max: 709, noNaN: true }), (x) => off(exp(x), Math.exp(x)) < BOUND),
      { numRuns: 20_000, seed: 1 },
    );
    for (let n = -1021; n <= 1022; n++) {
      for (const x of [n * Math.LN2, (n + 0.5) * Math.LN2, (n + 0.499999) * Math.LN2]) {
        expect(off(exp(x), Math.exp(x))).toBeLessThan(BOUND);
      }
    }
    expect([exp(0), exp(-0), exp(-709), exp(-1e300), exp(-Infinity)]).toEqual([1, 1, 0, 0, 0]);
    expect([exp(710), exp(Infinity), exp(NaN)]).toEqual([Infinity, Infinity, NaN]);
  });

  test("log", () => {
    const positive = fc.double({ min: 2 ** -1022, max: Number.MAX_VALUE, noNaN: true });
    fc.assert(
      fc.property(positive, (x) => off(log(x), Math.log(x)) < BOUND),
      { numRuns: 20_000, seed: 1 },
    );
    fc.assert(
      fc.property(fc.double({ min: 0.5, max: 2, noNaN: true }), (x) => off(log(x), Math.log(x)) < BOUND),
      { numRuns: 20_000, seed: 1 },
    );
    for (let n = 1; n <= 52; n++) {
      expect(off(log(1 + 2 ** -n), Math.log(1 + 2 ** -n))).toBeLessThan(BOUND);
      expect(off(log(1 - 2 ** -n), Math.log(1 - 2 ** -n))).toBeLessThan(BOUND);
    }
    expect(log(1)).toBe(0);
  });
});

describe("random numbers", () => {
  test("of seed 0 are SplitMix64's own from state 0", () => {
    const random = { seed: 0, counter: 0 };
    const published = [0xe220a8397b1dcdafn, 0x6e789e6aa1b965f4n, 0x06c45d188009454fn, 0xf88bb8a8724c81ecn];
    for (const bits of published) expect(draw(random)).toBe(Number(bits >> 11n) / 2 ** 53);
    expect(random).toEqual({ seed: 0, counter: 4 });
  });

  test("depend on seed and counter alone, so that a stream goes on where it was left", () => {
    const random = { seed: 123_456_789, counter: 0 };
    const stream = Array.from({ length: 100 }, () => draw(random));
    expect(Array.from({ length: 100 }, (_, counter) => draw({ seed: 123_456_789, counter }))).toEqual(stream);
    expect(new Set(stream).size).toBe(100);
  });

  test.each([0, 1, 2, 2 ** 53 - 1])("are uniform, and so are pairs of them: seed %d", (seed) => {
    const cells = 16;
    const count = 65_536;
    const random = { seed, counter: 0 };
    const values = Array.from({ length: count + 1 }, () => draw(random));
    expect(values.every((value) => value >= 0 && value < 1)).toBe(true);
    expect(
      chiSquare(
        values.map((value) => Math.floor(value * 256)),
        256,
      ),
    ).toBeLessThan(360);
    const pairs = values.slice(1).map((value, i) => {
      return Math.floor(value * cells) * cells + Math.floor((values[i] as number) * cells);
    });
    expect(chiSquare(pairs, 256)).toBeLessThan(360);
    // The lowest bits of the 53, too.
    expect(
      chiSquare(
        values.map((value) => Number(BigInt(value * 2 ** 53) & 255n)),
        256,
      ),
    ).toBeLessThan(360);
  });

  test("of neighbouring seeds have nothing to do with each other", () => {
    const values = Array.from({ length: 65_536 }, (_, seed) => Math.floor(draw({ seed, counter: 0 }) * 256));
    expect(chiSquare(values, 256)).toBeLessThan(360);
  });

  /** Of 256 equally likely values; 255 ± 23 if they are, above 360 once in 10^5. */
  function chiSquare(values: number[], kinds: number): number {
    const counts = new Array<number>(kinds).fill(0);
    for (const value of values) counts[value]!++;
    const expected = values.length / kinds;
    return counts.reduce((sum, found) => sum + (found - expected) ** 2 / expected, 0);
  }
});
