/** Top-k middle tokens of one layer, against their definition in f64 (test/reference/attention.ts). */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { CACHE_DTYPES } from "../../src/base/dtype.ts";
import { type PolicyOptions, resolvePolicy } from "../../src/plan/policy.ts";
import { MOST_BLOCK, runsOn } from "../reference/recall.ts";
import { Bench, Dice, words, worst } from "./harness.ts";
import { attend, beginsOf, chosenBy, chunksOf, draw, expected, type Setup } from "./session.ts";

setDefaultTimeout(60_000);

const bench = await Bench.open();
const POLICIES = ["lambda", "window", "lambda-only", "sinks"] as const;
const POSITIONS = ["half", "interleaved", "alibi"] as const;

function setupOf(position: (typeof POSITIONS)[number], shape: Shape, options: PolicyOptions): Setup {
  const { kvHeads, group, headDim } = shape;
  return {
    heads: kvHeads * group,
    kvHeads,
    headDim,
    rotaryDim: position === "alibi" ? 0 : (headDim >> 2) << 1,
    layout: position === "interleaved" ? "interleaved" : "half",
    scale: 1 / Math.sqrt(headDim),
    softCap: group === 3 ? 2 : 0,
    policy: resolvePolicy(options, 4096),
  };
}

interface Shape {
  readonly kvHeads: number;
  readonly group: number;
  readonly headDim: number;
}

const cases = fc.record({
  attention: fc.constantFrom(...POLICIES),
  shape: fc.record({
    headDim: fc.oneof(fc.integer({ min: 4, max: 20 }), fc.constantFrom(64, 80, 128, 132)),
    kvHeads: fc.integer({ min: 1, max: 3 }),
    group: fc.integer({ min: 1, max: 4 }),
  }),
  limits: fc.record({
    nGlobal: fc.integer({ min: 0, max: 6 }),
    nLocal: fc.integer({ min: MOST_BLOCK, max: MOST_BLOCK + 14 }),
    recall: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.constantFrom(63, 64, 65, 256)),
    recallTokens: fc.oneof(fc.integer({ min: 1, max: 30 }), fc.constantFrom(64, 100, 120, 500)),
    recallDistance: fc.integer({ min: 1, max: 50 }),
    recallBlocks: fc.oneof(fc.constant("all" as const), fc.integer({ min: 1, max: 6 })),
    recallHeads: fc.constantFrom("all" as const, [[0, 0] as const]),
  }),
  over: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 20 })),
  n: fc.oneof(fc.integer({ min: 1, max: 80 }), fc.integer({ min: 80, max: 300 })),
  origin: fc.constantFrom(0n, 7n, 2n ** 40n, 2n ** 53n - 300n),
  seed: fc.nat(),
  every: fc.integer({ min: 1, max: 4 }),
});

