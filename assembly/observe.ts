import { beginSection, firstBlock, largestScore, score } from "./attention";
import { beginBlock, headOf, keysBegin, keysEnd, Part, positionOf, rowOf, Work } from "./attention_keys";
import { LOG2E, scoresOf } from "./attention_tiles";
import { Size } from "./layout";
import { exp2, log } from "./math";
import { Attention, Observe } from "./op";
import { word } from "./record";

const LN2: f64 = 0.693147180559945309;

/**
 * Statistics of the softmax of a block of queries (op.ts: Observe), in two passes over the keys that `attention` uses:
 * first the largest scores m, then f64 sums of w = 2^(score − m) and of w · (score − m), from which the entropy
 * follows. Arguments as of `attention`; the logits of row `lastRow` are written out.
 */
export function observe(
  record: usize,
  row: usize,
  kvHead: u32,
  first: u32,
  count: u32,
  work: usize,
  lastRow: u32,
): void {
  beginBlock(work, record, row, kvHead, first, count);
  for (let i: u32 = 0; i < count; i++) {
    store<f32>(work + (i << 2), -Infinity, Work.maxima);
    v128.store(work + (i << 4), f64x2.splat(0), Work.sums);
    store<f32>(statisticsOf(work, i), 0, 8);
    if (rowOf(work, i) == lastRow) forget(logitsOf(work, i), word(record, Observe.span));
  }
  for (let pass = 0; pass < 2; pass++) {
    eachBlock(work, Part.Pinned, true, lastRow, pass == 1);
    eachBlock(work, Part.Pinned, false, lastRow, pass == 1);
    eachBlock(work, Part.Local, true, lastRow, pass == 1);
    eachBlock(work, Part.Local, false, lastRow, pass == 1);
  }
  for (let i: u32 = 0; i < count; i++) finishStatistics(work, i);
}

/** One section's contribution to the maxima, or to the sums. */
function eachBlock(work: usize, part: Part, fixed: bool, lastRow: u32, sums: bool): void {
  const end = beginSection(work, part, fixed);
  const count = load<u32>(work, Work.count);
  for (let block = firstBlock(work); block < end; block += Size.KeyBlock) {
    score(work, block);
    for (let i: u32 = 0; i < count; i++) {
      if (keysBegin(work, block, i) >= keysEnd(work, block, i)) continue;
      if (!sums) {
        const maximum = work + (i << 2);
        store<f32>(maximum, max<f32>(load<f32>(maximum, Work.maxima), largestScore(scoresOf(work, i))), Work.maxima);
        continue;
      }
      if (rowOf(work, i) == lastRow) writeLogits(work, block, i);
      addUp(work, block, i);
    }
  }
}

/** Adds a block's weights to the sums of query i, and those of the first keys to their share. */
function addUp(work: usize, block: u64, i: u32): void {
  const record = load<u32>(work, Work.record);
  const scores = scoresOf(work, i);
  const maximum = v128.load32_splat(work + (i << 2), Work.maxima);
  let weights = f64x2.splat(0);
  let weighted = weights;
  for (let t = 0; t < Size.KeyBlock << 2; t += 16) {
    const x = f32x4.sub(v128.load(scores + t), maximum);
    const w = exp2(x);
    v128.store(scores + t, w);
    weights = f64x2.add(weights, pairs(w));
    // Below −126 the weight is 0, and so is its product, which −∞ would make NaN.
    weighted = f64x2.add(weighted, pairs(f32x4.mul(w, f32x4.pmax(x, f32x4.splat(-126)))));
  }
  const sums = work + (i << 4);
  v128.store(sums, f64x2.add(v128.load(sums, Work.sums), both(weights, weighted)), Work.sums);
  const share = statisticsOf(work, i);
  const end = min(keysEnd(work, block, i), load<u64>(work, Work.origin) + word(record, Observe.sinks));
  for (let j = keysBegin(work, block, i); j < end; j++) {
    store<f32>(share, load<f32>(share, 8) + load<f32>(scores + ((<usize>(j - block)) << 2)), 8);
  }
}

/** [l0 + l2, l1 + l3] in f64 */
function pairs(v: v128): v128 {
  return f64x2.add(f64x2.promote_low_f32x4(v), f64x2.promote_low_f32x4(v128.shuffle<f32>(v, v, 2, 3, 0, 1)));
}

/** [a0 + a1, b0 + b1] */
function both(a: v128, b: v128): v128 {
  return f64x2.add(v128.shuffle<f64>(a, b, 0, 2), v128.shuffle<f64>(a, b, 1, 3));
}

function finishStatistics(work: usize, i: u32): void {
  const p = statisticsOf(work, i);
  const sum = load<f64>(work + (i << 4), Work.sums);
  const weighted = load<f64>(work + (i << 4), Work.sums + 8);
  store<f32>(p, <f32>(log(sum) - (LN2 * weighted) / sum));
  // NaN if a score was.
  store<f32>(p, isNaN(sum) ? NaN : load<f32>(work + (i << 2), Work.maxima) / LOG2E, 4);
  store<f32>(p, <f32>(<f64>load<f32>(p, 8) / sum), 8);
}

/** A block's logits of query i, by distance. */
function writeLogits(work: usize, block: u64, i: u32): void {
  const logits = logitsOf(work, i);
  const span = <u64>word(load<u32>(work, Work.record), Observe.span);
  const position = positionOf(work, i);
  const end = keysEnd(work, block, i);
  for (let j = keysBegin(work, block, i); j < end; j++) {
    const value = load<f32>(scoresOf(work, i) + ((<usize>(j - block)) << 2)) / LOG2E;
    if (position - j < span) store<f32>(logits + ((<usize>(position - j)) << 2), value);
  }
}

function forget(logits: usize, span: u32): void {
  for (const end = logits + (span << 2); logits < end; logits += 4) store<f32>(logits, NaN);
}

function statisticsOf(work: usize, i: u32): usize {
  const record = load<u32>(work, Work.record);
  return word(record, Observe.statistics) + (rowOf(work, i) * word(record, Attention.heads) + headOf(work, i)) * 12;
}

function logitsOf(work: usize, i: u32): usize {
  const record = load<u32>(work, Work.record);
  return word(record, Observe.logits) + ((headOf(work, i) * word(record, Observe.span)) << 2);
}
