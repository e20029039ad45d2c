/** The choice of a token against literal definitions, and the arithmetic and random numbers under it. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { exp } from "../../src/base/math.ts";
import { draw } from "../../src/base/random.ts";
import type { History } from "../../src/engine/processors.ts";
import { argmax, GREEDY, logSumExp, type Sampling } from "../../src/engine/sampler.ts";
import { samplerOf } from "./samplers.ts";
import { PATIENCE } from "./tiny.ts";

setDefaultTimeout(PATIENCE);

const historyOf = (recent: Int32Array): History => {
  return { recent, position: recent.length, length: recent.length, newTokens: 0 };
};
const NONE = historyOf(Int32Array.of());
const sampled = (changes: Partial<Sampling> = {}): Sampling => ({ ...GREEDY, doSample: true, ...changes });

/** The choice by its definition: sort everything, cut, and walk to the drawn share. Of equal scores the smaller id first. */
function literal(logits: Float32Array, sampling: Sampling, recent: Int32Array, seed: number): number {
  const { temperature, topK, topP, minP, repetitionPenalty } = sampling;
  const seen = new Set(recent);
  const penalty = Math.fround(repetitionPenalty);
  const scores = Array.from(logits, (score, id) => {
    if (repetitionPenalty === 1 || !seen.has(id)) return score;
    return Math.fround(score < 0 ? score * penalty : score / penalty);
  });
  const order = scores.map((_, id) => id).sort((a, b) => (scores[b] as number) - (scores[a] as number) || a - b);
  if (!sampling.doSample) return order[0] as number;
  const largest = scores[order[0] as number] as number;
  const weigh = (id: number) => exp(((scores[id] as number) - largest) / temperature);
  const sum = (ids: number[]) => ids.reduce((total, id) => total + weigh(id), 0);
  let kept = order.slice(0, topK || order.length);
  if (topP < 1) {
    const total = sum(kept);
    kept = kept.filter((_, i) => sum(kept.slice(0, i)) < topP * total); // those before it do not suffice
  }
  kept = kept.filter((id, i) => i === 0 || weigh(id) >= minP);
  const target = draw({ seed, counter: 0 }) * sum(kept);
  return kept.find((_, i) => sum(kept.slice(0, i + 1)) > target) ?? (kept.at(-1) as number);
}

const numbers = fc.oneof(
  fc.constantFrom(0, -0, 1, -1, 1.5, 3, 3, 3), // ties
  fc.float({ min: -20, max: 20, noNaN: true }),
  fc.float({ noNaN: true, noDefaultInfinity: true }), // of any size
  fc.constantFrom(3.4028234663852886e38, -3.4028234663852886e38, 1e-45, -1e-45),
);
const nearlyEqual = fc.constantFrom(0, -0, 0.1, -0.1, 1e-45, -1e-45);
const sizes = { minLength: 1, maxLength: 40 };
const logitsOf = fc
  .oneof(fc.array(numbers, sizes), fc.array(nearlyEqual, sizes))
  .map((values) => Float32Array.from(values));