describe.each(POSITIONS)("%s", (position) => {
  test("any policy, shape, chunks, slices, origin and rows that ask: the best are chosen; within 2e-5 of f64; one bit pattern", () => {
    const property = fc.property(cases, ({ attention, shape, limits, over, n, origin, seed, every }) => {
      const dice = new Dice(seed);
      const pinned = seed % 3 ? undefined : dice.below(limits.nGlobal + 2);
      const setup = { ...setupOf(position, shape, { attention, ...limits, limit: limits.nLocal + over }), pinned };
      const tokens = draw(dice, setup, n);
      const asks = (p: number) => p % every === 0;
      const begins = beginsOf(dice, seed % 2 ? n : 0);
      const begin = (p: number) => begins[p] ?? 0;
      const most = limits.nLocal - (MOST_BLOCK - 1);
      const one = attend(bench, setup, tokens, chunksOf(dice, n, most), { origin, asks, begin });
      const wanted = chosenBy(setup, tokens, one, asks);
      for (let p = 0; p < n; p++) {
        for (let head = 0; head < setup.heads; head++) {
          expect([p, head, one.chosen(head, p)]).toEqual([p, head, wanted(head, p)]);
        }
      }
      const { out, pairs } = expected(setup, tokens, { chosen: one.chosen, asks, begin });
      expect(worst(one.out, out, () => 1)).toBeLessThan(2e-5);
      expect(one.visited).toBe(pairs * setup.kvHeads);
      for (const rows of [most, Math.min(3, most)]) {
        const chunks = chunksOf(dice, n, rows);
        const other = attend(bench, setup, tokens, chunks, { origin, asks, begin, slices: 1 + dice.below(4) });
        expect(words(other.out)).toEqual(words(one.out));
        expect(words(other.slot)).toEqual(words(one.slot));
        expect(other.visited).toBe(one.visited);
      }
    });
    fc.assert(property, { numRuns: 25 });
  });

  test.each(CACHE_DTYPES)(
    "%s keys and values are attended as f32 ones of the same numbers, bit for bit",
    (cacheDtype) => {
      for (const seed of [1, 2, 3, 4]) {
        const shape = { headDim: 6 + 17 * seed, kvHeads: 2, group: 1 + (seed % 3) };
        const attention = POLICIES[seed - 1];
        const numbers = { nGlobal: 3, nLocal: 41, recall: 4, recallTokens: 70, recallBlocks: 2 };
        const setup = setupOf(position, shape, { attention, ...numbers });
        const dice = new Dice(seed);
        const tokens = draw(dice, setup, 200);
        const found = attend(bench, { ...setup, cacheDtype }, tokens, chunksOf(dice, 200, 10));
        const wanted = attend(bench, setup, tokens, chunksOf(dice, 200, 10), { rounding: cacheDtype });
        expect(words(found.out)).toEqual(words(wanted.out));
        const chosen = chosenBy({ ...setup, cacheDtype }, tokens, found);
        for (let p = 0; p < 200; p++) expect(found.chosen(0, p)).toEqual(chosen(0, p));
      }
    },
  );

  test("of equal keys the first ones are chosen, best first, in any chunks", () => {
    const shape = { headDim: 8, kvHeads: 2, group: 3 };
    const numbers = { nGlobal: 2, nLocal: 36, recall: 3, recallTokens: 70, recallBlocks: "all" } as const;
    const setup = setupOf(position, shape, numbers);
    const tokens = draw(new Dice(5), setup, 140);
    for (let p = 0; p < 140; p++) tokens.k.copyWithin(p * 16, 0, 16);
    for (const rows of [5, 3, 1]) {
      const { chosen } = attend(bench, setup, tokens, chunksOf(new Dice(rows), 140, rows));
      for (let p = 0; p < 140; p++) {
        const first = Math.max(2, p - 36 - 70 + 1);
        const wanted = [first, first + 1, first + 2].filter((j) => j <= p - 36);
        for (let head = 0; head < setup.heads; head++) expect(chosen(head, p)).toEqual(wanted);
      }
    }
  });

  test("a key is chosen until it is recallTokens behind the local ones, and never from then on", () => {
    const shape = { headDim: 8, kvHeads: 1, group: 1 };
    const setup = {
      ...setupOf(position, shape, { nGlobal: 0, nLocal: 34, recall: 1, recallTokens: 10 }),
      rotaryDim: 0,
    };
    const tokens = draw(new Dice(6), setup, 80);
    tokens.q.fill(1);
    tokens.k.fill(-1);
    tokens.k.fill(5, 20 * 8, 21 * 8);
    for (const rows of [3, 2, 1]) {
      const { chosen } = attend(bench, setup, tokens, chunksOf(new Dice(rows), 80, rows));
      for (let p = 20; p < 80; p++) expect(chosen(0, p).includes(20)).toBe(p >= 54 && p <= 63);
    }
  });
});

