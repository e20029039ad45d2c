/** One session's attention by records, chunk by chunk, as the planner would write them; and the reference for it. */

import { Size } from "../../assembly/layout.ts";
import { Attention, Cast, Op } from "../../assembly/op.ts";
import { Angles, Clamp, Rope } from "../../assembly/op_positions.ts";
import type { CacheDType } from "../../src/base/dtype.ts";
import { choosingBytes } from "../../src/machine/code_sizes.ts";
import type { Positions } from "../../src/models/positions.ts";
import { turns } from "../../src/models/positions.ts";
import { CACHE_FORMATS, type CacheLayout, cacheLayout } from "../../src/plan/cache.ts";
import { gatesOf } from "../../src/plan/middle.ts";
import type { Policy } from "../../src/plan/policy.ts";
import * as reference from "../reference/attention.ts";
import { rounded } from "../reference/cache_format.ts";
import { alibiSlopes, inverseFrequencies, type RopeLayout } from "../reference/math.ts";
import { chooseMiddle, followedBy } from "../reference/recall.ts";
import { type Bench, bits, type Dice, flat, rowsOf } from "./harness.ts";

export interface Setup {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** 0: ALiBi. */
  readonly rotaryDim: number;
  readonly layout: RopeLayout;
  readonly scale: number;
  /** 0 or undefined: none. */
  readonly softCap?: number;
  readonly policy: Policy;
  /** How many of the first tokens this session keeps attended, if not all nGlobal. */
  readonly pinned?: number | undefined;
  /** f32 by default. */
  readonly cacheDtype?: CacheDType;
}

/** What every token asks, and what it is found by: [n, heads · headDim], [n, kvHeads · headDim] twice. */
export interface Tokens {
  readonly q: Float32Array;
  readonly k: Float32Array;
  readonly v: Float32Array;
}

/** Chunks of 1 to `most` tokens that add up to n. */
export function chunksOf(dice: Dice, n: number, most: number): number[] {
  const chunks: number[] = [];
  for (let left = n; left > 0; left -= chunks.at(-1)!) chunks.push(Math.min(left, 1 + dice.below(most)));
  return chunks;
}

/** For each of n tokens a position, at most its own and at least that of the token before. */
export function beginsOf(dice: Dice, n: number): number[] {
  let begin = 0;
  return Array.from({ length: n }, (_, p) => {
    if (dice.below(6) === 0) begin += dice.below(p - begin + 1);
    return begin;
  });
}

export function draw(dice: Dice, { heads, kvHeads, headDim }: Setup, n: number): Tokens {
  const [q, k] = [dice.floats(n * heads * headDim, 12), dice.floats(n * kvHeads * headDim)];
  return { q, k, v: dice.floats(n * kvHeads * headDim) };
}

export interface Outcome {
  /** [n, heads · headDim] */
  readonly out: Float32Array;
  /** Keys rotated by their positions, [n, kvHeads · headDim]; under ALiBi the keys themselves. */
  readonly kRotated: Float32Array;
  /** The session's slot after the last chunk, and its layout. */
  readonly slot: Float32Array;
  readonly cache: CacheLayout;
  /** Keys that the kernel says it has met, over all rows and KV heads. */
  readonly visited: number;
  /** The middle keys that each head of each query has chosen: head, query → positions from 0, best first. */
  readonly chosen: (head: number, p: number) => number[];
  /** Those of them that it attends to. */
  readonly attended: (head: number, p: number) => number[];
  /** Queries rotated by recallDistance, [n, heads · headDim]; without middle keys unrotated. */
  readonly qRecall: Float32Array;
}

/**
 * `rounding`: keys and values are f32 that have been rounded to this format where they would be cast to it.
 * Everything that no record has written is NaN: the buffers before each chunk, the slot before the first.
 */