describe("the token of a literal implementation", () => {
  test("greedy: the largest, the smaller id of equals", () => {
    fc.assert(
      fc.property(logitsOf, (logits) => {
        const random = { seed: 1, counter: 0 };
        const { id } = samplerOf(logits.length).choose(logits, GREEDY, NONE, random);
        const values = [...logits].map((value) => value + 0); // −0 + 0 is 0
        return id === values.indexOf(Math.max(...values)) && id === argmax(logits) && random.counter === 0;
      }),
    );
  });

  test("sampled: any temperature, top-k, top-p, min-p and penalty, ties, −0 and numbers of any size", () => {
    const cases = fc.record({
      logits: logitsOf,
      doSample: fc.boolean(),
      temperature: fc.constantFrom(1, 0.7, 1.3, 0.01, 1e-30, 100, 1e38),
      topK: fc.constantFrom(0, 1, 2, 3, 7, 40, 1000),
      topP: fc.constantFrom(1, 0.999, 0.9, 0.5, 0.1, 1e-9),
      minP: fc.constantFrom(0, 0.01, 0.3, 0.9, 1),
      repetitionPenalty: fc.constantFrom(1, 1.3, 0.8, 2),
      recent: fc.array(fc.integer({ min: -1, max: 39 }), { maxLength: 12 }),
      seed: fc.nat(),
    });
    fc.assert(
      fc.property(cases, ({ logits, recent, seed, ...sampling }) => {
        // A penalty may turn the largest numbers into infinity; then nothing is promised.
        fc.pre(sampling.repetitionPenalty === 1 || logits.every((value) => Math.abs(value) < 1e38));
        const ids = Int32Array.from(recent.filter((id) => id < logits.length));
        const before = logits.slice();
        const { id } = samplerOf(logits.length).choose(logits, sampling, historyOf(ids), { seed, counter: 0 });
        expect(logits).toEqual(before);
        expect(id).toBe(literal(logits, sampling, ids, seed));
      }),
      { numRuns: 3000, seed: 1 },
    );
  });

  test("a vocabulary of 50 000 ids full of ties", () => {
    const logits = Float32Array.from({ length: 50_000 }, (_, id) => ((id * 7919) % 97) / 8 - 6);
    const sampler = samplerOf(logits.length);
    for (const topK of [1, 50, 600]) {
      for (let seed = 0; seed < 10; seed++) {
        const sampling = sampled({ topK, topP: 0.95 });
        const found = sampler.choose(logits, sampling, NONE, { seed, counter: 0 }).id;
        expect(found).toBe(literal(logits, sampling, NONE.recent, seed));
      }
    }
  });
});

test("a token that a format forces is chosen, unless it is forbidden", () => {
  const logits = Float32Array.of(5, -1, 2);
  const choose = (choosing: Sampling & { suppressTokens?: number[] }) => {
    return samplerOf(3).choose(logits, choosing, NONE, { seed: 1, counter: 0 }, { mask: Uint32Array.of(6), forced: 1 });
  };
  for (const sampling of [GREEDY, sampled()]) {
    expect(choose(sampling)).toMatchObject({ id: 1, logprob: choose(GREEDY).logprob });
    expect(choose({ ...sampling, suppressTokens: [1] }).id).toBe(2);
  }
});

describe("the penalty is Hugging Face's", () => {
  const chosen = (logits: number[], repetitionPenalty: number, recent: number[]) =>
    samplerOf(logits.length).choose(
      Float32Array.from(logits),
      { ...GREEDY, repetitionPenalty },
      historyOf(Int32Array.from(recent)),
      { seed: 0, counter: 0 },
    );

  test("scores above 0 are divided, those below multiplied, each once however often the token occurs", () => {
    expect(chosen([4, 3, 0], 1.5, [0, 0, 0, -1]).id).toBe(1); // 4 / 1.5 = 2.67
    expect(chosen([4, 2.6, 0], 1.5, [0, 0, 0, -1]).id).toBe(0); // not 4 / 1.5³
    expect(chosen([-2, -2.5, -9], 1.3, [0]).id).toBe(1); // −2 · 1.3 = −2.6
    expect(chosen([4, 3, 0], 1.5, [-1, -1]).id).toBe(0);
    expect(chosen([4, 3.9, 0], 0.9, [1]).id).toBe(1); // below 1 it rewards
  });

  test("logprob is of the model itself, before the penalty", () => {
    const { id, logprob } = chosen([4, 3, 0], 1.5, [0]);
    expect(id).toBe(1);
    expect(logprob).toBeCloseTo(3 - Math.log(Math.exp(4) + Math.exp(3) + 1), 6);
  });
});