test("heads that do not look back are attended as without middle keys, bit for bit; 128 of them", () => {
  const shape = { headDim: 4, kvHeads: 32, group: 4 };
  const numbers = { nGlobal: 1, nLocal: 34 };
  const middle = { recall: 2, recallTokens: 60, recallBlocks: 1 };
  const looking = [0, 31, 32, 70, 95, 127];
  const setup = setupOf("half", shape, {
    ...numbers,
    ...middle,
    recallHeads: looking.map((head) => [0, head] as const),
  });
  const tokens = draw(new Dice(3), setup, 80);
  const chunks = Array.from({ length: 40 }, () => 2);
  const some = attend(bench, setup, tokens, chunks);
  const all = attend(bench, setupOf("half", shape, { ...numbers, ...middle }), tokens, chunks);
  const none = attend(bench, setupOf("half", shape, numbers), tokens, chunks);
  for (let p = 0; p < 80; p++) {
    for (let head = 0; head < 128; head++) {
      const row = (of: typeof some) => words(of.out.subarray((p * 128 + head) * 4, (p * 128 + head + 1) * 4));
      const looks = looking.includes(head);
      expect(row(some)).toEqual(row(looks ? all : none));
      expect(some.chosen(head, p)).toEqual(looks ? all.chosen(head, p) : []);
    }
  }
});

test("keys that outweigh all others by more than f32 holds are attended to", () => {
  const shape = { headDim: 16, kvHeads: 1, group: 2 };
  for (const recallGate of [undefined, 100]) {
    const numbers = { nGlobal: 1, nLocal: 34, recall: 2, recallTokens: 60, recallBlocks: 1, recallGate };
    const setup = setupOf("half", shape, numbers);
    const tokens = draw(new Dice(4), setup, 120);
    for (let i = 0; i < tokens.q.length; i++) tokens.q[i]! *= 400;
    const one = attend(bench, setup, tokens, chunksOf(new Dice(1), 120, 3));
    const { out } = expected(setup, tokens);
    expect(worst(one.out, out, () => 1)).toBeLessThan(2e-5);
    const wanted = chosenBy(setup, tokens, one);
    let far = 0;
    for (let p = 0; p < 120; p++) {
      for (const head of [0, 1]) {
        expect(one.chosen(head, p)).toEqual(wanted(head, p));
        far += one.attended(head, p).length;
      }
    }
    expect(far).toBeGreaterThan(0);
  }
});

test("with k of all there are, it is full coverage: no key is left out", () => {
  const shape = { headDim: 16, kvHeads: 2, group: 2 };
  const options = { nGlobal: 3, nLocal: 32, limit: 32 };
  const middle = { recall: 256, recallDistance: 32, recallTokens: 1000, recallBlocks: "all" } as const;
  for (const position of POSITIONS) {
    const setup = setupOf(position, shape, { ...options, ...middle });
    const tokens = draw(new Dice(7), setup, 150);
    const { out } = attend(
      bench,
      setup,
      tokens,
      Array.from({ length: 150 }, () => 1),
    );
    const all = setupOf(position, shape, { attention: "ceiling-only", limit: 32, maxPositions: 150 });
    expect(worst(out, expected(all, tokens).out, () => 1)).toBeLessThan(2e-5);
  }
});

test("a gate lowers the weight of middle keys; those of which nothing is left are not attended", () => {
  const shape = { headDim: 24, kvHeads: 2, group: 2 };
  for (const position of POSITIONS) {
    const numbers = { nGlobal: 2, nLocal: 34, recall: 6, recallTokens: 100, recallBlocks: 3 };
    const own = [[0, 0, -6] as const, [0, 1, 0.5] as const, [0, 2] as const, [0, 3, -100] as const];
    for (const recallGate of [-6, -3, 0.5, undefined]) {
      const gates = recallGate === undefined ? { recallGate: -3, recallHeads: own } : { recallGate };
      const setup = setupOf(position, shape, { ...numbers, ...gates });
      const tokens = draw(new Dice(9), setup, 140);
      const one = attend(bench, setup, tokens, chunksOf(new Dice(1), 140, 3));
      const open = attend(bench, setupOf(position, shape, numbers), tokens, chunksOf(new Dice(2), 140, 3));
      let [kept, left] = [0, 0];
      for (let p = 0; p < 140; p++) {
        for (let head = 0; head < setup.heads; head++) {
          const all = open.chosen(head, p);
          const some = one.attended(head, p);
          expect(one.chosen(head, p)).toEqual(all);
          expect(some).toEqual(all.filter((j) => some.includes(j)));
          kept += some.length;
          left += all.length - some.length;
        }
      }
      expect(kept).toBeGreaterThan(0);
      expect(left).toBeGreaterThan(0);
      expect(worst(one.out, expected(setup, tokens, { chosen: one.chosen }).out, () => 1)).toBeLessThan(2e-5);
      // The definition's own choice.
      expect(worst(one.out, expected(setup, tokens).out, () => 1)).toBeLessThan(2e-5);
    }
  }
});