export function attend(
  bench: Bench,
  setup: Setup,
  tokens: Tokens,
  chunks: readonly number[],
  {
    origin = 0n,
    slices = 1,
    rounding = "f32" as CacheDType,
    asks = (_: number): boolean => true,
    begin = (_: number): number => 0,
  } = {},
): Outcome {
  bench.clear();
  const { heads, kvHeads, headDim, rotaryDim, policy } = setup;
  const [qWidth, kvWidth] = [heads * headDim, kvHeads * headDim];
  const cache = cacheLayout(policy, { shape: setup, positions: positionsOf(setup) }, setup.cacheDtype);
  const most = Math.max(...chunks);
  const slot = bench.output(cache.bytes / 4);
  const scratch = bench.take(Size.ScratchBytes * slices);
  const recallWork = bench.take(choosingBytes(policy.recallBlocks) * slices);
  for (let i = 0; i < slices; i++) bench.view.setBigUint64(scratch + i * Size.ScratchBytes, 0n, true);
  const gates = bench.floats(gatesOf(policy, 0, heads).map((gate) => 2 ** gate));
  const slopes = rotaryDim ? 0 : bench.floats(alibiSlopes(heads));
  const angles = bench.output(2 * rotaryDim * most);
  const anglesRecall = bench.output(2 * rotaryDim * most);
  const { recall, recallTokens, recallDistance, recallBlocks } = policy;
  const chosenBytes = 8 * heads * recall;
  const chosen = bench.take(chosenBytes * most);
  const lists = new Uint32Array((tokens.q.length / qWidth) * (chosenBytes / 4));
  const frequencies = rotaryDim ? [...inverseFrequencies(rotaryDim, 100)].map(turns) : [];
  const turned = bench.take(8 * frequencies.length);
  for (const [i, value] of frequencies.entries()) bench.view.setBigUint64(turned + 8 * i, value, true);
  const buffer = (width: number) => bench.output(most * width);
  const at = { q: buffer(qWidth), k: buffer(kvWidth), v: buffer(kvWidth), out: buffer(qWidth) };
  const cached =
    (cache.dtype !== "f32" && {
      k: bench.take(most * kvHeads * cache.headBytes),
      unrotated: bench.take(most * kvHeads * cache.headBytes),
      v: bench.take(most * kvHeads * cache.headBytes),
    }) ||
    undefined;
  const shapes = { kvHeads, headDim, format: CACHE_FORMATS[cache.dtype], headBytes: cache.headBytes };
  const rotated = rotaryDim
    ? { q: buffer(qWidth), fixed: buffer(qWidth), middle: buffer(qWidth), k: buffer(kvWidth) }
    : undefined;

  const out = new Float32Array(tokens.q.length);
  const kRotated = new Float32Array(tokens.k.length);
  const qRecall = new Float32Array(tokens.q.length);
  let done = 0;
  for (const rows of chunks) {
    for (const [address, width] of [
      [at.q, qWidth],
      [at.k, kvWidth],
      [at.v, kvWidth],
      [at.out, qWidth],
    ] as const) {
      bench.bytes.fill(0xff, address, address + 4 * most * width);
    }
    for (const [name, width] of [
      ["q", qWidth],
      ["k", kvWidth],
      ["v", kvWidth],
    ] as const) {
      const part = tokens[name].subarray(done * width, (done + rows) * width);
      new Float32Array(bench.view.buffer, at[name], part.length).set(part);
    }
    const positions = Array.from({ length: rows }, (_, i) => origin + BigInt(done + i));
    const run = { origin, slot, runStart: 0, runRows: rows };
    bench.step(
      positions.map((position, i) => {
        const from = begin(done + i) && origin + BigInt(begin(done + i));
        const skipsRecall = asks(done + i) ? 0 : 1;
        return { ...run, position, skipsRecall, begin: BigInt(from), nGlobal: setup.pinned };
      }),
    );
    if (rotated) {
      const { clamp, limit } = cache;
      const factors = { factor: bits(1), fixedFactor: bits(1) };
      const words = { out: angles, turns: turned, pairs: rotaryDim / 2, clamp, limit, ...factors };
      bench.execute(Op.Angles, Angles, words, { slices });
      const shape = { angles, headDim, rotaryDim, interleaved: setup.layout === "interleaved" ? 1 : 0 };
      bench.execute(Op.Rope, Rope, { y: rotated.q, x: at.q, heads, ...shape }, { slices });
      bench.execute(Op.Rope, Rope, { y: rotated.fixed, x: at.q, heads, ...shape, fixed: 1 }, { slices });
      if (recall) {
        const only = { turns: turned, pairs: rotaryDim / 2, clamp: Clamp.Distance, ...factors };
        bench.execute(Op.Angles, Angles, { ...only, out: anglesRecall, limit: recallDistance }, { slices });
        const to = { y: rotated.middle, x: at.q, heads, ...shape, angles: anglesRecall, fixed: 1 };
        bench.execute(Op.Rope, Rope, to, { slices });
      }
      bench.execute(Op.Rope, Rope, { y: rotated.k, x: at.k, heads: kvHeads, ...shape }, { slices });
    }
    for (const address of rounding === "f32" ? [] : [at.k, at.v, ...(rotated ? [rotated.k] : [])]) {
      const part = new Float32Array(bench.view.buffer, address, rows * kvWidth);
      part.set(rounded(rounding, part, headDim));
    }
    if (cached) {
      bench.execute(Op.Cast, Cast, { y: cached.k, x: rotated?.k ?? at.k, ...shapes }, { slices });
      bench.execute(Op.Cast, Cast, { y: cached.unrotated, x: at.k, ...shapes }, { slices });
      bench.execute(Op.Cast, Cast, { y: cached.v, x: at.v, ...shapes }, { slices });
    }
    const words = {
      ...cache.parts,
      out: at.out,
      q: rotated?.q ?? at.q,
      qFixed: cache.clamp === Clamp.None ? (rotated?.q ?? at.q) : (rotated?.fixed ?? at.q),
      k: cached?.k ?? rotated?.k ?? at.k,
      kUnrotated: cached?.unrotated ?? at.k,
      v: cached?.v ?? at.v,
      ...{ ...shapes, heads, scale: bits(setup.scale), slopes, scratch },
      softCap: bits(setup.softCap ?? 0),
      ...{ nGlobal: cache.pinned, nLocal: cache.ring, clamp: cache.clamp, limit: cache.limit },
      ...{
        recall,
        recallTokens,
        recallPlaces: cache.recallPlaces,
        recallDistance,
        chosen,
        qRecall: rotated?.middle ?? at.q,
      },
      ...{
        recallBlocks: Math.min(recallBlocks, 2 ** 32 - 1),
        gates,
        recallWork,
        codeBlocks: cache.codeBlocks,
      },
    };
    for (const op of recall ? [Op.Choose, Op.Follow] : []) bench.execute(op, Attention, words, { slices });
    bench.execute(Op.Attention, Attention, words, { slices });
    bench.execute(Op.Store, Attention, words, { slices });
    bench.execute(Op.Seal, Attention, words, { slices });
    out.set(bench.read(at.out, rows * qWidth), done * qWidth);
    kRotated.set(bench.read(rotated?.k ?? at.k, rows * kvWidth), done * kvWidth);
    qRecall.set(bench.read(recall && rotated ? rotated.middle : at.q, rows * qWidth), done * qWidth);
    lists.set(new Uint32Array(bench.view.buffer, chosen, (rows * chosenBytes) / 4), (done * chosenBytes) / 4);
    done += rows;
  }
  bench.checkGuards();
  const weights = new Float32Array(lists.buffer);
  const entries = (head: number, p: number) =>
    Array.from({ length: recall }, (_, n) => 2 * (recall * (p * heads + head) + n)).filter((at) => lists[at + 1]! > 0);
  const positions = (p: number, entries: number[]) => entries.map((at) => p - lists[at + 1]!);
  let visited = 0;
  for (let i = 0; i < slices; i++) visited += Number(bench.view.getBigUint64(scratch + i * Size.ScratchBytes, true));
  return {
    ...{ out, kRotated, slot: bench.read(slot, cache.bytes / 4), cache, visited, qRecall },
    chosen: (head, p) => positions(p, entries(head, p)),
    attended: (head, p) =>
      positions(
        p,
        entries(head, p).filter((at) => weights[at]! > 0),
      ),
  };
}

