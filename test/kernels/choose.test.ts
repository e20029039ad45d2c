/** What the kernels say of a vocabulary's scores, against f64. */
import { expect, test } from "bun:test";
import { scoresOf } from "../engine/samplers.ts";
import { Dice, words } from "./harness.ts";

const SIZES = [1, 3, 16, 1023, 1024, 1025, 5000];
const log = (values: readonly number[]) => Math.log(values.reduce((a, b) => a + b, 0));

for (const size of SIZES) {
  const dice = new Dice(size);
  const logits = dice.floats(size, 12);
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const ids = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);

  test(`${size} scores: their copy, the largest of each block, ln Σ e^x`, () => {
    const scores = scoresOf(size);
    const wanted = largest + log(Array.from(logits, (x) => Math.exp(x - largest)));
    expect(Math.abs(scores.take(logits) - wanted)).toBeLessThan(1e-6);
    expect(words(scores.values)).toEqual(words(logits));
    const maxima = Array.from({ length: Math.ceil(size / 1024) }, (_, block) => {
      return logits.slice(1024 * block, 1024 * (block + 1)).reduce((a, b) => Math.max(a, b));
    });
    expect([...scores.maxima]).toEqual(maxima);
    scores.values.fill(-Infinity).fill(-3, size - 1);
    scores.changed();
    expect([...scores.maxima]).toEqual(maxima.map((_, block) => (block === maxima.length - 1 ? -3 : -Infinity)));
  });

  test(`${size} scores: Σ w and Σ w ln w of those below a bound, relative error below 1e-6`, () => {
    const scores = scoresOf(size);
    scores.take(logits);
    for (const [above, temperature] of [
      [Infinity, 1],
      [largest, 0.7],
      [largest - 2, 3],
      [-Infinity, 1],
    ] as const) {
      const distances = [...logits].filter((x) => x < above).map((x) => (x - largest) / temperature);
      const weights = distances.reduce((sum, d) => sum + Math.exp(d), 0);
      const logs = distances.reduce((sum, d) => sum + d * Math.exp(d), 0);
      const found = scores.below(above, largest, temperature);
      expect(Math.abs(found.weights - weights)).toBeLessThanOrEqual(1e-6 * weights + 1e-30);
      expect(Math.abs(found.logs - logs)).toBeLessThanOrEqual(1e-6 * Math.abs(logs) + 1e-30);
    }
  });

  test(`${size} scores: ranked in two stretches`, () => {
    const scores = scoresOf(size);
    scores.take(logits);
    const middle = logits[ids[ids.length >> 1]!]!;
    const first = scores.rank(middle, NaN, 0).length / 2;
    const all = scores.rank(-100, middle, first);
    expect(Array.from(ids, (_, place) => all[2 * place]!)).toEqual(ids);
    expect(first).toBe(ids.filter((id) => logits[id]! >= middle).length);
  });

  test(`${size} scores: a mask forbids the others`, () => {
    const scores = scoresOf(size);
    scores.take(logits);
    const mask = Uint32Array.from({ length: Math.ceil(size / 32) }, () => dice.below(2 ** 32));
    scores.allowOnly(mask);
    const wanted = logits.map((x, id) => ((mask[id >> 5]! >>> (id % 32)) & 1 ? x : -Infinity));
    expect(words(scores.values)).toEqual(words(wanted));
  });
}