describe("logprob", () => {
  test("is the log of the softmax, within 1e-6", () => {
    const logits = fc.array(fc.float({ min: -200, max: 200, noNaN: true }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(logits, fc.nat(), (values, seed) => {
        const row = Float32Array.from(values);
        const { id, logprob } = samplerOf(row.length).choose(row, sampled(), NONE, { seed, counter: 0 });
        const largest = Math.max(...row);
        const wanted = (row[id] as number) - largest - Math.log(row.reduce((sum, x) => sum + Math.exp(x - largest), 0));
        expect(Math.abs(logprob - wanted)).toBeLessThanOrEqual(1e-6);
      }),
    );
  });

  test("of the most likely tokens beside it: in order, equal ones by id, the chosen one with the same number", () => {
    const logits = fc.array(fc.integer({ min: -6, max: 6 }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(logits, fc.nat(), fc.integer({ min: 0, max: 70 }), (values, seed, topLogprobs) => {
        const row = Float32Array.from(values);
        const choosing = { ...sampled(), topLogprobs };
        const { id, logprob, top } = samplerOf(row.length).choose(row, choosing, NONE, { seed, counter: 0 });
        const ids = [...row.keys()].sort((a, b) => row[b]! - row[a]! || a - b).slice(0, topLogprobs);
        expect(top?.map((one) => one.id)).toEqual(topLogprobs > 0 ? ids : undefined);
        for (const one of top ?? []) {
          expect(one.logprob).toBeCloseTo(logprob + row[one.id]! - row[id]!, 5);
          if (one.id === id) expect(one.logprob).toBe(logprob);
        }
      }),
    );
  });

  test("is that of a sum that was worked out by hand", () => {
    expect(logSumExp(Float32Array.of(0, 0, 0, 0))).toBeCloseTo(Math.log(4), 15);
  });
});

describe("sampling", () => {
  /** Σ (found − expected)² / expected over the ids that can occur; the others must not. */
  function chiSquare(logits: Float32Array, sampling: Sampling, shares: number[], draws: number): number {
    const sampler = samplerOf(logits.length);
    const counts = shares.map(() => 0);
    const random = { seed: 42, counter: 0 };
    for (let i = 0; i < draws; i++) counts[sampler.choose(logits, sampling, NONE, random).id]!++;
    expect(random.counter).toBe(draws);
    return shares.reduce((sum, share, id) => {
      const count = counts[id] as number;
      if (share === 0) expect(count).toBe(0);
      return share === 0 ? sum : sum + (count - share * draws) ** 2 / (share * draws);
    }, 0);
  }
  const logits = Float32Array.of(1, 0, 2, -1, 0.5, 2, -3, 1.5);
  const shares = (keep: (id: number) => boolean, temperature = 1): number[] => {
    const weights = Array.from(logits, (x, id) => (keep(id) ? Math.exp(x / temperature) : 0));
    const total = weights.reduce((a, b) => a + b);
    return weights.map((weight) => weight / total);
  };

  test("follows the softmax: χ² of 40 000 draws over 8 ids below 29.9, its 99.99 % point", () => {
    expect(
      chiSquare(
        logits,
        sampled(),
        shares(() => true),
        40_000,
      ),
    ).toBeLessThan(29.9);
    expect(
      chiSquare(
        logits,
        sampled({ temperature: 2 }),
        shares(() => true, 2),
        40_000,
      ),
    ).toBeLessThan(29.9);
    expect(
      chiSquare(
        logits,
        sampled({ temperature: 2 }),
        shares(() => true),
        40_000,
      ),
    ).toBeGreaterThan(1000);
  });

  test("gives what is kept the shares that it has among itself", () => {
    expect(
      chiSquare(
        logits,
        sampled({ topK: 3 }),
        shares((id) => [2, 5, 7].includes(id)),
        40_000,
      ),
    ).toBeLessThan(29.9);
    expect(
      chiSquare(
        logits,
        sampled({ minP: 0.3 }),
        shares((id) => [0, 2, 5, 7].includes(id)),
        40_000,
      ),
    ).toBeLessThan(29.9);
    // 0.29 + 0.29 + 0.18 = 0.76
    expect(
      chiSquare(
        logits,
        sampled({ topP: 0.7 }),
        shares((id) => [2, 5, 7].includes(id)),
        40_000,
      ),
    ).toBeLessThan(29.9);
  });

  test("the same seed gives the same ids, another seed others", () => {
    const run = (seed: number) => {
      const sampler = samplerOf(logits.length);
      const random = { seed, counter: 0 };
      return Array.from({ length: 200 }, () => sampler.choose(logits, sampled(), NONE, random).id);
    };
    expect(run(7)).toEqual(run(7));
    expect(run(7)).not.toEqual(run(8));
    expect(run(2 ** 53 - 1)).not.toEqual(run(2 ** 53 - 2));
  });
});
