/**
 * Choosing a token from the scores of a vocabulary, f32 in blocks of Survey.Block, behind the last of which there is
 * −Infinity up to the block's end. Whatever is added up is added up in each block by itself, and the blocks' sums in their
 * order elsewhere: so no sum depends on who computes which block.
 */
import { largestLane } from "./simd";
import { Survey } from "./survey";

const BLOCK_BYTES: usize = (<usize>Survey.Block) << 2;
const LOG2_E: f32 = 1.44269504088896341;
/** Bytes of the counts of one of a key's four digits. */
const DIGIT_BYTES: usize = 1024;

/**
 * Blocks `first` to `last` of x[n] are copied to `scores`; maxima[block] = the largest of a block, sums[block] = {Σ w, Σ w ·
 * log2 w}, w = e^(x − that).
 */
export function survey(
  scores: usize,
  x: usize,
  n: u32,
  maxima: usize,
  sums: usize,
  table: usize,
  first: u32,
  last: u32,
): void {
  for (let block = <usize>first; block < <usize>last; block++) {
    const count = min<u32>(Survey.Block, n - <u32>block * Survey.Block);
    const begin = scores + block * BLOCK_BYTES;
    memory.copy(begin, x + block * BLOCK_BYTES, count << 2);
    for (let i = count; i < <u32>Survey.Block; i++) store<f32>(begin + (i << 2), -Infinity);
    const largest = maximum(begin);
    store<f32>(maxima + (block << 2), largest);
    addBlock(begin, largest, LOG2_E, Infinity, table, sums + block * Survey.SumBytes);
  }
}

/** maxima[block] = the largest score of the block, for all `blocks` of them. */
export function findMaxima(scores: usize, blocks: u32, maxima: usize): void {
  for (let block: usize = 0; block < <usize>blocks; block++) {
    store<f32>(maxima + (block << 2), maximum(scores + block * BLOCK_BYTES));
  }
}

/** sums[block] = {Σ w, Σ w · log2 w} over the scores below `above`, w = 2^((score − largest) · scale), for all blocks. */
export function sumBelow(
  scores: usize,
  blocks: u32,
  largest: f32,
  scale: f32,
  above: f32,
  table: usize,
  sums: usize,
): void {
  for (let block: usize = 0; block < <usize>blocks; block++) {
    addBlock(scores + block * BLOCK_BYTES, largest, scale, above, table, sums + block * Survey.SumBytes);
  }
}

/** Forbids the ids that `mask`, a bit for each, does not allow. */
export function forbidOthers(scores: usize, n: u32, mask: usize): void {
  for (let id: u32 = 0; id < n; id += 32) {
    const allowed = load<u32>(mask + (id >> 3));
    for (let others = ~allowed; others; others &= others - 1) {
      const other = id + <u32>ctz(others);
      if (other < n) store<f32>(scores + (other << 2), -Infinity);
    }
  }
}

/**
 * entries[…] = {u32 id, u32 key} of the scores from `least` (above −Infinity) on and below `above`, the highest score first,
 * equal ones in the order of their ids; returns how many. `work` has room for as many entries, `counts` has CountBytes.
 */
export function rank(
  scores: usize,
  blocks: u32,
  maxima: usize,
  least: f32,
  above: f32,
  entries: usize,
  work: usize,
  counts: usize,
): u32 {
  const count = gather(scores, blocks, maxima, least, above, entries);
  memory.fill(counts, 0, Survey.CountBytes);
  for (let p = entries; p < entries + (count << 3); p += 8) {
    const key = load<u32>(p, 4);
    addOne(counts + ((key & 255) << 2));
    addOne(counts + DIGIT_BYTES + (((key >> 8) & 255) << 2));
    addOne(counts + 2 * DIGIT_BYTES + (((key >> 16) & 255) << 2));
    addOne(counts + 3 * DIGIT_BYTES + ((key >> 24) << 2));
  }
  distribute(entries, work, count, 0, counts);
  distribute(work, entries, count, 8, counts + DIGIT_BYTES);
  distribute(entries, work, count, 16, counts + 2 * DIGIT_BYTES);
  distribute(work, entries, count, 24, counts + 3 * DIGIT_BYTES);
  return count;
}

/** The entries of these scores in the order of their ids. */
function gather(scores: usize, blocks: u32, maxima: usize, least: f32, above: f32, entries: usize): u32 {
  const from = f32x4.splat(least);
  let end = entries;
  for (let block: usize = 0; block < <usize>blocks; block++) {
    if (load<f32>(maxima + (block << 2)) < least) continue;
    const begin = scores + block * BLOCK_BYTES;
    for (let p = begin; p < begin + BLOCK_BYTES; p += 64) {
      const a = f32x4.ge(v128.load(p), from);
      const b = f32x4.ge(v128.load(p, 16), from);
      const c = f32x4.ge(v128.load(p, 32), from);
      const d = f32x4.ge(v128.load(p, 48), from);
      if (!v128.any_true(v128.or(v128.or(a, b), v128.or(c, d)))) continue;
      const some = i32x4.bitmask(a) | (i32x4.bitmask(b) << 4) | (i32x4.bitmask(c) << 8) | (i32x4.bitmask(d) << 12);
      for (let left = some; left; left &= left - 1) {
        const q = p + (ctz(left) << 2);
        const score = load<f32>(q);
        if (score >= above) continue;
        store<u32>(end, <u32>((q - scores) >> 2));
        store<u32>(end, keyOf(score), 4);
        end += 8;
      }
    }
  }
  return <u32>((end - entries) >> 3);
}

