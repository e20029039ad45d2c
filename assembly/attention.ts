import {
  beginBlock,
  headOf,
  keysBegin,
  keysEnd,
  locate,
  Part,
  positionOf,
  queryAt,
  setRange,
  Work,
} from "./attention_keys";
import { anyTile, eachTile, LOG2E, scoresOf } from "./attention_tiles";
import { chosen, chosenAt, gatheredAt, runsOn, weigh } from "./chosen";
import { capped } from "./elementwise";
import { Size } from "./layout";
import { Code } from "./layout_codes";
import { exp2, log } from "./math";
import { Attention } from "./op";
import { Clamp } from "./op_positions";
import { follow, gateOf, recall } from "./recall";
import { float, word } from "./record";
import { largestLane, loadFloats, mulAdd, storeFloats, sum } from "./simd";

/**
 * Λ-attention of a block of queries that share a KV head and a session: paper §3, Fig. 2.
 *
 * The keys of a query come in up to four sections: pinned keys at the fixed distance, other pinned keys, local keys at the
 * fixed distance, other local keys; each by position, in blocks that begin at positions divisible by Size.KeyBlock. Every
 * block goes through one online softmax: scores of the block (−∞ where no key is attended), a new maximum, the sums
 * rescaled, values added key by key. Which queries share a block, which slice, chunk or slot a key comes from, changes
 * only where it is read, never the order of an addition. Middle keys, where there are any, are chosen and come last.
 *
 * Queries of a KV head are numbered by row, then by head: `first` is the first one's number, `row` its entry in the row
 * table, `count` (Size.QueryBlock at most) how many there are. `work`: Size.ScratchBytes.
 */
export function attention(record: usize, row: usize, kvHead: u32, first: u32, count: u32, work: usize): void {
  beginBlock(work, record, row, kvHead, first, count);
  const headDim = word(record, Attention.headDim);
  for (let i: u32 = 0; i < count; i++) {
    store<f32>(work + (i << 2), -Infinity, Work.maxima);
    v128.store(work + (i << 4), f32x4.splat(0), Work.sums);
    memory.fill(queryAt(work, Attention.out, i), 0, headDim << 2);
  }
  attendSection(work, Part.Pinned, true);
  attendSection(work, Part.Pinned, false);
  attendSection(work, Part.Local, true);
  attendSection(work, Part.Local, false);
  if (word(record, Attention.recall)) {
    beginSection(work, Part.Middle, true);
    countKeys(work);
    for (let i: u32 = 0; i < count; i++) attendChosen(work, i);
  }
  for (let i: u32 = 0; i < count; i++) {
    const total = sum(v128.load(work + (i << 4), Work.sums));
    multiply(queryAt(work, Attention.out, i), <f32>1 / total, headDim);
    if (word(record, Attention.recall)) weigh(work, i, <f32>1 / total);
  }
}

/** Chooses the middle keys of these queries, which `attention` then meets; operands as there. */
export function chooseMiddle(record: usize, row: usize, kvHead: u32, first: u32, count: u32, work: usize): void {
  beginBlock(work, record, row, kvHead, first, count);
  beginSection(work, Part.Middle, true);
  recall(work, count);
}

/** Adds what one query finds by the tokens before it, whose lists are complete; operands as of `attention`. */
export function followMiddle(record: usize, row: usize, kvHead: u32, query: u32, work: usize): void {
  beginBlock(work, record, row, kvHead, query, 1);
  beginSection(work, Part.Middle, true);
  follow(work, 0);
}

/** x[n] · factor */
function multiply(x: usize, factor: f32, n: u32): void {
  for (let d: u32 = 0; d < n; d += 4) {
    const at = x + (d << 2);
    storeFloats(at, f32x4.mul(loadFloats(at, n - d), f32x4.splat(factor)), n - d);
  }
}

/** Adds the keys of one section to every query's softmax. */
function attendSection(work: usize, part: Part, fixed: bool): void {
  const end = beginSection(work, part, fixed);
  const count = load<u32>(work, Work.count);
  countKeys(work);
  for (let block = firstBlock(work); block < end; block += Size.KeyBlock) {
    score(work, block);
    for (let i: u32 = 0; i < count; i++) {
      if (keysBegin(work, block, i) < keysEnd(work, block, i)) softmax(work, i);
    }
    eachTile(work, block, true);
  }
}

