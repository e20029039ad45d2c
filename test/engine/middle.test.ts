/** Top-k middle tokens of whole models: against the dense definition in f64, and what must not change a single bit. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import fc from "fast-check";
import { CACHE_DTYPES } from "../../src/base/dtype.ts";
import { GREEDY } from "../../src/engine/sampler.ts";
import { score } from "../../src/engine/score.ts";
import { readSnapshot, writeSnapshot } from "../../src/engine/snapshot.ts";
import { NO_TEXT } from "../../src/engine/state.ts";
import { attentionOf } from "../../src/models/program.ts";
import { RECALL_QUERIES } from "../../src/plan/middle.ts";
import { planModel } from "../../src/plan/plan_checkpoint.ts";
import { type PolicyOptions, resolvePolicy } from "../../src/plan/policy.ts";
import { middleOf } from "../reference/attention.ts";
import { forward } from "../reference/model.ts";
import { readTensors } from "../reference/safetensors.ts";
import { fieldsOf, snapshotOf } from "../session/forge.ts";
import { deviation, FIXTURES } from "../setup.ts";
import { Bare, type Token } from "./bare.ts";
import {
  checkpointOf,
  engineOf,
  FAMILIES,
  firstDifference,
  fixture,
  kvHeadsOf,
  oneByOne,
  PATIENCE,
  randomIds,
  rowOf,
  sameBits,
} from "./tiny.ts";

setDefaultTimeout(PATIENCE);

const ATTENTIONS = ["lambda", "window", "lambda-only", "sinks"] as const;
const BOUND = 2e-4;

interface Dense {
  readonly logits: Float64Array[];
  /** Queries before this one choose the same keys in every layer and head, whatever f32 rounds to. */
  readonly certain: number;
  /** The weights of middle tokens by position, added up over queries, layers and heads; and how many of these there are. */
  readonly recalled: ReadonlyMap<number, number>;
  readonly heads: number;
}

function dense(family: string, ids: readonly number[], options: PolicyOptions, asks = (_: number) => true): Dense {
  const { config } = fixture(family);
  const { attention: policy, ...numbers } = resolvePolicy(options, 1 << 20);
  let certain = ids.length;
  let heads = 0;
  const recalled = new Map<number, number>();
  const reference = { policy, ...numbers, asks };
  const looks = (layer: number, head: number) =>
    numbers.recallHeads === "all" || numbers.recallHeads.some((at) => at[0] === layer && at[1] === head);
  const logits = forward(config, readTensors(join(FIXTURES, family)), ids, reference, {
    attention: (layer, row) => {
      if (!row.certain) certain = Math.min(certain, row.p);
      if (!numbers.recallLayers.includes(layer) || !looks(layer, row.head)) return;
      heads++;
      const [begin, end] = middleOf(reference, row.p);
      for (let j = begin; j < end; j++) {
        const weight = row.weights[j] as number;
        if (weight > 0) recalled.set(j, (recalled.get(j) ?? 0) + weight);
      }
    },
    hidden: () => {},
  });
  return { logits, certain, recalled, heads };
}

/** Tokens that one layer of two keeps. */
const KEPT: PolicyOptions = { nLocal: 32, nGlobal: 2, recall: 3, recallLayers: [1], recallTokens: 30 };

const numbers = {
  attention: fc.constantFrom(...ATTENTIONS),
  nLocal: fc.integer({ min: 32, max: 40 }),
  nGlobal: fc.integer({ min: 0, max: 6 }),
  recall: fc.integer({ min: 1, max: 6 }),
  recallDistance: fc.integer({ min: 1, max: 20 }),
  recallLayers: fc.constantFrom([0, 1], [1]),
  recallHeads: fc.constantFrom("all" as const, [[1, 0] as const, [1, 1, -2] as const]),
  recallTokens: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constant(200)),
  recallBlocks: fc.constantFrom("all" as const, 1, 2),
  recallGate: fc.constantFrom(undefined, -4, -1, 4),
  repeats: fc.boolean(),
};

/** Tokens that may be repeated, so that what heads choose runs on. */
function idsOf(count: number, seed: number, repeats: boolean): number[] {
  const ids = randomIds(count, seed);
  return repeats ? ids.map((_, i) => ids[i % 45] as number) : ids;
}

