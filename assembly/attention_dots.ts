/**
 * Queries times keys, for keys in a format T of the cache (cache_format.ts). `k`: the first of `count` heads, `stride` bytes
 * apart. Whatever the tile, a score is one sum per lane, lane l adding d = l, l + 4 …, then (l0 + l1) + (l2 + l3).
 */
import { inHead, load4, loadRest, scaleOf } from "./cache_format";
import { Size } from "./layout";
import { loadFloats, mulAdd, sum4 } from "./simd";

/** Bytes between the scores of one query and those of the next. */
const SCORES: usize = Size.KeyBlock * 4;

/** Where a query's numbers that share a scale with that at byte p end, `whole` at most. */
function scaleEnd<T>(p: usize, whole: usize): usize {
  return sizeof<T>() > 1 ? whole : min(p + Size.ScaleBlock * 4, whole);
}

/** scores[i] = scale · (q · k_i) for one query q[headDim]. */
export function dots1<T>(scores: usize, q: usize, k: usize, stride: usize, count: u32, headDim: u32, scale: f32): void {
  for (; count >= 4; count -= 4) {
    v128.store(scores, f32x4.mul(dots1x4<T>(q, k, stride, headDim), f32x4.splat(scale)));
    scores += 16;
    k += stride << 2;
  }
  for (; count; count--) {
    // The same sum four times.
    store<f32>(scores, f32x4.extract_lane(dots1x4<T>(q, k, 0, headDim), 0) * scale);
    scores += 4;
    k += stride;
  }
}

/** q · k of one query and four keys. */
function dots1x4<T>(q: usize, k0: usize, stride: usize, headDim: u32): v128 {
  const k1 = k0 + stride;
  const k2 = k1 + stride;
  const k3 = k2 + stride;
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  const whole = (<usize>headDim & ~3) << 2;
  let p: usize = 0;
  while (p < whole) {
    const s0 = scaleOf<T>(k0, headDim, p);
    const s1 = scaleOf<T>(k1, headDim, p);
    const s2 = scaleOf<T>(k2, headDim, p);
    const s3 = scaleOf<T>(k3, headDim, p);
    for (const end = scaleEnd<T>(p, whole); p < end; p += 16) {
      const x = v128.load(q + p);
      const at = inHead<T>(p);
      a0 = mulAdd(a0, x, load4<T>(k0 + at, s0));
      a1 = mulAdd(a1, x, load4<T>(k1 + at, s1));
      a2 = mulAdd(a2, x, load4<T>(k2 + at, s2));
      a3 = mulAdd(a3, x, load4<T>(k3 + at, s3));
    }
  }
  const rest = headDim & 3;
  if (rest) {
    const x = loadFloats(q + p, rest);
    const at = inHead<T>(p);
    a0 = mulAdd(a0, x, loadRest<T>(k0 + at, rest, scaleOf<T>(k0, headDim, p)));
    a1 = mulAdd(a1, x, loadRest<T>(k1 + at, rest, scaleOf<T>(k1, headDim, p)));
    a2 = mulAdd(a2, x, loadRest<T>(k2 + at, rest, scaleOf<T>(k2, headDim, p)));
    a3 = mulAdd(a3, x, loadRest<T>(k3 + at, rest, scaleOf<T>(k3, headDim, p)));
  }
  return sum4(a0, a1, a2, a3);
}

/** The same for four queries, whose scores are SCORES bytes apart. */
export function dots4<T>(
  scores: usize,
  q0: usize,
  q1: usize,
  q2: usize,
  q3: usize,
  k: usize,
  stride: usize,
  count: u32,
  headDim: u32,
  scale: f32,
): void {
  for (; count >= 2; count -= 2) {
    dots4x2<T>(scores, q0, q1, q2, q3, k, k + stride, headDim, scale);
    scores += 8;
    k += stride << 1;
  }
  if (!count) return;
  dots1<T>(scores, q0, k, stride, 1, headDim, scale);
  dots1<T>(scores + SCORES, q1, k, stride, 1, headDim, scale);
  dots1<T>(scores + 2 * SCORES, q2, k, stride, 1, headDim, scale);
  dots1<T>(scores + 3 * SCORES, q3, k, stride, 1, headDim, scale);
}

/** Four queries and two keys. */
function dots4x2<T>(
  scores: usize,
  q0: usize,
  q1: usize,
  q2: usize,
  q3: usize,
  k0: usize,
  k1: usize,
  headDim: u32,
  scale: f32,
): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  const whole = (<usize>headDim & ~3) << 2;
  let p: usize = 0;
  while (p < whole) {
    const s0 = scaleOf<T>(k0, headDim, p);
    const s1 = scaleOf<T>(k1, headDim, p);
    for (const end = scaleEnd<T>(p, whole); p < end; p += 16) {
      const x = load4<T>(k0 + inHead<T>(p), s0);
      const y = load4<T>(k1 + inHead<T>(p), s1);
      let q = v128.load(q0 + p);
      a0 = mulAdd(a0, q, x);
      b0 = mulAdd(b0, q, y);
      q = v128.load(q1 + p);
      a1 = mulAdd(a1, q, x);
      b1 = mulAdd(b1, q, y);
      q = v128.load(q2 + p);
      a2 = mulAdd(a2, q, x);
      b2 = mulAdd(b2, q, y);
      q = v128.load(q3 + p);
      a3 = mulAdd(a3, q, x);
      b3 = mulAdd(b3, q, y);
    }
  }
  const rest = headDim & 3;
  if (rest) {
    const x = loadRest<T>(k0 + inHead<T>(p), rest, scaleOf<T>(k0, headDim, p));
    const y = loadRest<T>(k1 + inHead<T>(p), rest, scaleOf<T>(k1, headDim, p));
    let q = loadFloats(q0 + p, rest);
    a0 = mulAdd(a0, q, x);
    b0 = mulAdd(b0, q, y);
    q = loadFloats(q1 + p, rest);
    a1 = mulAdd(a1, q, x);
    b1 = mulAdd(b1, q, y);
    q = loadFloats(q2 + p, rest);
    a2 = mulAdd(a2, q, x);
    b2 = mulAdd(b2, q, y);
    q = loadFloats(q3 + p, rest);
    a3 = mulAdd(a3, q, x);
    b3 = mulAdd(b3, q, y);
  }
  const factor = f32x4.splat(scale);
  const low = f32x4.mul(sum4(a0, b0, a1, b1), factor);
  const high = f32x4.mul(sum4(a2, b2, a3, b3), factor);
  v128.store64_lane(scores, low, 0);
  v128.store64_lane(scores + SCORES, low, 1);
  v128.store64_lane(scores + 2 * SCORES, high, 0);
  v128.store64_lane(scores + 3 * SCORES, high, 1);
}