/**
 * Adds the middle keys that query i has chosen, in the list's order, their weights lowered by the gate but for those that run
 * on. Their scores take the place of products in the list: −∞ where nothing is left.
 */
function attendChosen(work: usize, i: u32): void {
  const record = load<u32>(work, Work.record);
  const scores = scoresOf(work, i);
  const list = chosenAt(work, i);
  const middle = load<u64>(work + (i << 3), Work.ends) - load<u64>(work + (i << 3), Work.begins);
  const more = sqrt<f32>(<f32>middle / <f32>Code.GateTokens);
  const gate = gateOf(work, i) * more * sum(v128.load(work + (i << 4), Work.sums));
  const before = load<f32>(work + (i << 2), Work.maxima);
  const count = chosen(work, i);
  for (let first: u32 = 0; first < count; first += Size.KeyBlock) {
    const end = min<u32>(first + Size.KeyBlock, count);
    clearScores(scores);
    for (let n = first; n < end; n++) meet(work, i, n, n - first, false);
    if (word(record, Attention.softCap)) cap(work, i);
    if (word(record, Attention.slopes)) bias(work, 0, i);
    for (let n = first; n < end; n++) {
      const at = scores + ((n - first) << 2);
      if (gate > 0 && !runsOn(work, i, n)) store<f32>(at, lower(load<f32>(at), before, gate));
      store<f32>(list + (n << 3), load<f32>(at));
    }
    if (largestScore(scores) == -Infinity) continue;
    softmax(work, i);
    for (let n = first; n < end; n++) {
      if (load<f32>(list + (n << 3)) != -Infinity) meet(work, i, n, n - first, true);
    }
  }
}

/** A middle key's score once its weight, relative to a score of `before`, is lowered by `gate`; −∞ if nothing is left of it. */
function lower(score: f32, before: f32, gate: f32): f32 {
  // Beyond 2^127 no gate lowers it by anything, and exp2 would overflow.
  const weight = f32x4.extract_lane(exp2(f32x4.splat(min<f32>(score - before, 127))), 0);
  return weight > gate ? score + <f32>log(1 - <f64>gate / <f64>weight) * LOG2E : -Infinity;
}

/** The score of entry n of query i's list, or its weighted value; `t`: its place in the block of scores. */
function meet(work: usize, i: u32, n: u32, t: u32, values: bool): void {
  const gathered = gatheredAt(work, i, n);
  if (gathered) {
    const headBytes = word(load<u32>(work, Work.record), Attention.headBytes);
    store<u32>(work, <u32>gathered + (values ? headBytes : 0), Work.base);
    store<u32>(work, headBytes, Work.stride);
  } else {
    const j = positionOf(work, i) - <u64>load<u32>(chosenAt(work, i) + (n << 3), 4);
    locate(work, j, j + 1, values);
  }
  anyTile(work, i, 1, scoresOf(work, i) + (t << 2), 1, values);
}

/**
 * Determines every query's keys of a section; returns where the last ones end. Later queries' keys neither start nor
 * end before earlier ones', except those of queries that have none.
 */
export function beginSection(work: usize, part: Part, fixed: bool): u64 {
  store<u32>(work, part, Work.part);
  store<u32>(work, fixed ? 1 : 0, Work.fixed);
  const count = load<u32>(work, Work.count);
  let end: u64 = 0;
  for (let i: u32 = 0; i < count; i++) {
    setRange(work, i);
    end = max(end, load<u64>(work + (i << 3), Work.ends));
  }
  return end;
}

/** Counts the section's keys, once for the heads that share them. */
function countKeys(work: usize): void {
  const record = load<u32>(work, Work.record);
  const group = word(record, Attention.heads) / word(record, Attention.kvHeads);
  let keys: u64 = 0;
  for (let i: u32 = 0; i < load<u32>(work, Work.count); i++) {
    if (headOf(work, i) % group) continue;
    keys += load<u64>(work + (i << 3), Work.ends) - load<u64>(work + (i << 3), Work.begins);
  }
  store<u64>(work, load<u64>(work, Work.visited) + keys, Work.visited);
}

/** The block that the section's first key is in. */
export function firstBlock(work: usize): u64 {
  return load<u64>(work, Work.begins) & ~(<u64>Size.KeyBlock - 1);
}