describe.each([...FAMILIES])("%s", (family) => {
  test("logits equal the dense definition's within 2e-4 · (1 + |logit|), under any policy and numbers, in any chunks", async () => {
    let compared = 0;
    let all = 0;
    const cases = fc.record({
      ...numbers,
      tokens: fc.integer({ min: 20, max: 120 }),
      chunkSize: fc.integer({ min: 1, max: 80 }),
      seed: fc.nat(),
    });
    const property = fc.asyncProperty(cases, async ({ tokens, chunkSize, seed, repeats, ...options }) => {
      const ids = idsOf(tokens, seed, repeats);
      const { logits, certain } = dense(family, ids, options);
      const model = await Bare.load(family, { ...options, chunkSize, maxSessions: 1 });
      const found = model.read(ids).slice(0, certain);
      compared += certain;
      all += tokens;
      return found.every((row, p) => deviation(row, logits[p] as Float64Array) < BOUND);
    });
    await fc.assert(property, { numRuns: 40, seed: 1 });
    expect(compared / all).toBeGreaterThan(0.8);
  });

  test("the NLL of every token is the dense definition's within 1e-4 nats", async () => {
    for (const seed of [1, 2, 3]) {
      const options: PolicyOptions = { nLocal: 32, nGlobal: 2, recall: 4, recallLayers: [0, 1], attention: "lambda" };
      const ids = randomIds(110, seed);
      const { logits, certain } = dense(family, ids, options);
      const engine = await engineOf(family, { ...options, observe: { nll: true } });
      const found: number[] = [];
      await score(engine, engine.open(0, 1), ids, (nll) => void found.push(...nll));
      for (let p = 0; p + 1 < certain; p++) {
        const row = logits[p] as Float64Array;
        const sum = row.reduce((total, logit) => total + Math.exp(logit), 0);
        expect(Math.abs((found[p] as number) - (Math.log(sum) - (row[ids[p + 1] as number] as number)))).toBeLessThan(
          1e-4,
        );
      }
      expect(certain).toBeGreaterThan(40);
    }
  });

  test("last: what is appended asks at its end, a generated token always; as the definition says, in any chunks", async () => {
    const options = { nLocal: 33, nGlobal: 2, recall: 3, recallLayers: [0, 1], recallQueries: "last" } as const;
    const pieces = [1, 40, 9, 30];
    const ids = randomIds(80, 4);
    const ends = pieces.map((_, i) => pieces.slice(0, i + 1).reduce((sum, size) => sum + size, -1));
    let first: Float32Array[] | undefined;
    for (const chunkSize of [1, 3, 7, 64]) {
      const engine = await engineOf(family, { ...options, chunkSize });
      const session = engine.open(0, 1);
      const rows: Float32Array[] = [];
      const text: number[] = [];
      for (const [i, end] of ends.entries()) {
        const piece = ids.slice(i ? (ends[i - 1] as number) + 1 : 0, end + 1);
        await engine.append(session, piece);
        text.push(...piece);
        rows.push(rowOf(engine, session));
      }
      // Generated tokens attend to middle tokens, whether next reads them or the start of an append.
      const asking = [...ends];
      for (let i = 0; i < 3; i++) {
        asking.push(text.length);
        text.push((await engine.next(session, GREEDY)).id);
        if (i < 2) rows.push(rowOf(engine, session));
      }
      await engine.append(session, ids.slice(0, 5));
      text.push(...ids.slice(0, 5));
      asking.push(text.length - 1);
      rows.push(rowOf(engine, session));
      const { logits, certain } = dense(family, text, options, (p) => asking.includes(p));
      expect(certain).toBe(text.length);
      const at = [...ends, text.length - 8, text.length - 7, text.length - 1];
      expect(deviation(rows.at(-1) as Float32Array, logits.at(-1) as Float64Array)).toBeLessThan(BOUND);
      for (const [i, row] of rows.slice(0, ends.length).entries()) {
        expect(deviation(row, logits[at[i] as number] as Float64Array)).toBeLessThan(BOUND);
      }
      first ??= rows;
      expect(firstDifference(rows, first)).toBe(-1);
      // forward reads the same as append, its last token asking.
      const other: Float32Array[] = [];
      await engine.forward(engine.open(0, 1), text, (row) => void other.push(row.slice()));
      const whole = dense(family, text, options, (p) => p === text.length - 1);
      for (const [p, row] of other.entries())
        expect(deviation(row, whole.logits[p] as Float64Array)).toBeLessThan(BOUND);
    }
  });

  test("recalled: the weights of the dense definition, of whatever was read since the generation began", async () => {
    let compared = 0;
    for (let seed = 0; seed < 12; seed++) {
      const options = { nLocal: 32, nGlobal: 2, recall: 3, recallLayers: [1], recallGate: seed % 2 ? -3 : undefined };
      const ids = randomIds(90, seed);
      const { recalled, heads, certain } = dense(family, ids, options);
      if (certain < ids.length) continue;
      compared++;
      const engine = await engineOf(family, { ...options, chunkSize: 9, maxSessions: 2 });
      const session = engine.open(5, 1);
      await engine.append(session, ids.slice(0, 40));
      const fork = engine.fork(session);
      await engine.append(session, ids.slice(40));
      const { tokens } = engine.state(session).recalled;
      expect(tokens.map(({ position }) => position - 5).sort()).toEqual([...recalled.keys()].sort());
      for (const { position, weight } of tokens) {
        expect(Math.abs(weight - (recalled.get(position - 5) as number) / heads)).toBeLessThan(1e-5);
      }
      expect(tokens.map(({ weight }) => weight)).toEqual(tokens.map(({ weight }) => weight).sort((a, b) => b - a));
      await engine.append(fork, ids.slice(40));
      expect(engine.state(fork).recalled.tokens).toEqual(tokens);
      engine.begin(session, undefined, GREEDY);
      expect(engine.state(session).recalled.tokens).toEqual([]);
    }
    expect(compared).toBeGreaterThan(3);
  });

  test("all: pieces, chunks, company, fork and snapshot change no bit", async () => {
    const cases = fc.record({
      ...numbers,
      cacheDtype: fc.constantFrom(...CACHE_DTYPES),
      chunkSize: fc.integer({ min: 1, max: 70 }),
      pieces: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 2, maxLength: 4 }),
      seed: fc.nat(),
    });
    const property = fc.asyncProperty(cases, async ({ chunkSize, pieces, seed, repeats, ...options }) => {
      const tokens = pieces.reduce((sum, size) => sum + size, 0);
      const ids = idsOf(tokens, seed, repeats);
      const single = await oneByOne(await engineOf(family, { ...options, chunkSize: 1 }), ids);
      const engine = await engineOf(family, { ...options, chunkSize });
      const other = engine.open(0, 1);
      let session = engine.open(0, 1);
      let read = 0;
      for (const [i, size] of pieces.entries()) {
        await engine.append(session, ids.slice(read, read + size));
        await engine.append(other, randomIds(size, seed + i));
        read += size;
        if (!sameBits(rowOf(engine, session), single[read - 1] as Float32Array)) return false;
        const before = session;
        if (i % 2) session = engine.fork(session);
        else {
          session = readSnapshot(engine, writeSnapshot(engine, engine.state(session), NO_TEXT)).id;
        }
        await engine.append(before, randomIds(5, seed));
        engine.dispose(before);
      }
      return true;
    });
    await fc.assert(property, { numRuns: 30, seed: 2 });
  });

  test("rows of two sessions in a step, at other origins, have the bits of each alone", async () => {
    for (const [i, attention] of ATTENTIONS.entries()) {
      const options = { attention, nLocal: 54, nGlobal: 2, recall: 3, recallLayers: [1], recallTokens: 20 };
      const model = await Bare.load(family, {
        ...options,
        cacheDtype: CACHE_DTYPES[i % 3],
        chunkSize: 40,
        maxSessions: 2,
      });
      const origins = [3, 2 ** 45];
      const texts = [randomIds(60, i), randomIds(60, i + 9)];
      const rows: Float32Array[][] = [[], []];
      const done = [0, 0];
      for (const counts of [
        [3, 20],
        [17, 1],
        [1, 1],
        [9, 12],
        [14, 8],
        [12, 10],
        [4, 8],
      ]) {
        const tokens = counts.flatMap((count, session) => {
          const begin = done[session] as number;
          done[session] = begin + count;
          const origin = origins[session] as number;
          return Array.from({ length: count }, (_, n): Token => {
            const token = texts[session]?.[begin + n] as number;
            return { session, token, position: origin + begin + n, origin };
          });
        });
        for (const [n, row] of model.step(tokens).entries()) rows[(tokens[n] as Token).session]?.push(row);
      }
      for (const [session, text] of texts.entries()) {
        expect(firstDifference(rows[session] as Float32Array[], model.read(text, 1, origins[session]))).toBe(-1);
      }
    }
  });
});