function positionsOf({ heads, rotaryDim, layout }: Setup): Positions {
  if (!rotaryDim) return { kind: "alibi", slopes: [...alibiSlopes(heads)] };
  const interleaved = layout === "interleaved";
  return { kind: "rope", inverseFrequencies: [...inverseFrequencies(rotaryDim, 100)], interleaved };
}

/** The same by the definition, with the middle keys that `chosen` says, and how many pairs a KV head looks at. */
export function expected(
  setup: Setup,
  { q, k, v }: Tokens,
  {
    chosen,
    asks,
    begin,
  }: { chosen?: Outcome["chosen"]; asks?: (p: number) => boolean; begin?: (p: number) => number } = {},
): { out: Float64Array; pairs: number } {
  const { heads, kvHeads, headDim, scale, softCap } = setup;
  const policy = referencePolicy(setup, { asks, begin });
  const [rows, keys, values] = [rowsOf(q, heads * headDim), rowsOf(k, kvHeads * headDim), rowsOf(v, kvHeads * headDim)];
  const shape = { heads, kvHeads, headDim, scale, softCap };
  const out = flat(reference.attention(rows, keys, values, shape, referencePosition(setup), policy, undefined, chosen));
  let pairs = 0;
  for (let p = 0; p < rows.length; p++) {
    const [first, end] = reference.middleOf(policy, p);
    for (let j = 0; j <= p; j++) if (reference.pair(policy, p, j).attended) pairs++;
    pairs += end - first;
  }
  return { out, pairs };
}