/** Smaller for a larger score; 0 and −0 are equal. */
function keyOf(score: f32): u32 {
  const bits = reinterpret<u32>(score + 0);
  return bits >> 31 ? bits : ~bits & 0x7fffffff;
}

function addOne(counter: usize): void {
  store<u32>(counter, load<u32>(counter) + 1);
}

/** Moves entries into the order of a digit of their keys, equal ones as they were; `counts`: of each value of the digit. */
function distribute(from: usize, to: usize, count: u32, shift: u32, counts: usize): void {
  let sum: u32 = 0;
  for (let p = counts; p < counts + DIGIT_BYTES; p += 4) {
    const here = load<u32>(p);
    store<u32>(p, sum);
    sum += here;
  }
  for (let p = from; p < from + (count << 3); p += 8) {
    const counter = counts + (((load<u32>(p, 4) >> shift) & 255) << 2);
    const place = load<u32>(counter);
    store<u32>(counter, place + 1);
    store<u64>(to + (place << 3), load<u64>(p));
  }
}

function maximum(p: usize): f32 {
  let a = v128.load(p);
  let b = v128.load(p, 16);
  let c = v128.load(p, 32);
  let d = v128.load(p, 48);
  for (const end = p + BLOCK_BYTES; p < end; p += 64) {
    a = f32x4.pmax(a, v128.load(p));
    b = f32x4.pmax(b, v128.load(p, 16));
    c = f32x4.pmax(c, v128.load(p, 32));
    d = f32x4.pmax(d, v128.load(p, 48));
  }
  return largestLane(f32x4.pmax(f32x4.pmax(a, b), f32x4.pmax(c, d)));
}

/**
 * out f64[2] = {Σ w, Σ w · log2 w} over a block's scores below `above`, 2^((score − largest) · scale) each; sixteen are added
 * in f32, those sums in f64. Relative error of a w below 2e-7 · (1 + |log2 w|); where it is below 2^-126, it is that.
 */
function addBlock(p: usize, largest: f32, scale: f32, above: f32, table: usize, out: usize): void {
  let sums = f64x2.splat(0);
  let logs = f64x2.splat(0);
  for (const end = p + BLOCK_BYTES; p < end; p += 64) {
    const d0 = distance(p, largest, scale);
    const d1 = distance(p + 16, largest, scale);
    const d2 = distance(p + 32, largest, scale);
    const d3 = distance(p + 48, largest, scale);
    // 2^d = 2^n · 2^r, |r| ≤ 0.5. see: exp2 in math.ts; four that share their constants are twice as quick.
    const magic = f32x4.splat(12582912);
    const r0 = f32x4.sub(d0, f32x4.sub(f32x4.add(d0, magic), magic));
    const r1 = f32x4.sub(d1, f32x4.sub(f32x4.add(d1, magic), magic));
    const r2 = f32x4.sub(d2, f32x4.sub(f32x4.add(d2, magic), magic));
    const r3 = f32x4.sub(d3, f32x4.sub(f32x4.add(d3, magic), magic));
    let y0 = v128.load32_splat(table);
    let y1 = y0;
    let y2 = y0;
    let y3 = y0;
    for (let term = table + 4; term < table + 28; term += 4) {
      const c = v128.load32_splat(term);
      y0 = f32x4.add(f32x4.mul(y0, r0), c);
      y1 = f32x4.add(f32x4.mul(y1, r1), c);
      y2 = f32x4.add(f32x4.mul(y2, r2), c);
      y3 = f32x4.add(f32x4.mul(y3, r3), c);
    }
    const limit = f32x4.splat(above);
    const w0 = v128.and(raised(y0, d0), f32x4.lt(v128.load(p), limit));
    const w1 = v128.and(raised(y1, d1), f32x4.lt(v128.load(p, 16), limit));
    const w2 = v128.and(raised(y2, d2), f32x4.lt(v128.load(p, 32), limit));
    const w3 = v128.and(raised(y3, d3), f32x4.lt(v128.load(p, 48), limit));
    sums = addFour(sums, f32x4.add(f32x4.add(w0, w1), f32x4.add(w2, w3)));
    const l01 = f32x4.add(f32x4.mul(w0, d0), f32x4.mul(w1, d1));
    const l23 = f32x4.add(f32x4.mul(w2, d2), f32x4.mul(w3, d3));
    logs = addFour(logs, f32x4.add(l01, l23));
  }
  store<f64>(out, f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1));
  store<f64>(out, f64x2.extract_lane(logs, 0) + f64x2.extract_lane(logs, 1), 8);
}

/** (score − largest) · scale of four scores, at least −126. */
function distance(p: usize, largest: f32, scale: f32): v128 {
  const d = f32x4.mul(f32x4.sub(v128.load(p), f32x4.splat(largest)), f32x4.splat(scale));
  return f32x4.pmax(f32x4.splat(-126), d); // and where it is no number
}

/** y · 2^n, n: d rounded. */
function raised(y: v128, d: v128): v128 {
  const n = f32x4.add(d, f32x4.splat(12582912));
  return f32x4.mul(y, i32x4.add(i32x4.shl(n, 23), i32x4.splat(127 << 23)));
}

function addFour(sums: v128, v: v128): v128 {
  const low = f64x2.promote_low_f32x4(v);
  return f64x2.add(sums, f64x2.add(low, f64x2.promote_low_f32x4(v128.shuffle<f32>(v, v, 2, 3, 0, 1))));
}