/** The scores of every query in a block: −∞ where a key is not attended to. */
export function score(work: usize, block: u64): void {
  const count = load<u32>(work, Work.count);
  for (let i: u32 = 0; i < count; i++) clearScores(scoresOf(work, i));
  eachTile(work, block, false);
  if (word(load<u32>(work, Work.record), Attention.softCap)) {
    for (let i: u32 = 0; i < count; i++) cap(work, i);
  }
  if (!word(load<u32>(work, Work.record), Attention.slopes)) return;
  for (let i: u32 = 0; i < count; i++) bias(work, block, i);
}

function clearScores(scores: usize): void {
  for (const end = scores + (Size.KeyBlock << 2); scores < end; scores += 16) {
    v128.store(scores, f32x4.splat(-Infinity));
  }
}

/** The largest score of a query in a block. */
export function largestScore(scores: usize): f32 {
  let largest = v128.load(scores);
  let other = v128.load(scores, 16);
  for (let t = 32; t < Size.KeyBlock << 2; t += 32) {
    largest = f32x4.pmax(largest, v128.load(scores + t));
    other = f32x4.pmax(other, v128.load(scores + t, 16));
  }
  return largestLane(f32x4.pmax(largest, other));
}

/** Scores of query i become 2^(score − maximum); its sum and its accumulated values are rescaled to the new maximum. */
function softmax(work: usize, i: u32): void {
  const record = load<u32>(work, Work.record);
  const scores = scoresOf(work, i);
  const before = load<f32>(work + (i << 2), Work.maxima);
  const maximum = max<f32>(before, largestScore(scores));
  store<f32>(work + (i << 2), maximum, Work.maxima);
  let total = f32x4.splat(0);
  for (let t = 0; t < Size.KeyBlock << 2; t += 16) {
    const p = exp2(f32x4.sub(v128.load(scores + t), f32x4.splat(maximum)));
    v128.store(scores + t, p);
    total = f32x4.add(total, p);
  }
  const correction: f32 = maximum == before ? 1 : f32x4.extract_lane(exp2(f32x4.splat(before - maximum)), 0);
  const sums = work + (i << 4);
  v128.store(sums, mulAdd(total, v128.load(sums, Work.sums), f32x4.splat(correction)), Work.sums);
  // Multiplying by 1 changes no bit.
  if (correction != 1) multiply(queryAt(work, Attention.out, i), correction, word(record, Attention.headDim));
}

/** The scores of query i become softCap · tanh(score / softCap); −∞ stays. see: HF Gemma2Attention */
function cap(work: usize, i: u32): void {
  const most = f32x4.splat(float(load<u32>(work, Work.record), Attention.softCap) * LOG2E);
  let scores = scoresOf(work, i);
  for (const end = scores + (Size.KeyBlock << 2); scores < end; scores += 16) {
    const x = v128.load(scores);
    v128.store(scores, v128.bitselect(x, capped(x, most), f32x4.eq(x, f32x4.splat(-Infinity))));
  }
}

/** Subtracts ALiBi's slope · distance from the scores of query i; −∞ stays. */
function bias(work: usize, block: u64, i: u32): void {
  const record = load<u32>(work, Work.record);
  const fixed = load<u32>(work, Work.fixed);
  const middle = load<u32>(work, Work.part) == Part.Middle;
  const sinks = word(record, Attention.clamp) == Clamp.Sinks && !middle;
  const slope = f32x4.splat(load<f32>(word(record, Attention.slopes) + (headOf(work, i) << 2)) * LOG2E);
  const scores = scoresOf(work, i);
  // The distance of the block's first key, and how much smaller each next one's is.
  let distance = <i64>positionOf(work, i);
  if (fixed) distance = <i64>word(record, middle ? Attention.recallDistance : Attention.limit);
  if (fixed && sinks) distance += <i64>load<u64>(work, Work.origin);
  const step: i64 = fixed && !sinks ? 0 : 1;
  if (step) distance -= <i64>block;
  for (let t = 0; t < Size.KeyBlock << 2; t += 16) {
    const d = f32x4(<f32>distance, <f32>(distance - step), <f32>(distance - 2 * step), <f32>(distance - 3 * step));
    v128.store(scores + t, f32x4.sub(v128.load(scores + t), f32x4.mul(slope, d)));
    distance -= 4 * step;
  }
}
