/** The choice of a token by its definitions, in f64: everything sorted, every sum in the order of the ranks. */
import type { Choosing } from "../../src/engine/sampler.ts";

/** What is left to draw from, most likely first: ids, and weights e^((score − largest) / temperature). */
export interface Kept {
  readonly ids: readonly number[];
  readonly weights: readonly number[];
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** In nats. */
function entropy(weights: readonly number[]): number {
  const total = sum(weights);
  return -sum(weights.map((w) => (w > 0 ? (w / total) * Math.log(w / total) : 0)));
}

/** Those of scores f32[vocab] that the cuts of `choosing` leave; equal scores in the order of their ids. */
export function keptOf(scores: Float32Array, choosing: Choosing): Kept {
  const { topH, topK, topP, minP, typicalP, epsilonCutoff, etaCutoff, temperature } = choosing;
  const order = Uint32Array.from(scores.keys()).sort((a, b) => scores[b]! - scores[a]! || a - b);
  let ids = [...order].filter((id) => scores[id]! > -Infinity);
  const largest = scores[ids[0]!]!;
  const weigh = (id: number) => Math.exp((scores[id]! - largest) / temperature);
  const take = (count: number) => (ids = ids.slice(0, count));
  if (topH !== undefined) {
    take(100);
    const weights = ids.map(weigh);
    const [total, all] = [sum(weights), entropy(weights)];
    let some = 0;
    const cut = weights.findIndex((w, i) => {
      const share = w / total;
      if (share > 0) some -= share * Math.log(share);
      return i > 0 && !(share > 0 && some <= topH * all);
    });
    if (cut >= 0) take(cut);
  }
  if (topK > 0) take(topK);
  if (topP < 1) {
    const wanted = topP * sum(ids.map(weigh));
    let some = 0;
    const cut = ids.findIndex((id) => (some += weigh(id)) >= wanted);
    if (cut >= 0) take(cut + 1);
  }
  ids = ids.filter((id, i) => i === 0 || weigh(id) >= minP);
  if (typicalP !== undefined) {
    const weights = ids.map(weigh);
    const [total, expected] = [sum(weights), entropy(weights)];
    const surprise = (id: number) => Math.abs(expected + Math.log(weigh(id) / total));
    const nearest = ids.filter((id) => weigh(id) > 0).sort((a, b) => surprise(a) - surprise(b) || a - b);
    let some = 0;
    const last = nearest.find((id) => (some += weigh(id)) >= typicalP * total) ?? nearest.at(-1)!;
    ids = ids.filter((id) => weigh(id) > 0 && surprise(id) <= surprise(last));
  }
  const atLeast = (share: number) => {
    const least = Math.min(share * sum(ids.map(weigh)), weigh(ids[0]!));
    ids = ids.filter((id) => weigh(id) >= least);
  };
  if (epsilonCutoff !== undefined) atLeast(epsilonCutoff);
  if (etaCutoff !== undefined) {
    atLeast(Math.min(etaCutoff, Math.sqrt(etaCutoff) * Math.exp(-entropy(ids.map(weigh)))));
  }
  return { ids, weights: ids.map(weigh) };
}
