/**
 * Which tokens are left to draw from. Weights are probabilities up to a common factor, in falling order; what is left of
 * them is always a range, so a cut is two numbers. In f64; ties of weights are not told apart.
 */
import { exp, log } from "../base/math.ts";

/** Cuts beside topK, topP and minP; what is absent cuts nothing. Names are Hugging Face's. */
export interface Cuts {
  /** Keep the most likely tokens whose entropies add up to this share of the whole, of the first 100. */
  readonly topH?: number | undefined;
  /** Keep the tokens of this probability together whose surprise is closest to the expected one. */
  readonly typicalP?: number | undefined;
  /** Keep tokens of at least this probability. */
  readonly epsilonCutoff?: number | undefined;
  /** The same, where the distribution is sharp; less where it is flat. */
  readonly etaCutoff?: number | undefined;
}

/** Tokens that topH looks at. see: HF TopHLogitsWarper.top_n */
export const TOP_H_TOKENS = 100;

interface Distribution {
  readonly total: number;
  /** In nats. */
  readonly entropy: number;
}

function distribution(weights: Float64Array, from: number, to: number): Distribution {
  let total = 0;
  let sum = 0;
  for (let i = from; i < to; i++) {
    const weight = weights[i] as number;
    total += weight;
    if (weight > 0) sum += weight * log(weight);
  }
  return { total, entropy: log(total) - sum / total };
}

/** How many are kept, at least one. see: HF TopHLogitsWarper */
export function cutTopH(weights: Float64Array, to: number, topH: number): number {
  const { total, entropy } = distribution(weights, 0, to);
  let sum = 0;
  for (let i = 0; i < to; i++) {
    const share = (weights[i] as number) / total;
    if (share > 0) sum -= share * log(share);
    if (i > 0 && !(share > 0 && sum <= topH * entropy)) return i;
  }
  return to;
}

/** The range that typicalP, epsilonCutoff and etaCutoff leave of the first `to`, in this order. */
export function cutRest(weights: Float64Array, to: number, cuts: Cuts): readonly [from: number, to: number] {
  let range: readonly [number, number] = [0, to];
  if (cuts.typicalP !== undefined) range = cutTypical(weights, to, cuts.typicalP);
  if (cuts.epsilonCutoff !== undefined) {
    const { total } = distribution(weights, ...range);
    range = cutBelow(weights, ...range, cuts.epsilonCutoff * total);
  }
  if (cuts.etaCutoff !== undefined) {
    const { total, entropy } = distribution(weights, ...range);
    const eta = Math.min(cuts.etaCutoff, Math.sqrt(cuts.etaCutoff) * exp(-entropy));
    range = cutBelow(weights, ...range, eta * total);
  }
  return range;
}

/** Surprise falls and then rises along the order, so the closest ones are around the place where it is as expected. */
function cutTypical(weights: Float64Array, to: number, mass: number): readonly [number, number] {
  const { total, entropy } = distribution(weights, 0, to);
  const expected = log(total) - entropy;
  const distance = (i: number) => {
    const weight = i < 0 || i >= to ? 0 : (weights[i] as number);
    return weight > 0 ? Math.abs(expected - log(weight)) : Infinity;
  };
  let high = 0;
  while (high < to && (weights[high] as number) > 0 && log(weights[high] as number) > expected) high++;
  let low = high;
  let sum = 0;
  let farthest = 0;
  for (;;) {
    const [left, right] = [distance(low - 1), distance(high)];
    const nearest = Math.min(left, right);
    if (nearest === Infinity || (sum >= mass * total && nearest > farthest)) return [low, high];
    farthest = nearest;
    sum += weights[left <= right ? --low : high++] as number;
  }
}

/** see: HF EpsilonLogitsWarper, EtaLogitsWarper: those as likely as the most likely one stay */
function cutBelow(weights: Float64Array, from: number, to: number, least: number): readonly [number, number] {
  const kept = Math.min(least, weights[from] as number);
  while (to > from + 1 && (weights[to - 1] as number) < kept) to--;
  return [from, to];
}
