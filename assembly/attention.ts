import { exp, exp1 } from "./math";
import { Attention, Clamp, Offset, Row, Size } from "./op";
import { float, word } from "./record";
import { largestLane, loadFloats, mulAdd, storeFloats, sum, sum4 } from "./simd";

/**
 * Λ-attention of one query row and one KV head, for all query heads that share it: paper §3, Fig. 2.
 *
 * Keys come in blocks that begin at positions divisible by Size.KeyBlock: first the pinned ones by position, then the local
 * ones, oldest first. Every block goes through one online softmax: scores of the block (−∞ where no key is attended), a
 * new maximum, the sums rescaled, values added key by key. Which row, chunk, slice or slot a key comes from changes only
 * where it is read, never the order of an addition.
 *
 * `row`: entry of the row table; `index`: its number in the step; `scratch`: Size.ScratchBytes.
 */
export function attention(record: usize, row: usize, index: u32, kvHead: u32, scratch: usize): void {
  const position = load<u64>(row, Row.position);
  const origin = load<u64>(row, Row.origin);
  const nGlobal = <u64>word(record, Attention.nGlobal);
  const nLocal = <u64>word(record, Attention.nLocal);
  const localBegin = position - origin >= nLocal ? position - nLocal + 1 : origin;
  const pinnedEnd = min(origin + nGlobal, localBegin);
  store<u64>(scratch, load<u64>(scratch) + (pinnedEnd - origin) + (position + 1 - localBegin));

  const heads = word(record, Attention.heads);
  const group = heads / word(record, Attention.kvHeads);
  const headDim = word(record, Attention.headDim);
  for (let i: u32 = 0; i < group; i++) {
    const head = kvHead * group + i;
    const out = word(record, Attention.out) + (((index * heads + head) * headDim) << 2);
    for (let d: u32 = 0; d < headDim; d++) store<f32>(out + (d << 2), 0);
    // The running maximum and sum of the softmax live in scratch beside the scores.
    store<f32>(scratch, -Infinity, MAXIMUM);
    v128.store(scratch, f32x4.splat(0), SUM);
    blocks(record, row, index, head, kvHead, origin, pinnedEnd, true, out, scratch);
    blocks(record, row, index, head, kvHead, localBegin, position + 1, false, out, scratch);
    const factor = f32x4.splat(<f32>1 / sum(v128.load(scratch, SUM)));
    for (let d: u32 = 0; d < headDim; d += 4) {
      const at = out + (d << 2);
      storeFloats(at, f32x4.mul(loadFloats(at, headDim - d), factor), headDim - d);
    }
  }
}

/** Byte offsets in scratch: u64 keys visited, then these. */
const MAXIMUM = 8;
const SUM = 16;
const SCORES = 32;

/** The online softmax over the keys [begin, end), all of them pinned or all local. */
function blocks(
  record: usize,
  row: usize,
  index: u32,
  head: u32,
  kvHead: u32,
  begin: u64,
  end: u64,
  pinned: bool,
  out: usize,
  scratch: usize,
): void {
  const scores = scratch + SCORES;
  const headDim = word(record, Attention.headDim);
  while (begin < end) {
    const block = begin & ~(<u64>Size.KeyBlock - 1);
    const stop = min(block + Size.KeyBlock, end);
    for (let t = 0; t < Size.KeyBlock; t += 4) v128.store(scores + ((<usize>t) << 2), f32x4.splat(-Infinity));
    visit(record, row, index, head, kvHead, block, begin, stop, pinned, scores, 0);
    scaleAndBias(record, row, head, block, begin, stop, pinned, scores);
    const correction = softmaxBlock(scratch, scores);
    const factor = f32x4.splat(correction);
    for (let d: u32 = 0; d < headDim; d += 4) {
      const at = out + (d << 2);
      storeFloats(at, f32x4.mul(loadFloats(at, headDim - d), factor), headDim - d);
    }
    visit(record, row, index, head, kvHead, block, begin, stop, pinned, scores, out);
    begin = stop;
  }
}

/**
 * Walks the keys [begin, end) of one block in runs that lie together in memory and share one rotation of the query.
 * out 0: scores[j − block] = q · k; otherwise out += scores[j − block] · v.
 */
