/** Scores and cuts against transformers' LogitsProcessors (a golden of test/wild/generation.ts), and our own draw. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { exp } from "../../src/base/math.ts";
import { draw } from "../../src/base/random.ts";
import { type Choosing, GREEDY } from "../../src/engine/sampler.ts";
import { Lcg, type Run, replay, type Step } from "../wild/generation_runs.ts";
import { samplerOf } from "./samplers.ts";

type Golden = Run & { readonly expected: readonly Step[] };
const golden: Golden[] = JSON.parse(readFileSync(join(import.meta.dir, "../wild/generation.json"), "utf8"));

test("tokens, bits of the scores and what the cuts keep are those of transformers", () => {
  expect(golden.length).toBeGreaterThan(50);
  for (const { expected, ...run } of golden) expect(replay(run), JSON.stringify(run)).toEqual(expected as Step[]);
});

test("a token is drawn from what is kept, by its share, as a literal definition draws it", () => {
  const sampler = samplerOf(40);
  const random = new Lcg(3);
  const history = { recent: Int32Array.of(5, 6, 7), position: 3, length: 3, newTokens: 1 };
  const cuts: Partial<Choosing>[] = [{ typicalP: 0.4 }, { typicalP: 0.2, topK: 9 }, { topH: 0.5 }, { etaCutoff: 0.05 }];
  for (let seed = 0; seed < 400; seed++) {
    const logits = Float32Array.from({ length: 40 }, () => random.below(1000) / 100);
    const choosing: Choosing = {
      ...{ ...GREEDY, doSample: true, temperature: 1.5, suppressTokens: [1, 2, 3] },
      ...random.pick(cuts),
    };
    const { id } = sampler.choose(logits, choosing, history, { seed, counter: 0 });
    sampler.process(logits, choosing, history);
    const ids = sampler.kept(choosing);
    const weights = ids.map((kept) => exp((logits[kept] as number) / 1.5));
    const target = draw({ seed, counter: 0 }) * weights.reduce((a, b) => a + b);
    let sum = 0;
    expect(id).toBe(ids.find((_, i) => (sum += weights[i] as number) > target) as number);
  }
});

describe("history", () => {
  const flat = new Float32Array(8);
  const forbidden = (
    choosing: Partial<Choosing>,
    recent: number[],
    position: number,
    length = position,
    newTokens = 0,
  ) => {
    const history = { recent: Int32Array.from(recent), position, length, newTokens };
    const scores = samplerOf(8).process(flat, { ...GREEDY, ...choosing }, history);
    return [...scores.keys()].filter((id) => scores[id] === -Infinity);
  };

  test("is a ring by position: what left it is forgotten", () => {
    // 4 5 6 4 5 in a ring of 5, then of 4 (its first token is gone), then further on.
    expect(forbidden({ noRepeatNgramSize: 3 }, [4, 5, 6, 4, 5], 5)).toEqual([6]);
    expect(forbidden({ noRepeatNgramSize: 3 }, [5, 5, 6, 4], 5)).toEqual([]);
    expect(forbidden({ noRepeatNgramSize: 2 }, [5, 5, 6, 4], 5)).toEqual([6]);
    expect(
      forbidden(
        {
          badWordsIds: [
            [4, 5, 7],
            [6, 5, 1],
          ],
        },
        [5, 5, 6, 4],
        1005,
        1005,
      ),
    ).toEqual([7]);
  });

  test("of a prompt, the part that is remembered", () => {
    expect(forbidden({ encoderNoRepeatNgramSize: 1 }, [4, 5, 6, 3], 4, 4, 2)).toEqual([4, 5]);
    expect(forbidden({ encoderNoRepeatNgramSize: 1 }, [4, 5, 6, 3], 4, 4, 4)).toEqual([]);
    expect(forbidden({ encoderNoRepeatNgramSize: 1 }, [1, 5, 6, 3], 5, 5, 2)).toEqual([5, 6]);
    expect(forbidden({ encoderNoRepeatNgramSize: 1 }, [1, 5, 6, 3], 9, 9, 6)).toEqual([]);
  });

  test("a text shorter than the ring has no tokens before its first", () => {
    expect(forbidden({ noRepeatNgramSize: 1 }, [-1, -1, 3, -1, -1], 3, 1)).toEqual([3]);
    expect(forbidden({ noRepeatNgramSize: 3 }, [2, -1, -1], 1, 1)).toEqual([]);
  });
});

test("where every token is forbidden, that is an error and no token", () => {
  const history = { recent: Int32Array.of(0), position: 1, length: 1, newTokens: 0 };
  for (const doSample of [false, true]) {
    const choosing = { ...GREEDY, doSample, suppressTokens: [0, 1, 2] };
    const choose = () => samplerOf(3).choose(new Float32Array(3), choosing, history, { seed: 1, counter: 0 });
    expect(choose).toThrow("next token: expected one that may be chosen, found none, as all are forbidden");
  }
});

test("what grows out of range stays a number", () => {
  const history = { recent: Int32Array.of(0), position: 900, length: 900, newTokens: 899 };
  const stopTokens = new Set([1, 3_000_000]);
  const choosing: Choosing = { ...GREEDY, doSample: true, stopTokens, exponentialDecayLengthPenalty: [0, 1.9] };
  const random = { seed: 1, counter: 0 };
  expect(samplerOf(3).choose(Float32Array.of(5, 2, 5), choosing, history, random)).toMatchObject({ id: 1 });
});
