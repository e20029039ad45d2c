/**
 * Which tokens are left to draw from. Of a ranking, what is left is always a range, so a cut is two numbers: the first place,
 * and that behind the last, Infinity for the end. In f64; ties of weights are not told apart.
 */
import { exp, log } from "../base/math.ts";
import type { Ranking } from "./ranking.ts";

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

function distribution(ranking: Ranking, from: number, to: number): Distribution {
  const total = ranking.total(from, to);
  return { total, entropy: log(total) - ranking.logs(from, to) / total };
}

/** How many are kept of `to`, at least one. see: HF TopHLogitsWarper */
export function cutTopH(ranking: Ranking, to: number, topH: number): number {
  const { total, entropy } = distribution(ranking, 0, to);
  let sum = 0;
  for (let i = 0; i < to && ranking.has(i); i++) {
    const share = ranking.weight(i) / total;
    if (share > 0) sum -= share * log(share);
    if (i > 0 && !(share > 0 && sum <= topH * entropy)) return i;
  }
  return to;
}

/** How many are kept of `to`. see: HF TopPLogitsWarper */
export function cutTopP(ranking: Ranking, to: number, topP: number): number {
  const wanted = topP * ranking.total(0, to);
  let sum = 0;
  for (let i = 0; i < to && ranking.has(i); i++) {
    sum += ranking.weight(i);
    if (sum >= wanted) return i + 1;
  }
  return to;
}

/** The range that typicalP, epsilonCutoff and etaCutoff leave of the first `to`, in this order. */
export function cutRest(ranking: Ranking, to: number, cuts: Cuts): readonly [from: number, to: number] {
  let range: readonly [number, number] = [0, to];
  if (cuts.typicalP !== undefined) range = cutTypical(ranking, to, cuts.typicalP);
  if (cuts.epsilonCutoff !== undefined) {
    range = cutBelow(ranking, ...range, cuts.epsilonCutoff * ranking.total(...range));
  }
  if (cuts.etaCutoff !== undefined) {
    const { total, entropy } = distribution(ranking, ...range);
    const eta = Math.min(cuts.etaCutoff, Math.sqrt(cuts.etaCutoff) * exp(-entropy));
    range = cutBelow(ranking, ...range, eta * total);
  }
  return range;
}

/** Surprise falls and then rises along the order, so the closest ones are around the place where it is as expected. */
function cutTypical(ranking: Ranking, to: number, mass: number): readonly [number, number] {
  const { total, entropy } = distribution(ranking, 0, to);
  const expected = log(total) - entropy;
  const weigh = (i: number) => (i >= 0 && i < to && ranking.has(i) ? ranking.weight(i) : 0);
  const distance = (i: number) => {
    const weight = weigh(i);
    return weight > 0 ? Math.abs(expected - log(weight)) : Infinity;
  };
  let high = 0;
  while (weigh(high) > 0 && log(weigh(high)) > expected) high++;
  let low = high;
  let sum = 0;
  let farthest = 0;
  for (;;) {
    const [left, right] = [distance(low - 1), distance(high)];
    const nearest = Math.min(left, right);
    if (nearest === Infinity || (sum >= mass * total && nearest > farthest)) return [low, high];
    farthest = nearest;
    sum += weigh(left <= right ? --low : high++);
  }
}

/** see: HF MinPLogitsWarper, EpsilonLogitsWarper, EtaLogitsWarper: those as likely as the most likely one stay */
export function cutBelow(ranking: Ranking, from: number, to: number, least: number): readonly [number, number] {
  const kept = Math.min(least, ranking.weight(from));
  for (let i = from + 1; i < to && ranking.has(i); i++) if (ranking.weight(i) < kept) return [from, i];
  return [from, to];
}
