/** Bootstrap, bands and the moving average against their definitions. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { bootstrapMean, bootstrapRatio, movingAverage } from "../../research/eval/statistics.ts";
import { draw } from "../../src/base/random.ts";

const numbers = fc.double({ min: -100, max: 100, noNaN: true });
const someNumbers = fc.array(numbers, { minLength: 1, maxLength: 20 });
const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Twelve uniform numbers less 6: nearly normal, mean 0, variance 1. */
function normals(count: number, seed: number): number[] {
  const random = { seed, counter: 0 };
  return Array.from(
    { length: count },
    () => Array.from({ length: 12 }, () => draw(random)).reduce((a, b) => a + b) - 6,
  );
}

describe("bootstrap", () => {
  test("the interval of a mean is the normal one's where documents are many: ± 1.96 σ / √n, within 8 %", () => {
    const values = normals(200, 1);
    const mean = meanOf(values);
    const half = 1.96 * Math.sqrt(meanOf(values.map((value) => (value - mean) ** 2)) / values.length);
    const { value, low, high } = bootstrapMean(values, { seed: 7, resamples: 4000 });
    expect(value).toBeCloseTo(mean, 12);
    expect(Math.abs((value - low) / half - 1)).toBeLessThan(0.08);
    expect(Math.abs((high - value) / half - 1)).toBeLessThan(0.08);
  });

  test("it has the true mean in it about as often as it says: 80 ± 10 of 100 samples of 40", () => {
    const hits = Array.from({ length: 100 }, (_, i) => {
      const { low, high } = bootstrapMean(normals(40, i), { seed: i, resamples: 300, confidence: 0.8 });
      return low <= 0 && 0 <= high;
    }).filter(Boolean).length;
    expect(hits).toBeGreaterThanOrEqual(70);
    expect(hits).toBeLessThanOrEqual(90);
  });

  test("quantiles of all resamples, by their definition", () => {
    const values = [3, 1, 4, 1, 5];
    const random = { seed: 9, counter: 0 };
    const means = Array.from({ length: 101 }, () =>
      meanOf(values.map(() => values[Math.floor(draw(random) * 5)] as number)),
    ).sort((a, b) => a - b);
    const { low, high } = bootstrapMean(values, { seed: 9, resamples: 101, confidence: 0.9 });
    // 100 steps between 101 numbers: the 5th and 95th are quantiles as they are.
    expect(low).toBeCloseTo(means[5] as number, 12);
    expect(high).toBeCloseTo(means[95] as number, 12);
    const between = bootstrapMean(values, { seed: 9, resamples: 101, confidence: 0.91 }).low;
    expect(between).toBeCloseTo(0.5 * ((means[4] as number) + (means[5] as number)), 12);
  });

  test("by default 10,000 resamples and 95 %; the same seed gives the same interval, another one another", () => {
    const values = normals(10, 2);
    const found = bootstrapMean(values, { seed: 3 });
    expect(found).toEqual(bootstrapMean(values, { seed: 3, resamples: 10_000, confidence: 0.95 }));
    expect(found).not.toEqual(bootstrapMean(values, { seed: 4 }));
  });

  test("a ratio of means takes both numbers of a document together", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 1, max: 9, noNaN: true }), { minLength: 1, maxLength: 9 }), (values) => {
        const doubled = values.map((value) => 2 * value);
        const { value, low, high } = bootstrapRatio(doubled, values, { seed: 1, resamples: 50 });
        for (const each of [value, low, high]) expect(each).toBeCloseTo(2, 12);
      }),
    );
    // Means over tokens of documents of unequal lengths, not means of means.
    expect(bootstrapRatio([10, 90], [10, 30], { seed: 1, resamples: 50 }).value).toBe(2.5);
  });

  test("properties: low ≤ high, within the values; moves with them and grows with them", () => {
    fc.assert(
      fc.property(someNumbers, numbers, (values, shift) => {
        const options = { seed: 5, resamples: 40 };
        const { value, low, high } = bootstrapMean(values, options);
        expect(low).toBeLessThanOrEqual(high);
        expect(low).toBeGreaterThanOrEqual(Math.min(...values) - 1e-9);
        expect(high).toBeLessThanOrEqual(Math.max(...values) + 1e-9);
        expect(value).toBeCloseTo(meanOf(values), 9);
        const moved = bootstrapMean(
          values.map((each) => 3 * each + shift),
          options,
        );
        expect(moved.low).toBeCloseTo(3 * low + shift, 8);
        expect(moved.high).toBeCloseTo(3 * high + shift, 8);
      }),
    );
  });

  test("a document with NaN makes all of it NaN; no documents, or unequally many numbers, are refused", () => {
    expect(bootstrapMean([1, NaN, 3], { seed: 1, resamples: 9 })).toEqual({ value: NaN, low: NaN, high: NaN });
    expect(bootstrapRatio([1, 2], [1, NaN], { seed: 1, resamples: 9 })).toEqual({ value: NaN, low: NaN, high: NaN });
    // The first document alone is 0 / 0.
    expect(bootstrapRatio([0, 1], [0, 1], { seed: 1, resamples: 99 })).toEqual({ value: 1, low: NaN, high: NaN });
    expect(() => bootstrapMean([], { seed: 1 })).toThrow("numerators: expected one or more, found none");
    expect(() => bootstrapRatio([1], [1, 2], { seed: 1 })).toThrow("expected 1, one per numerator, found 2");
  });
});

describe("moving average", () => {
  const gammas = fc.double({ min: 0, max: 0.999, noNaN: true });

  test("is the mean weighted by powers of gamma", () => {
    fc.assert(
      fc.property(someNumbers, gammas, (values, gamma) => {
        movingAverage(values, gamma).forEach((smooth, t) => {
          const weights = values.slice(0, t + 1).map((_, i) => gamma ** (t - i));
          const sum = values.slice(0, t + 1).reduce((total, value, i) => total + value * (weights[i] as number), 0);
          expect(smooth).toBeCloseTo(sum / weights.reduce((a, b) => a + b), 8);
        });
      }),
    );
  });

  test("is the paper's curve, which begins at 0, over 1 − gamma^t", () => {
    const gamma = 0.9;
    let paper = 0;
    const values = normals(50, 3);
    const smooth = movingAverage(values, gamma);
    values.forEach((value, i) => {
      paper = value * (1 - gamma) + paper * gamma;
      expect(smooth[i]).toBeCloseTo(paper / (1 - gamma ** (i + 1)), 12);
    });
  });

  test("a constant stays, gamma 0 changes nothing, and all from a NaN on is NaN", () => {
    for (const value of movingAverage(new Float32Array(99).fill(2.5), 0.99)) expect(value).toBeCloseTo(2.5, 12);
    expect([...movingAverage([3, 1, 2], 0)]).toEqual([3, 1, 2]);
    expect([...movingAverage([1, NaN, 3], 0.5)]).toEqual([1, NaN, NaN]);
    expect(() => movingAverage([1], 1)).toThrow("gamma: expected a number from 0 to below 1, found 1");
  });
});
