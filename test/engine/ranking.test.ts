/** Choosing from vocabularies of every size against literal definitions, every option. */
import { expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { draw } from "../../src/base/random.ts";
import { type Choosing, GREEDY } from "../../src/engine/sampler.ts";
import { Dice } from "../kernels/harness.ts";
import { keptOf } from "../reference/choosing.ts";
import { samplerOf } from "./samplers.ts";
import { PATIENCE } from "./tiny.ts";

setDefaultTimeout(PATIENCE);

const NONE = { recent: Int32Array.of(), position: 0, length: 0, newTokens: 0 };

/** Scores as models give them: `spread` is how far they differ; some are equal, some are far above the others. */
function scoresLike(size: number, seed: number, spread: number, grain: number): Float32Array {
  const dice = new Dice(seed);
  const gauss = () => dice.float() + dice.float() + dice.float() + dice.float();
  const scores = Float32Array.from({ length: size }, () => Math.round((gauss() * spread) / grain) * grain);
  for (let i = dice.below(20); i > 0; i--) scores[dice.below(size)] = spread * (2 + 3 * Math.abs(gauss()));
  return scores;
}

const choosings = fc.record(
  {
    temperature: fc.constantFrom(1, 0.7, 1.5, 0.05, 30),
    topK: fc.constantFrom(0, 1, 40, 64, 300, 2000),
    topP: fc.constantFrom(1, 0.95, 0.5, 0.01),
    minP: fc.constantFrom(0, 0.05, 0.5),
    topH: fc.constantFrom(0.3, 0.7),
    typicalP: fc.constantFrom(0.9, 0.2),
    epsilonCutoff: fc.constantFrom(1e-3, 1e-5),
    etaCutoff: fc.constantFrom(1e-3, 0.05),
  },
  { requiredKeys: [] },
);

const distributions = fc.record({
  seed: fc.nat(),
  spread: fc.constantFrom(0.001, 0.5, 3, 10),
  grain: fc.constantFrom(0.25, 1e-4),
  forbidden: fc.constantFrom(0, 0.3, 0.9999),
});

for (const [size, runs] of [
  [1, 20],
  [5, 200],
  [1000, 200],
  [1024, 20],
  [1025, 100],
  [30_000, 30],
  [151_936, 4],
  [262_144, 4],
] as const) {
  test(`a vocabulary of ${size}: what is kept, what is drawn, and logprobs`, () => {
    const sampler = samplerOf(size);
    fc.assert(
      fc.property(distributions, choosings, ({ seed, spread, grain, forbidden }, options) => {
        const logits = scoresLike(size, seed, spread, grain);
        const dice = new Dice(seed + 1);
        const mask = new Uint32Array(Math.ceil(size / 32)).fill(0xffffffff);
        const forbid = (id: number) => (mask[id >> 5]! &= ~(1 << (id % 32)));
        for (let id = 1; id < size; id++) if (dice.below(10_000) < 10_000 * forbidden) forbid(id);
        const allowed = logits.map((score, id) => (mask[id >> 5]! & (1 << (id % 32)) ? score : -Infinity));
        const choosing: Choosing = { ...GREEDY, doSample: true, ...options };
        const best = allowed.indexOf(allowed.reduce((a, b) => Math.max(a, b)));
        const wanted = keptOf(allowed, choosing);

        expect(sampler.process(logits, choosing, NONE, mask)).toEqual(allowed);
        const kept = sampler.kept(choosing);
        // A sum's last bits may decide on the last token, or on all that are equal to it.
        const common = Math.min(kept.length, wanted.ids.length);
        const other = [...kept.slice(common), ...wanted.ids.slice(common)];
        expect(kept.slice(0, common)).toEqual(wanted.ids.slice(0, common));
        expect(new Set(other.map((id) => allowed[id])).size).toBeLessThanOrEqual(1);

        const random = { seed, counter: 0 };
        const { id, logprob } = sampler.choose(logits, choosing, NONE, random, { mask });
        const weights = kept.map((kept) => Math.exp((allowed[kept]! - allowed[best]!) / choosing.temperature));
        const total = weights.reduce((a, b) => a + b, 0);
        const target = draw({ seed, counter: 0 }) * total;
        const found = kept.indexOf(id);
        const before = weights.slice(0, found).reduce((a, b) => a + b, 0);
        // The drawn share is that of the token, but for the last digits of what the kernels add up.
        const digits = choosing.topK > 0 ? 1e-12 : 2e-8;
        expect(before).toBeLessThanOrEqual(target + digits * total);
        expect(before + weights[found]!).toBeGreaterThan(target - digits * total);

        const largest = logits.reduce((a, b) => Math.max(a, b));
        const exact = logits[id]! - largest - Math.log(logits.reduce((a, b) => a + Math.exp(b - largest), 0));
        expect(Math.abs(logprob - exact)).toBeLessThan(1e-6);
        const greedy = sampler.choose(logits, { ...choosing, doSample: false }, NONE, random, { mask });
        expect(greedy.id).toBe(best);
      }),
      { numRuns: runs },
    );
  });
}