describe("options", () => {
  test("defaults: off; half of limit, or of nLocal; 5/32 of the layers; 8 times the trained length; all", () => {
    const middleOf = (options: PolicyOptions, layers = 32) => {
      const { recall, recallDistance, recallLayers, recallTokens, recallQueries } = resolvePolicy(
        options,
        512,
        Infinity,
        layers,
      );
      return [recall, recallDistance, recallLayers[0] ?? 0, recallTokens, recallQueries];
    };
    expect(middleOf({})).toEqual([0, 0, 0, 0, "all"]);
    expect(middleOf({ recall: 5 })).toEqual([5, 256, 5, 4096, "all"]);
    const firsts = [1, 2, 3, 4, 5, 6, 12, 22, 40, 80].map((layers) => middleOf({ recall: 5 }, layers)[2]);
    expect(firsts).toEqual([0, 0, 0, 1, 1, 1, 2, 3, 6, 13]);
    expect(middleOf({ recall: 5, limit: 1001 })).toEqual([5, 500, 5, 4096, "all"]);
    expect(middleOf({ recall: 5, nLocal: 33 })).toEqual([5, 16, 5, 4096, "all"]);
    expect(middleOf({ recall: 5, attention: "window", nLocal: 100, limit: 7 })).toEqual([5, 50, 5, 4096, "all"]);
  });

  const refused: [PolicyOptions, string][] = [
    [{ recall: 257 }, "recall: expected a whole number from 0 to 256, found 257"],
    [{ recall: 1, nLocal: 31 }, "nLocal: expected 32 or more with recall, found 31"],
    [
      { recall: 1, recallLayers: [0, 1], recallBlocks: 0 },
      "recallBlocks: expected all, or a whole number from 1 to 8192, found 0",
    ],
    [
      { recall: 1, recallLayers: [0, 1], recallGate: NaN },
      "recallGate: expected none, or a number from -100 to 100, found NaN",
    ],
    [{ recall: 1, attention: "full" }, "recall: expected 0 under full attention, found 1"],
    [{ recall: 1, attention: "ceiling-only" }, "recall: expected 0 under ceiling-only attention, found 1"],
    [{ recall: 1, recallLayers: [0, 2] }, "recallLayers: expected some of 0 to 1, found 2"],
    [{ recall: 1, recallLayers: [] }, "recallLayers: expected some of 0 to 1, found none"],
    [
      { recall: 1, recallHeads: [] },
      "recallHeads: expected all, or lists of a layer, a head and if need be a gate from -100 to 100, found []",
    ],
    [
      { recall: 1, recallHeads: [[1, -1]] },
      "recallHeads: expected all, or lists of a layer, a head and if need be a gate from -100 to 100, found 1:-1",
    ],
    [
      {
        recall: 1,
        recallHeads: [
          [1, 0, 2],
          [0, 0],
          [1, 0],
        ],
      },
      "recallHeads: expected each head once, found 1:0:2 twice",
    ],
    [
      { recall: 1, recallHeads: [[1, 0, 101]] },
      "recallHeads: expected all, or lists of a layer, a head and if need be a gate from -100 to 100, found 1:0:101",
    ],
    [{ recall: 1, recallHeads: [[1, 4]] }, "recallHeads: expected heads 0 to 3 of layer 1, found 1:4"],
    [{ recall: 1, recallHeads: [[2, 0]] }, "recallHeads: expected heads of layers 0 to 1, found 2:0"],
    [{ recall: 1, recallLayers: "1" as never }, "recallLayers: expected some of 0 to 1, found 1"],
    [
      { recall: 1, recallHeads: new Array(1) },
      "recallHeads: expected all, or lists of a layer, a head and if need be a gate from -100 to 100, found undefined",
    ],
    [
      { recall: 1, recallHeads: [[1, 0, NaN]] },
      "recallHeads: expected all, or lists of a layer, a head and if need be a gate from -100 to 100, found 1:0:NaN",
    ],
    [
      {
        recall: 1,
        recallLayers: [1],
        recallHeads: [
          [1, 0],
          [0, 0],
        ],
      },
      "recallHeads: expected heads of recallLayers (1), found 0:0",
    ],
    [
      { recall: 1, recallLayers: [0, 1], recallTokens: 0 },
      `recallTokens: expected a whole number from 1 to ${2 ** 31}, found 0`,
    ],
    [
      { recall: 1, recallLayers: [0, 1], recallDistance: 0 },
      `recallDistance: expected a whole number from 1 to ${2 ** 31}, found 0`,
    ],
    [
      { recall: 1, recallQueries: "some" as "all" },
      `recallQueries: expected one of ${RECALL_QUERIES.join(", ")}, found some`,
    ],
  ];
  test.each(refused)("%o is refused by name", async (options, message) => {
    expect(await engineOf("llama-gqa-tied", options).then(String, (error) => error.message)).toBe(message);
  });

  test("more tokens are looked for in more blocks, unless it is said in how many", () => {
    const blocksOf = (recallTokens: number, recallBlocks?: number) =>
      resolvePolicy({ recall: 1, recallTokens, recallBlocks }, 64).recallBlocks;
    expect([1, 65_536, 65_537, 262_144, 1_000_000, 2 ** 31].map((n) => blocksOf(n))).toEqual([
      128, 128, 129, 512, 1954, 8192,
    ]);
    expect(blocksOf(1_000_000, 7)).toBe(7);
  });

  test("a layer that attends middle tokens keeps recallTokens + nLocal more keys and values, whatever the format and banks", async () => {
    for (const family of FAMILIES) {
      const checkpoint = await checkpointOf(fixture(family));
      for (const cacheDtype of CACHE_DTYPES) {
        const planned = (options: PolicyOptions) =>
          planModel(checkpoint, { nLocal: 32, nGlobal: 2, cacheDtype, ...options });
        const { plan, program } = planned({});
        const more = planned({ recall: 3, recallLayers: [1], recallTokens: 100 }).plan;
        const { headBytes, bytes: layerBytes } = plan.layers[0]!.cache;
        const kvHeads = kvHeadsOf(program);
        const width = kvHeads * headBytes;
        const { heads, headDim } = attentionOf(program, 0)!.shape;
        // 16 codes, their mean and 16 bytes, for each of ⌈132 / 16⌉ + 2 blocks; 8 distances of 32 tokens.
        const codes = kvHeads * 11 * (17 * Math.ceil(headDim / 16) * 16 + 16);
        const runs = heads * 32 * 8 * 4;
        expect(more.cacheBytes - plan.cacheBytes).toBe(2 * 132 * width + codes + runs);
        expect(more.layers[0]?.cache.bytes).toBe(layerBytes);
        const slot = more.banks[0]?.slotBytes as number;
        expect(slot - (plan.banks[0]?.slotBytes as number)).toBeWithin(
          more.cacheBytes - plan.cacheBytes,
          more.cacheBytes - plan.cacheBytes + 64 * program.layers.length,
        );
        const engine = await engineOf(family, {
          nLocal: 32,
          nGlobal: 2,
          cacheDtype,
          recall: 3,
          recallLayers: [1],
          recallTokens: 100,
        });
        const session = engine.open(0, 1);
        await engine.append(session, randomIds(300, 1));
        const bytes = engine.plan.layers.map(({ cache }, layer) => {
          const { length } = engine.cacheBytes(engine.state(session), layer, 0, cache.bytes);
          return length;
        });
        expect(bytes.reduce((sum, count) => sum + count)).toBeLessThanOrEqual(slot);
        const { cache } = engine.plan.layers[1]!;
        const ring = engine.cacheBytes(engine.state(session), 1, cache.parts.kvRecall, 2 * 132 * width);
        // Every key and value of the ring is written.
        for (let at = 0; at < ring.length; at += headBytes) {
          expect(ring.subarray(at, at + headBytes).some((byte) => byte !== 0)).toBe(true);
        }
      }
    }
  });

  test("a snapshot says what it has of middle tokens, and is refused where others are kept", async () => {
    const engine = await engineOf("gptj", KEPT);
    const session = engine.open(0, 1);
    await engine.append(session, randomIds(50, 2));
    const snapshot = writeSnapshot(engine, engine.state(session), NO_TEXT);
    const shown = "recallTokens 30, recallLayers 1";
    const others: [PolicyOptions, string][] = [
      [{ recall: 0 }, "none"],
      [{ recallTokens: 31 }, shown.replace("30", "31")],
      [{ recallLayers: [0, 1] }, shown.replace("1", "0,1")],
    ];
    for (const [change, expected] of others) {
      const other = await engineOf("gptj", { ...KEPT, ...change });
      expect(() => readSnapshot(other, snapshot)).toThrow(
        `snapshot: middle tokens (recall): expected ${expected}, found ${shown}`,
      );
    }
    const plain = await engineOf("gptj", { ...KEPT, recall: 0 });
    const without = writeSnapshot(plain, plain.state(plain.open(0, 1)), NO_TEXT);
    expect(() => readSnapshot(engine, without)).toThrow(
      `snapshot: middle tokens (recall): expected ${shown}, found none`,
    );
  });

  test("material that is read without recall has plain Λ's bits, and is found by whoever asks in whatever way afterwards", async () => {
    const ids = randomIds(90, 5);
    const plain = await engineOf("gptj", { ...KEPT, recall: 0 });
    const reader = plain.open(0, 1);
    await plain.append(reader, ids.slice(0, 80));
    const engine = await engineOf("gptj", KEPT);
    const session = engine.open(0, 1);
    for (const [from, to] of [
      [0, 33],
      [33, 80],
    ] as const)
      await engine.append(session, ids.slice(from, to), undefined, { recall: false });
    expect([...rowOf(engine, session)]).toEqual([...rowOf(plain, reader)]);
    const snapshot = writeSnapshot(engine, engine.state(session), NO_TEXT);
    // As they were before they said what was chosen last, which is nothing here.
    const old = await snapshotOf(fieldsOf(snapshot).filter(({ name }) => !name.endsWith(".runs")));
    expect(old.length).toBeLessThan(snapshot.length - 32 * 8 * 4);
    const again = readSnapshot(engine, old).id;
    expect(writeSnapshot(engine, engine.state(again), NO_TEXT)).toEqual(snapshot);
    engine.dispose(again);
    for (const change of [
      {},
      { recall: 5 },
      { recallDistance: 5 },
      { recallBlocks: 1 },
      { recallGate: -1.5 },
    ] satisfies PolicyOptions[]) {
      const options = { ...KEPT, ...change };
      const other = await engineOf("gptj", options);
      const { id } = readSnapshot(other, snapshot);
      // What a rounding decides is not compared.
      const { logits, certain } = dense("gptj", ids, options, (p) => p >= 80);
      expect(certain).toBeGreaterThan(80);
      await other.append(id, ids.slice(80, certain));
      expect(deviation(rowOf(other, id), logits[certain - 1] as Float64Array)).toBeLessThan(BOUND);
    }
  });
});

describe.each([...FAMILIES])("%s over several banks", (family) => {
  test("as in one", async () => {
    const options = { nLocal: 36, nGlobal: 2, recall: 3, recallLayers: [1], recallTokens: 30, chunkSize: 5 };
    const ids = randomIds(80, 3);
    const whole = await oneByOne(await engineOf(family, options), ids);
    const checkpoint = await checkpointOf(fixture(family));
    const seen = new Set<number>();
    for (let bankBytes = 2 ** 18; !seen.has(1); bankBytes += 4096) {
      let banks = 0;
      try {
        banks = planModel(checkpoint, { ...options, bankBytes }).plan.banks.length;
      } catch {
        continue; // no layer fits
      }
      if (seen.has(banks)) continue;
      seen.add(banks);
      const engine = await engineOf(family, { ...options, bankBytes });
      for (const bank of engine.plan.banks) expect(bank.initialBytes).toBeLessThanOrEqual(bankBytes);
      expect(firstDifference(await oneByOne(engine, ids), whole)).toBe(-1);
    }
    expect(Math.max(...seen)).toBeGreaterThan(1);
  });
});