function visit(
  record: usize,
  row: usize,
  index: u32,
  head: u32,
  kvHead: u32,
  block: u64,
  begin: u64,
  end: u64,
  pinned: bool,
  scores: usize,
  out: usize,
): void {
  const position = load<u64>(row, Row.position);
  const origin = load<u64>(row, Row.origin);
  const runStart = load<u32>(row, Row.runStart);
  const stepBegin = position - <u64>(index - runStart);
  const slot = <usize>load<u32>(row, Row.slot);
  const headDim = word(record, Attention.headDim);
  const headBytes = headDim << 2;
  const tokenBytes = word(record, Attention.kvHeads) * headBytes;
  const nLocal = word(record, Attention.nLocal);
  const nGlobal = word(record, Attention.nGlobal);
  const clamped = clampedEnd(record, position, origin, pinned);
  const unrotated = word(record, Attention.clamp) == Clamp.Distance;
  const query = (word(record, Attention.heads) * index + head) * headBytes;

  for (let j = begin; j < end; ) {
    const inStep = j >= stepBegin;
    const fixed = j < clamped;
    let stop = !inStep && stepBegin < end ? stepBegin : end;
    if (fixed && clamped < stop) stop = clamped;

    let base: usize;
    let stride: u32;
    if (inStep) {
      const at = (runStart + <u32>(j - stepBegin)) * tokenBytes + kvHead * headBytes;
      if (out) base = word(record, Attention.v) + at;
      else base = (fixed && unrotated ? word(record, Attention.kUnrotated) : word(record, Attention.k)) + at;
      stride = tokenBytes;
    } else {
      let field: Attention;
      let at: u32;
      if (pinned) {
        at = kvHead * nGlobal + <u32>(j - origin);
        field = out
          ? Attention.vPinned
          : fixed && unrotated && word(record, Attention.kPinnedUnrotated) != <u32>Offset.Unused
            ? Attention.kPinnedUnrotated
            : Attention.kPinned;
      } else {
        const ring = <u32>(j % <u64>nLocal);
        stop = min(stop, j + <u64>(nLocal - ring));
        at = kvHead * nLocal + ring;
        field = out
          ? Attention.vRing
          : fixed && unrotated && word(record, Attention.kRingUnrotated) != <u32>Offset.Unused
            ? Attention.kRingUnrotated
            : Attention.kRing;
      }
      base = slot + word(record, field) + <usize>at * headBytes;
      stride = headBytes;
    }

    const count = <u32>(stop - j);
    const target = scores + ((<usize>(j - block)) << 2);
    if (out) addValues(out, target, base, stride, count, headDim);
    else dots(target, query + word(record, fixed ? Attention.qFixed : Attention.q), base, stride, count, headDim);
    j = stop;
  }
}

/** Keys before this position meet the query at the fixed distance. */
function clampedEnd(record: usize, position: u64, origin: u64, pinned: bool): u64 {
  const clamp = word(record, Attention.clamp);
  const limit = <u64>word(record, Attention.limit);
  if (position - origin < limit) return 0;
  if (clamp == Clamp.Distance) return position - limit + 1;
  return clamp == Clamp.Sinks && pinned ? u64.MAX_VALUE : 0;
}

/** scores[i] = q · k_i for `count` keys, `stride` bytes apart: lane l adds d = l, l + 4 …, then (l0 + l1) + (l2 + l3). */
function dots(scores: usize, q: usize, k: usize, stride: u32, count: u32, headDim: u32): void {
  const whole = headDim & ~3;
  const rest = headDim & 3;
  const end = q + (whole << 2);
  let i: u32 = 0;
  for (; i + 4 <= count; i += 4) {
    const k1 = k + stride;
    const k2 = k1 + stride;
    const k3 = k2 + stride;
    let a0 = f32x4.splat(0);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    let at: usize = 0;
    for (let p = q; p < end; p += 16) {
      const v = v128.load(p);
      a0 = mulAdd(a0, v, v128.load(k + at));
      a1 = mulAdd(a1, v, v128.load(k1 + at));
      a2 = mulAdd(a2, v, v128.load(k2 + at));
      a3 = mulAdd(a3, v, v128.load(k3 + at));
      at += 16;
    }
    if (rest) {
      const v = loadFloats(end, rest);
      a0 = mulAdd(a0, v, loadFloats(k + at, rest));
      a1 = mulAdd(a1, v, loadFloats(k1 + at, rest));
      a2 = mulAdd(a2, v, loadFloats(k2 + at, rest));
      a3 = mulAdd(a3, v, loadFloats(k3 + at, rest));
    }
    v128.store(scores + (i << 2), sum4(a0, a1, a2, a3));
    k = k3 + stride;
  }
  for (; i < count; i++) {
    let a = f32x4.splat(0);
    for (let d: u32 = 0; d < whole; d += 4) a = mulAdd(a, v128.load(q + (d << 2)), v128.load(k + (d << 2)));
    if (rest) a = mulAdd(a, loadFloats(end, rest), loadFloats(k + (whole << 2), rest));
    store<f32>(scores + (i << 2), sum(a));
    k += stride;
  }
}