test("where a text is repeated, chosen keys run on, and no gate lowers them; in any chunks, slices and places", () => {
  const [heads, headDim, period, n] = [4, 16, 100, 330];
  const numbers = { nGlobal: 2, nLocal: 90, recall: 10, recallTokens: 300, recallBlocks: 12, recallGate: 30 };
  const setup = setupOf("alibi", { headDim, kvHeads: 2, group: 2 }, numbers);
  const dice = new Dice(11);
  const tokens = draw(dice, setup, n);
  // A token asks for the key of its own; those of one head are another text now and then.
  for (let p = 0; p < n; p++) {
    if (p >= period) tokens.k.copyWithin(p * 2 * headDim, (p - period) * 2 * headDim, (p - period + 1) * 2 * headDim);
    for (let head = 0; head < heads; head++) {
      if (head === 3 && p % 5 === 0) continue;
      const key = tokens.k.subarray((2 * p + (head >> 1)) * headDim, (2 * p + (head >> 1) + 1) * headDim);
      tokens.q.set(key, (p * heads + head) * headDim);
    }
  }
  const asks = (p: number) => p < 250 || p > 270;
  const origin = 2n ** 40n;
  const one = attend(bench, setup, tokens, chunksOf(dice, n, 4), { asks, origin });
  expect(worst(one.out, expected(setup, tokens, { chosen: one.chosen, asks }).out, () => 1)).toBeLessThan(2e-5);
  const counts = new Array<number>(heads).fill(0);
  for (let p = 0; p < n; p++) {
    for (let head = 0; head < heads; head++) {
      const attended = one.attended(head, p);
      const chosen = one.chosen(head, p);
      expect(attended).toEqual(chosen.filter((j) => runsOn(p, j, (before) => one.chosen(head, before))));
      if (attended.includes(p - period)) counts[head]!++;
      // The first three tokens that are repeated, and the first three after those that do not ask, do not run on yet.
      if ((p >= period && p < period + 3) || (p > 270 && p <= 273)) expect(attended).not.toContain(p - period);
    }
  }
  expect(Math.min(...counts)).toBeGreaterThan(150);
  for (const most of [1, 59, 59]) {
    const other = attend(bench, setup, tokens, chunksOf(dice, n, most), { asks, origin, slices: 1 + dice.below(4) });
    expect(words(other.out)).toEqual(words(one.out));
  }
});

test("rows that do not ask are attended as without middle keys, bit for bit", () => {
  const shape = { headDim: 12, kvHeads: 2, group: 2 };
  for (const position of POSITIONS) {
    const numbers = { nGlobal: 2, nLocal: 36, limit: 40 };
    const setup = setupOf(position, shape, { ...numbers, recall: 4 });
    const tokens = draw(new Dice(8), setup, 80);
    const chunks = Array.from({ length: 16 }, () => 5);
    const plain = attend(bench, setupOf(position, shape, numbers), tokens, chunks);
    const none = attend(bench, setup, tokens, chunks, { asks: () => false });
    expect(words(none.out)).toEqual(words(plain.out));
    expect(none.visited).toBe(plain.visited);
    expect(words(attend(bench, setup, tokens, chunks).out)).not.toEqual(words(plain.out));
  }
});
