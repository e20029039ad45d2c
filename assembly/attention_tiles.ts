/**
 * The inner loops of attention, for keys and values in a format T of the cache (cache_format.ts). `k` and `v`: the first
 * of `count` heads, `stride` bytes apart. Whatever the tile, q · k is one sum per lane, lane l adding d = l, l + 4 …, then
 * (l0 + l1) + (l2 + l3); and values are added to a number of the output one after the other, in the order of the keys.
 */
import { load4, loadRest, scaleOf } from "./cache_format";
import { Size } from "./op";
import { loadFloats, mulAdd, storeFloats, sum4 } from "./simd";

/** Bytes between the scores of one query and those of the next. */
const SCORES: usize = Size.KeyBlock * 4;
/** Keys whose values are read at a time, so that memory is read in stretches. */
const VALUES: u32 = 16;

/** The number after those from `d` on that share a scale, `whole` at most. */
function scaleEnd<T>(d: u32, whole: u32): u32 {
  return sizeof<T>() > 1 ? whole : min(d + Size.ScaleBlock, whole);
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
  const whole = headDim & ~3;
  let at: usize = 0;
  for (let d: u32 = 0; d < whole; ) {
    const s0 = scaleOf<T>(k0, headDim, d);
    const s1 = scaleOf<T>(k1, headDim, d);
    const s2 = scaleOf<T>(k2, headDim, d);
    const s3 = scaleOf<T>(k3, headDim, d);
    for (const end = scaleEnd<T>(d, whole); d < end; d += 4) {
      const x = v128.load(q + (d << 2));
      a0 = mulAdd(a0, x, load4<T>(k0 + at, s0));
      a1 = mulAdd(a1, x, load4<T>(k1 + at, s1));
      a2 = mulAdd(a2, x, load4<T>(k2 + at, s2));
      a3 = mulAdd(a3, x, load4<T>(k3 + at, s3));
      at += 4 * sizeof<T>();
    }
  }
  const rest = headDim - whole;
  if (rest) {
    const x = loadFloats(q + (whole << 2), rest);
    a0 = mulAdd(a0, x, loadRest<T>(k0 + at, rest, scaleOf<T>(k0, headDim, whole)));
    a1 = mulAdd(a1, x, loadRest<T>(k1 + at, rest, scaleOf<T>(k1, headDim, whole)));
    a2 = mulAdd(a2, x, loadRest<T>(k2 + at, rest, scaleOf<T>(k2, headDim, whole)));
    a3 = mulAdd(a3, x, loadRest<T>(k3 + at, rest, scaleOf<T>(k3, headDim, whole)));
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
  const whole = headDim & ~3;
  let at: usize = 0;
  for (let d: u32 = 0; d < whole; ) {
    const s0 = scaleOf<T>(k0, headDim, d);
    const s1 = scaleOf<T>(k1, headDim, d);
    for (const end = scaleEnd<T>(d, whole); d < end; d += 4) {
      const p = d << 2;
      const x = load4<T>(k0 + at, s0);
      const y = load4<T>(k1 + at, s1);
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
      at += 4 * sizeof<T>();
    }
  }
  const rest = headDim - whole;
  if (rest) {
    const p = whole << 2;
    const x = loadRest<T>(k0 + at, rest, scaleOf<T>(k0, headDim, whole));
    const y = loadRest<T>(k1 + at, rest, scaleOf<T>(k1, headDim, whole));
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

/** out[headDim] += Σ p_i v_i. */
export function values1<T>(out: usize, p: usize, v: usize, stride: usize, count: u32, headDim: u32): void {
  while (count) {
    const some = min(count, VALUES);
    let d: u32 = 0;
    for (; d + 16 <= headDim; d += 16) values1x16<T>(out, p, v, stride, some, headDim, d);
    valuesRest<T>(out, p, v, stride, some, headDim, d);
    p += some << 2;
    v += <usize>some * stride;
    count -= some;
  }
}

/** The same for the 16 numbers from `d` on. */
function values1x16<T>(o: usize, p: usize, v: usize, stride: usize, count: u32, headDim: u32, d: u32): void {
  const out = o + (d << 2);
  let a0 = v128.load(out);
  let a1 = v128.load(out, 16);
  let a2 = v128.load(out, 32);
  let a3 = v128.load(out, 48);
  const at = d * sizeof<T>();
  for (const end = p + (count << 2); p < end; p += 4) {
    const weight = v128.load32_splat(p);
    const scale = scaleOf<T>(v, headDim, d);
    a0 = mulAdd(a0, weight, load4<T>(v + at, scale));
    a1 = mulAdd(a1, weight, load4<T>(v + at + 4 * sizeof<T>(), scale));
    a2 = mulAdd(a2, weight, load4<T>(v + at + 8 * sizeof<T>(), scale));
    a3 = mulAdd(a3, weight, load4<T>(v + at + 12 * sizeof<T>(), scale));
    v += stride;
  }
  v128.store(out, a0);
  v128.store(out, a1, 16);
  v128.store(out, a2, 32);
  v128.store(out, a3, 48);
}

/** The same for all numbers from `d` on. */
function valuesRest<T>(o: usize, p: usize, v: usize, stride: usize, count: u32, headDim: u32, d: u32): void {
  for (; d < headDim; d += 4) {
    const lanes = headDim - d;
    const out = o + (d << 2);
    let a = loadFloats(out, lanes);
    let at = v + d * sizeof<T>();
    for (let i: u32 = 0; i < count; i++) {
      const scale = scaleOf<T>(v + <usize>i * stride, headDim, d);
      const x = lanes < 4 ? loadRest<T>(at, lanes, scale) : load4<T>(at, scale);
      a = mulAdd(a, v128.load32_splat(p + (i << 2)), x);
      at += stride;
    }
    storeFloats(out, a, lanes);
  }
}

/** The same for four queries, whose scores are SCORES bytes apart. */
export function values4<T>(
  o0: usize,
  o1: usize,
  o2: usize,
  o3: usize,
  p: usize,
  v: usize,
  stride: usize,
  count: u32,
  headDim: u32,
): void {
  while (count) {
    const some = min(count, VALUES);
    let d: u32 = 0;
    for (; d + 8 <= headDim; d += 8) values4x8<T>(o0, o1, o2, o3, p, v, stride, some, headDim, d);
    if (d < headDim) {
      valuesRest<T>(o0, p, v, stride, some, headDim, d);
      valuesRest<T>(o1, p + SCORES, v, stride, some, headDim, d);
      valuesRest<T>(o2, p + 2 * SCORES, v, stride, some, headDim, d);
      valuesRest<T>(o3, p + 3 * SCORES, v, stride, some, headDim, d);
    }
    p += some << 2;
    v += <usize>some * stride;
    count -= some;
  }
}

/** The same for four queries and the 8 numbers from `d` on. */
function values4x8<T>(
  o0: usize,
  o1: usize,
  o2: usize,
  o3: usize,
  p: usize,
  v: usize,
  stride: usize,
  count: u32,
  headDim: u32,
  d: u32,
): void {
  const to = d << 2;
  let a0 = v128.load(o0 + to);
  let b0 = v128.load(o0 + to, 16);
  let a1 = v128.load(o1 + to);
  let b1 = v128.load(o1 + to, 16);
  let a2 = v128.load(o2 + to);
  let b2 = v128.load(o2 + to, 16);
  let a3 = v128.load(o3 + to);
  let b3 = v128.load(o3 + to, 16);
  const at = d * sizeof<T>();
  for (const end = p + (count << 2); p < end; p += 4) {
    const scale = scaleOf<T>(v, headDim, d);
    const x = load4<T>(v + at, scale);
    const y = load4<T>(v + at + 4 * sizeof<T>(), scale);
    let weight = v128.load32_splat(p);
    a0 = mulAdd(a0, weight, x);
    b0 = mulAdd(b0, weight, y);
    weight = v128.load32_splat(p + SCORES);
    a1 = mulAdd(a1, weight, x);
    b1 = mulAdd(b1, weight, y);
    weight = v128.load32_splat(p + 2 * SCORES);
    a2 = mulAdd(a2, weight, x);
    b2 = mulAdd(b2, weight, y);
    weight = v128.load32_splat(p + 3 * SCORES);
    a3 = mulAdd(a3, weight, x);
    b3 = mulAdd(b3, weight, y);
    v += stride;
  }
  v128.store(o0 + to, a0);
  v128.store(o0 + to, b0, 16);
  v128.store(o1 + to, a1);
  v128.store(o1 + to, b1, 16);
  v128.store(o2 + to, a2);
  v128.store(o2 + to, b2, 16);
  v128.store(o3 + to, a3);
  v128.store(o3 + to, b3, 16);
}