/** scores of the block times the scale, minus ALiBi's slope · distance; −∞ stays. */
function scaleAndBias(
  record: usize,
  row: usize,
  head: u32,
  block: u64,
  begin: u64,
  end: u64,
  pinned: bool,
  scores: usize,
): void {
  const scale = float(record, Attention.scale);
  const slopes = word(record, Attention.slopes);
  if (!slopes) {
    const factor = f32x4.splat(scale);
    for (let t = 0; t < Size.KeyBlock; t += 4) {
      const at = scores + ((<usize>t) << 2);
      v128.store(at, f32x4.mul(v128.load(at), factor));
    }
    return;
  }
  const slope = load<f32>(slopes + (head << 2));
  const position = load<u64>(row, Row.position);
  const origin = load<u64>(row, Row.origin);
  const clamped = clampedEnd(record, position, origin, pinned);
  const limit = <u64>word(record, Attention.limit);
  const sinks = word(record, Attention.clamp) == Clamp.Sinks;
  for (let j = begin; j < end; j++) {
    const at = scores + ((<usize>(j - block)) << 2);
    const distance = j >= clamped ? position - j : sinks ? limit - (j - origin) : limit;
    store<f32>(at, load<f32>(at) * scale - slope * <f32>distance);
  }
}

/** scores become e^(score − maximum), the running sum is brought up to date; returns the factor for what was summed before. */
function softmaxBlock(scratch: usize, scores: usize): f32 {
  let largest = v128.load(scores);
  for (let t = 4; t < Size.KeyBlock; t += 4) largest = f32x4.pmax(largest, v128.load(scores + ((<usize>t) << 2)));
  const before = load<f32>(scratch, MAXIMUM);
  const maximum = max<f32>(before, largestLane(largest));
  store<f32>(scratch, maximum, MAXIMUM);
  const correction = exp1(before - maximum);
  const maxima = f32x4.splat(maximum);
  let total = f32x4.splat(0);
  for (let t = 0; t < Size.KeyBlock; t += 4) {
    const at = scores + ((<usize>t) << 2);
    const p = exp(f32x4.sub(v128.load(at), maxima));
    v128.store(at, p);
    total = f32x4.add(total, p);
  }
  v128.store(scratch, mulAdd(total, v128.load(scratch, SUM), f32x4.splat(correction)), SUM);
  return correction;
}

/** out[headDim] += Σ p_i v_i, key by key, for `count` values `stride` bytes apart. */
function addValues(out: usize, p: usize, v: usize, stride: u32, count: u32, headDim: u32): void {
  let d: u32 = 0;
  for (; d + 16 <= headDim; d += 16) {
    const at = out + (d << 2);
    let a0 = v128.load(at);
    let a1 = v128.load(at, 16);
    let a2 = v128.load(at, 32);
    let a3 = v128.load(at, 48);
    let q = v + (d << 2);
    for (let i: u32 = 0; i < count; i++) {
      const weight = v128.load32_splat(p + (i << 2));
      a0 = mulAdd(a0, weight, v128.load(q));
      a1 = mulAdd(a1, weight, v128.load(q, 16));
      a2 = mulAdd(a2, weight, v128.load(q, 32));
      a3 = mulAdd(a3, weight, v128.load(q, 48));
      q += stride;
    }
    v128.store(at, a0);
    v128.store(at, a1, 16);
    v128.store(at, a2, 32);
    v128.store(at, a3, 48);
  }
  for (; d < headDim; d += 4) {
    const lanes = headDim - d;
    let a = loadFloats(out + (d << 2), lanes);
    for (let i: u32 = 0; i < count; i++) {
      a = mulAdd(a, v128.load32_splat(p + (i << 2)), loadFloats(v + i * stride + (d << 2), lanes));
    }
    storeFloats(out + (d << 2), a, lanes);
  }
}