function referencePolicy(
  setup: Setup,
  { asks, begin }: { asks?: ((p: number) => boolean) | undefined; begin?: ((p: number) => number) | undefined },
): reference.Policy {
  const { policy, pinned } = setup;
  const { attention, ...numbers } = policy;
  const gateOf = (head: number) => gatesOf(policy, 0, setup.heads)[head] as number;
  return { policy: attention, ...numbers, gateOf, pinned, ...(asks && { asks }), ...(begin && { begin }) };
}

function referencePosition({ heads, rotaryDim, layout }: Setup): reference.Position {
  if (rotaryDim) return { kind: "rope", inverseFrequencies: inverseFrequencies(rotaryDim, 100), layout };
  return { kind: "alibi", slopes: alibiSlopes(heads) };
}

/** The middle keys that the definition chooses for the queries as they were rotated and the keys as they are stored. */
export function chosenBy(
  setup: Setup,
  { k }: Tokens,
  { qRecall }: Pick<Outcome, "qRecall">,
  asks?: (p: number) => boolean,
): Outcome["chosen"] {
  const { heads, kvHeads, headDim, cacheDtype = "f32" } = setup;
  const policy = referencePolicy(setup, { asks });
  const { recall, recallBlocks: blocks } = setup.policy;
  const nGlobal = Math.min(setup.policy.nGlobal, setup.pinned ?? Infinity);
  const stored = cacheDtype === "f32" ? k : rounded(cacheDtype, k, headDim);
  const part = (x: Float32Array, width: number, row: number, head: number) =>
    Float64Array.from(x.subarray(row * width + head * headDim, row * width + (head + 1) * headDim));
  const n = k.length / (kvHeads * headDim);
  const keys = Array.from({ length: kvHeads }, (_, head) =>
    Array.from({ length: n }, (_, j) => part(stored, kvHeads * headDim, j, head)),
  );
  const chosen = (head: number, p: number): number[] => {
    const query = part(qRecall, heads * headDim, p, head);
    const own = keys[Math.floor(head / (heads / kvHeads))]!;
    const choice = { k: recall, blocks, nGlobal, followed: followedBy(p, (before) => known(head, before)) };
    return chooseMiddle(query, own, reference.middleOf(policy, p, head), choice).positions;
  };
  const lists = new Map<string, number[]>();
  const known = (head: number, p: number) => {
    const found = lists.get(`${head} ${p}`) ?? chosen(head, p);
    lists.set(`${head} ${p}`, found);
    return found;
  };
  return known;
}
