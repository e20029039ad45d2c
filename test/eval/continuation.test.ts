/** Continuations by a forked reading and by re-truncation, against literal ones; and what they cost. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Continuation, continuations, retruncated, windowsOf } from "../../research/eval/continuation.ts";
import { cheapestAsGood, scoreOf } from "../../research/eval/continuation_scores.ts";
import { flopsOf, keysAttended } from "../../research/eval/cost.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { argmax, logSumExp } from "../../src/engine/sampler.ts";
import type { PolicyName } from "../../src/plan/policy.ts";
import { Bare } from "../engine/bare.ts";
import { engineOf, FAMILIES, fixture, kvHeadsOf, PATIENCE, policyOf, randomIds, rowOf } from "../engine/tiny.ts";

setDefaultTimeout(PATIENCE);

const COUNT = 7;
const ids = randomIds(60, 5);
const shape = { nGlobal: 3, nLocal: 8, limit: 8 };

async function all(found: AsyncGenerator<Continuation>): Promise<Continuation[]> {
  const list: Continuation[] = [];
  for await (const continuation of found) list.push(continuation);
  return list;
}

/** The logits after a text, read from its begin into a fresh session. */
async function logitsAfter(engine: Engine, text: readonly number[]): Promise<Float32Array> {
  const session = engine.open(0, 0);
  await engine.append(session, text);
  const row = rowOf(engine, session);
  engine.dispose(session);
  return row;
}

/** A continuation in which every token is predicted from what `contextOf` gives of the text so far, read anew. */
async function literal(engine: Engine, length: number, contextOf: (text: readonly number[]) => readonly number[]) {
  const text = ids.slice(0, length);
  let nll = 0;
  for (let t = length; t < length + COUNT; t++) {
    const row = await logitsAfter(engine, contextOf(ids.slice(0, t)));
    nll += logSumExp(row) - (row[ids[t] as number] as number);
    text.push(argmax(await logitsAfter(engine, contextOf(text))));
  }
  return { length, ids: text.slice(length), nll: nll / COUNT };
}

const quality = ({ length, ids, nll }: Pick<Continuation, "length" | "ids" | "nll">) => ({ length, ids, nll });

describe.each(FAMILIES)("%s", (family) => {
  test.each(["lambda", "full", "ceiling-only"] as const)(
    "%s: a forked reading gives what fresh ones give, bit for bit",
    async (attention) => {
      const engine = await engineOf(family, { ...policyOf(attention, shape, 60), maxSessions: 2, chunkSize: 5 });
      const lengths = [30, 1, 12, 33];
      const found = await all(continuations(engine, ids, lengths, COUNT));
      expect(found.map(({ length }) => length)).toEqual([1, 12, 30, 33]);
      for (const continuation of found) {
        expect(quality(continuation)).toEqual(await literal(engine, continuation.length, (text) => text));
      }
      // Every session was given back.
      expect([engine.open(0, 0), engine.open(0, 0)]).toHaveLength(2);
    },
  );

  test("progress counts every token that is read or predicted", async () => {
    const engine = await engineOf(family, { ...shape, maxSessions: 2, chunkSize: 2 });
    const counts: number[] = [];
    await all(continuations(engine, ids, [12, 50], COUNT, { onTokens: (count) => counts.push(count) }));
    expect(counts).toEqual([11, COUNT, 32, 6, COUNT]);
  });

  test.each([0, 1] as const)("re-truncation with stride 1 is a literal re-reading, %d BOS", async (bosTokens) => {
    const window = 9;
    const engine = await engineOf(family, { attention: "full", maxPositions: window, maxSessions: 1 });
    for (const length of [1, 6, window, 40]) {
      const found = await retruncated(engine, ids, length, COUNT, { window, stride: 1 }, bosTokens);
      const last = (text: readonly number[]) =>
        text.length <= window ? text : [...text.slice(0, bosTokens), ...text.slice(bosTokens - window)];
      expect(quality(found)).toEqual(await literal(engine, length, last));
    }
  });

  test("re-truncation with a stride predicts from what grew since the last re-reading", async () => {
    const engine = await engineOf(family, { attention: "full", maxPositions: 9, maxSessions: 1 });
    const found = await retruncated(engine, ids, 40, COUNT, { window: 9, stride: 3 }, 1);
    // Re-read at 40, 43 and 46: BOS and 6 tokens, of 9 with room for three to be predicted.
    const grown = (text: readonly number[]) => [
      text[0] as number,
      ...text.slice(34 + 3 * Math.floor((text.length - 40) / 3)),
    ];
    expect(quality(found)).toEqual(await literal(engine, 40, grown));
  });
});

test("windows: nothing is re-read while all fits, then whenever one is full", () => {
  expect(windowsOf(5, 8, { window: 8, stride: 3 }, 1)).toEqual([
    { begin: 1, first: 5, end: 9 },
    { begin: 4, first: 9, end: 12 },
    { begin: 7, first: 12, end: 13 },
  ]);
  expect(windowsOf(20, 2, { window: 8, stride: 1 }, 0)).toEqual([
    { begin: 12, first: 20, end: 21 },
    { begin: 13, first: 21, end: 22 },
  ]);
  // What is re-read leaves room for the stride, and no token is predicted from more than the window.
  for (const stride of [1, 2, 5, 7]) {
    for (const { begin, first, end } of windowsOf(30, 20, { window: 8, stride }, 1)) {
      expect(1 + first - begin).toBe(8 - stride + 1);
      expect(1 + end - 1 - begin).toBeLessThanOrEqual(8);
    }
  }
});

