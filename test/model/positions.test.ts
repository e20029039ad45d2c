/** Rotary frequencies, angles and ALiBi slopes against the reference, which uses the engine's own Math. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { alibiSlopes, naturalLog, power, turns } from "../../src/models/positions.ts";
import { inverseFrequencies, longFrequencies } from "../../src/models/rope_scaling.ts";
import * as reference from "../reference/math.ts";

/** max |a − b| / |b| */
function relative(found: readonly number[], wanted: ArrayLike<number>): number {
  expect(found.length).toBe(wanted.length);
  return Math.max(...found.map((value, i) => Math.abs(value / (wanted[i] as number) - 1)));
}

test("ALiBi slopes of 1 to 130 heads, for any maximum, within 1e-15", () => {
  for (const max of [8, 16, 5.5, 0.25]) {
    for (let heads = 1; heads <= 130; heads++) {
      expect(relative(alibiSlopes(heads, max), reference.alibiSlopes(heads, max))).toBeLessThan(1e-15);
    }
  }
  expect(alibiSlopes(6, 8)).toEqual([-2, -4, -6, -8, -1, -3].map((n) => 2 ** n));
});

test("powers within 5e-16", () => {
  const bases = fc.double({ min: 1.0001, max: 1e8, noNaN: true });
  const exponents = fc.double({ min: -1, max: 1, noNaN: true });
  fc.assert(
    fc.property(bases, exponents, (base, exponent) => Math.abs(power(base, exponent) / base ** exponent - 1) < 5e-16),
  );
  for (let n = -40; n <= 20; n++) expect(power(2, n)).toBe(2 ** n);
});

test("natural logarithms within 5e-16, between 1e-200 and 1e200, and the same for a number and its inverse", () => {
  const property = fc.property(fc.double({ min: 1e-200, max: 1e200, noNaN: true }), (value) => {
    const wanted = Math.log(value);
    expect(Math.abs(naturalLog(value) - wanted)).toBeLessThanOrEqual(5e-16 * Math.max(Math.abs(wanted), 1));
  });
  fc.assert(property);
  expect([naturalLog(1), naturalLog(2), naturalLog(0.5)]).toEqual([0, Math.LN2, -Math.LN2]);
});

describe("rotary frequencies within 1e-14", () => {
  const thetas = [10000, 500, 5e5, 1e6, 1.5];
  const dims = [2, 4, 8, 16, 64, 80, 128, 256];
  const cases = thetas.flatMap((theta) => dims.map((dim) => [dim, theta] as const));
  test.each(cases)("rotaryDim %d, theta %d: plain, linear, llama3", (dim, theta) => {
    const bare = { type: "default" } as const;
    expect(relative(inverseFrequencies(dim, theta, bare), reference.inverseFrequencies(dim, theta))).toBeLessThan(
      1e-14,
    );
    for (const factor of [0.5, 2.5, 32]) {
      const linear = { type: "linear", factor } as const;
      const wanted = reference.inverseFrequencies(dim, theta, linear);
      expect(relative(inverseFrequencies(dim, theta, linear), wanted)).toBeLessThan(1e-14);
      const llama3 = { type: "llama3", factor, lowFreqFactor: 1, highFreqFactor: 4 } as const;
      const stretched = reference.inverseFrequencies(dim, theta, { ...llama3, originalContext: 8192 });
      const found = inverseFrequencies(dim, theta, { ...llama3, originalMaxPositionEmbeddings: 8192 });
      expect(relative(found, stretched)).toBeLessThan(1e-14);
      for (const truncate of [true, false]) {
        const yarn = { type: "yarn", factor, betaFast: 32, betaSlow: 1, truncate } as const;
        const ramped = reference.inverseFrequencies(dim, theta, { ...yarn, originalContext: 4096 });
        const own = inverseFrequencies(dim, theta, { ...yarn, originalMaxPositionEmbeddings: 4096 });
        expect(relative(own, ramped)).toBeLessThan(1e-13);
      }
      const factors = Array.from({ length: dim / 2 }, (_, i) => 1 + i / 7);
      const divided = reference.inverseFrequencies(dim, theta, { type: "divided", factors });
      const long = { type: "longrope", shortFactor: factors, longFactor: factors.map((f) => f * 3) } as const;
      expect(relative(inverseFrequencies(dim, theta, { type: "divided", factors }), divided)).toBeLessThan(1e-14);
      const [short, longer] = [inverseFrequencies, longFrequencies].map((of) =>
        of(dim, theta, { ...long, originalMaxPositionEmbeddings: 64 }),
      ) as [number[], number[]];
      expect(relative(short, divided)).toBeLessThan(1e-14);
      expect(
        relative(
          longer,
          divided.map((frequency) => frequency / 3),
        ),
      ).toBeLessThan(1e-14);
    }
  });
});

test("turns are round(2^64 · θ / 2π), and the angle between two positions is that of their distance", () => {
  // θ = 1: 2^64 / 2π = 2935890503282001226.5…
  expect(turns(1)).toBe(2935890503282001226n);
  expect(turns(0.5)).toBe(1467945251641000613n);
  const frequencies = fc.double({ min: 1e-7, max: 1, noNaN: true });
  const positions = fc.bigInt({ min: 0n, max: 2n ** 53n });
  fc.assert(
    fc.property(frequencies, positions, positions, (theta, p, j) => {
      const t = turns(theta);
      return BigInt.asUintN(64, p * t - j * t) === BigInt.asUintN(64, (p - j) * t);
    }),
  );
  fc.assert(
    fc.property(frequencies, (theta) => Math.abs(Number(turns(theta)) / 2 ** 64 - theta / (2 * Math.PI)) < 1e-16),
  );
});
