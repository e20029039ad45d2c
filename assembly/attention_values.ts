/**
 * Values weighted by the softmax, in a format T of the cache (cache_format.ts). `v`: the first of `count` heads,
 * `stride` bytes apart. Whatever the tile, an output number adds them one by one, in the order of the keys.
 */
import { inHead, load4, loadRest, scaleOf } from "./cache_format";
import { Size } from "./layout";
import { loadFloats, mulAdd, storeFloats } from "./simd";

/** Bytes between the weights of one query and those of the next. */
const SCORES: usize = Size.KeyBlock * 4;
/** Keys whose values are read at a time, for contiguous reads. */
const VALUES: u32 = 16;

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
  const to = (<usize>d) << 2;
  const out = o + to;
  let a0 = v128.load(out);
  let a1 = v128.load(out, 16);
  let a2 = v128.load(out, 32);
  let a3 = v128.load(out, 48);
  const at = inHead<T>(to);
  for (const end = p + (count << 2); p < end; p += 4) {
    const weight = v128.load32_splat(p);
    const scale = scaleOf<T>(v, headDim, to);
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
      const scale = scaleOf<T>(v + <usize>i * stride, headDim, (<usize>d) << 2);
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
  const to = (<usize>d) << 2;
  let a0 = v128.load(o0 + to);
  let b0 = v128.load(o0 + to, 16);
  let a1 = v128.load(o1 + to);
  let b1 = v128.load(o1 + to, 16);
  let a2 = v128.load(o2 + to);
  let b2 = v128.load(o2 + to, 16);
  let a3 = v128.load(o3 + to);
  let b3 = v128.load(o3 + to, 16);
  const at = inHead<T>(to);
  for (const end = p + (count << 2); p < end; p += 4) {
    const scale = scaleOf<T>(v, headDim, to);
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