describe("what is refused, with both numbers", () => {
  test.each([
    [[54], COUNT, "document: expected at least 54 tokens and 7 that follow, found 60"],
    [[0], COUNT, "length: expected a whole number of tokens from 1 on, found 0"],
    [[5], 0, "new tokens: expected a whole number from 1 on, found 0"],
  ])("lengths %p, %d new tokens", async (lengths, count, message) => {
    const engine = await engineOf("gptj", { ...shape, maxSessions: 2 });
    await expect(all(continuations(engine, ids, lengths, count))).rejects.toThrow(message);
  });

  test.each([8, 0, 1.5])("stride %d in a window of 8", (stride) => {
    expect(() => windowsOf(20, 5, { window: 8, stride }, 1)).toThrow(
      `stride: expected a whole number from 1 to below the window (8), found ${stride}`,
    );
  });
});

describe("floating-point operations", () => {
  test("of the tiny Llama, counted by hand", async () => {
    const engine = await engineOf("llama-gqa-tied", { ...shape, maxSessions: 1 });
    // 2 layers of 4 heads, 2 for keys and values, of 8 numbers; hidden 32, intermediate 56, vocabulary 61.
    const norm = 5 * 32;
    const matmuls = 2 * (32 * 32 + 2 * 16 * 32 + 32 * 32 + 3 * 32 * 56);
    const rope = 3 * 8 * (4 + 4 + 2); // queries by their position and by the limit, keys
    const row = 160 * 4 + 2 * (2 * norm + matmuls + rope + 30 * 56);
    const head = norm + 2 * 61 * 32;
    const key = 2 * 4 * 4 * 8; // in 2 layers and 4 heads, 8 products and sums for a logit and 8 for a value
    const cost = (begin: number, end: number, logits: number) => flopsOf(engine.plan, { begin, end, logits });
    expect(cost(0, 1, 0)).toBe(row + key);
    expect(cost(0, 1, 1) - cost(0, 1, 0)).toBe(head);
    expect(cost(0, 4, 1)).toBe(4 * row + (1 + 2 + 3 + 4) * key + head);
    // The window holds 8; beyond it pinned keys come one by one, 3 at most.
    expect(cost(7, 12, 5)).toBe(5 * (row + head) + (8 + 9 + 10 + 11 + 11) * key);
  });

  test("of a continuation are those of the rows that it reads", async () => {
    const lambda = await engineOf("gptj", { ...shape, maxSessions: 2 });
    const [found] = await all(continuations(lambda, ids, [5], COUNT));
    // From the context's last token to the last but one of those that are chosen.
    expect(found?.flops).toBe(flopsOf(lambda.plan, { begin: 4, end: 4 + COUNT, logits: COUNT }));
    const full = await engineOf("gptj", { attention: "full", maxPositions: 9, maxSessions: 1 });
    const cost = (begin: number, end: number, logits: number) => flopsOf(full.plan, { begin, end, logits });
    const each = await retruncated(full, ids, 20, COUNT, { window: 9, stride: 1 }, 1);
    expect(each.flops).toBeCloseTo(COUNT * cost(0, 9, 1), 3);
    const strided = await retruncated(full, ids, 20, COUNT, { window: 9, stride: 3 }, 1);
    expect(strided.flops).toBeCloseTo(3 * cost(0, 7, 1) + 2 * cost(7, 9, 2), 3);
  });

  test.each(["lambda", "full", "window", "sinks", "lambda-only", "ceiling-only"] as PolicyName[])(
    "%s: attended keys are those that the kernels visit",
    async (attention) => {
      const model = await Bare.load(fixture("gptj"), {
        ...policyOf(attention, shape, 20),
        chunkSize: 1,
        maxSessions: 1,
      });
      const visits = model.plan.layers.length * kvHeadsOf(model.program);
      for (let position = 0; position < 20; position++) {
        const before = model.keysVisited();
        model.step([{ session: 0, token: 1, position }], "last");
        const visited = Number(model.keysVisited() - before) / visits;
        expect(visited).toBe(keysAttended(model.plan.policy, position));
      }
    },
  );
});

test("scores: NaN is not dropped, and the cheapest that is as good is found", () => {
  const one = { text: "the cat sat on the mat", truth: "the cat sat on the mat", nll: 2, flops: 30, seconds: 3 };
  const other = { ...one, text: "a dog", nll: 4, flops: 10, seconds: 1 };
  const score = scoreOf([one, other], 10, 1);
  expect(score).toMatchObject({ documents: 2, flops: 2, seconds: 0.2, nll: { value: 3 }, rougeL: { value: 50 } });
  expect(score.bleu).toBeGreaterThan(0);
  expect(scoreOf([one], 10, 1).bleu).toBeCloseTo(100, 9);
  expect(scoreOf([one, { ...other, nll: Number.NaN }], 10, 1).nll.value).toBeNaN();
  const points = [5, 1, 3, 2].map((flops) => ({ flops, nll: { value: 10 / flops, low: 0, high: 0 } }));
  expect(cheapestAsGood(points, 4)?.flops).toBe(3);
  expect(cheapestAsGood(points, 1)).toBeUndefined();
});
