/** Means of what an evaluation measured, with confidence intervals. NaN propagates. */
import { mismatch } from "../../src/base/errors.ts";
import { draw } from "../../src/base/random.ts";

/** A statistic over documents, and its bootstrap interval. */
export interface Interval {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

export interface BootstrapOptions {
  /** 0 to 2^53 − 1 */
  readonly seed: number;
  /** Number of resamples; 10,000 by default. */
  readonly resamples?: number;
  /** The share of resamples within the interval; 0.95 by default. */
  readonly confidence?: number;
}

/** The mean of values, one per document. see: bootstrapRatio */
export function bootstrapMean(values: ArrayLike<number>, options: BootstrapOptions): Interval {
  return bootstrapRatio(values, new Float64Array(values.length).fill(1), options);
}

/**
 * The mean of the numerators divided by the mean of the denominators, one of each per document: two policies on the
 * same documents, or sums over tokens and numbers of tokens. The interval is the percentile bootstrap's (Efron 1979):
 * documents are drawn with replacement, numerator and denominator together. Throws RangeError without documents.
 */
export function bootstrapRatio(
  numerators: ArrayLike<number>,
  denominators: ArrayLike<number>,
  { seed, resamples = 10_000, confidence = 0.95 }: BootstrapOptions,
): Interval {
  const documents = numerators.length;
  if (documents === 0) throw new RangeError(mismatch("numerators", "one or more", "none"));
  if (denominators.length !== documents) {
    throw new RangeError(mismatch("denominators", `${documents}, one per numerator`, denominators.length));
  }
  const ratio = (choose: (i: number) => number): number => {
    let above = 0;
    let below = 0;
    for (let i = 0; i < documents; i++) {
      const document = choose(i);
      above += numerators[document] as number;
      below += denominators[document] as number;
    }
    return above / below;
  };
  const value = ratio((i) => i);
  const random = { seed, counter: 0 };
  const drawn = new Float64Array(resamples);
  for (let i = 0; i < resamples; i++) drawn[i] = ratio(() => Math.floor(draw(random) * documents));
  // Most resamples of few documents miss the one with a NaN.
  if (Number.isNaN(value) || drawn.some(Number.isNaN)) return { value, low: NaN, high: NaN };
  drawn.sort();
  return { value, low: quantile(drawn, (1 - confidence) / 2), high: quantile(drawn, (1 + confidence) / 2) };
}

/** A quantile of sorted numbers, with linear interpolation. */
function quantile(sorted: Float64Array, share: number): number {
  const place = (sorted.length - 1) * share;
  const below = sorted[Math.floor(place)] as number;
  const above = sorted[Math.ceil(place)] as number;
  return below === above ? below : below + (above - below) * (place - Math.floor(place));
}

/**
 * Exponential moving average, as the paper smooths NLL against position: each number is gamma · the one before it + (1
 * − gamma) · the value, 0 ≤ gamma < 1. The paper's script (visualization/plot_nll.py) starts at 0 without correction,
 * so its curves rise from 0 over the first 1 / (1 − gamma) positions; here each number is divided by the total weight
 * of its values (1 − gamma^t), which makes it a true weighted mean from the first position on and changes nothing far
 * from the start. The script also averages over documents without their NaNs first; here all from a NaN on is NaN.
 */
export function movingAverage(values: ArrayLike<number>, gamma: number): Float64Array {
  if (!(gamma >= 0 && gamma < 1)) throw new RangeError(mismatch("gamma", "a number from 0 to below 1", gamma));
  const smooth = new Float64Array(values.length);
  let sum = 0;
  let weight = 0;
  for (let i = 0; i < values.length; i++) {
    sum = gamma * sum + (1 - gamma) * (values[i] as number);
    weight = gamma * weight + (1 - gamma);
    smooth[i] = sum / weight;
  }
  return smooth;
}
