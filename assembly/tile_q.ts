import { pairDots, quadDots, upperHalves } from "./dots";
import {
  blocksOf,
  bytesOfBlock,
  bytesOfScales,
  hasMinimum,
  numbersBytes,
  partsOf,
  rowBytes,
  startOf,
  wholeSums,
  withFifth,
} from "./format_q";
import { addScaled, addShifted, evenMinimums, evenScales, oddMinimums, oddScales, totalOf } from "./scales_q";

/**
 * acc[4, 8] = four rows of x through half of the panel p of 16 rows: eight sums stay in registers while four rows share each
 * load of a weight. Of fewer than four rows (2 or 3) the last is computed more than once.
 */
export function fourRows<N, S>(
  x: usize,
  rows: usize,
  k: usize,
  p: usize,
  half: usize,
  acc: usize,
  masks: usize,
): void {
  const blocks = blocksOf(k);
  const x1 = rowBytes<N>(k);
  const x2 = rows > 2 ? x1 * 2 : x1;
  const x3 = rows > 3 ? x1 * 3 : x2;
  const end = p + blocks * bytesOfBlock<N, S>();
  memory.fill(acc, 0, 128);
  let scales = x + blocks * numbersBytes<N>();
  for (; p < end; p += bytesOfBlock<N, S>()) {
    tile<N, S>(acc, p, half, 0, x, x1, x2, x3, scales, blocks << 2, masks);
    if (partsOf<S>() == 2) {
      tile<N, S>(acc, p, half, 1, x + numbersBytes<N>() / 2, x1, x2, x3, scales, blocks << 2, masks);
    }
    x += numbersBytes<N>();
    scales += 4;
  }
}

/**
 * The same for one part of the columns of a block. The other rows of x are x1, x2 and x3 bytes behind the first; the sums of
 * a block's activations are `behind` bytes behind its scale.
 */
function tile<N, S>(
  acc: usize,
  p: usize,
  half: usize,
  part: usize,
  x: usize,
  x1: usize,
  x2: usize,
  x3: usize,
  scales: usize,
  behind: usize,
  masks: usize,
): void {
  const ones = v128.load(masks);
  const low = v128.load(masks, 16);
  const upper = v128.load(masks, 32);
  const factor = v128.load(masks, 48);
  const at = x;
  const bytes = (bytesOfBlock<N, S>() - bytesOfScales<S>()) / partsOf<S>();
  let q = p + bytesOfScales<S>() + part * bytes + (half << 5);
  const sums = scales + behind;
  let a0 = startOf<N, S>(v128.load32_splat(sums));
  let a1 = a0;
  let b0 = startOf<N, S>(v128.load32_splat(sums + x1));
  let b1 = b0;
  let c0 = startOf<N, S>(v128.load32_splat(sums + x2));
  let c1 = c0;
  let d0 = startOf<N, S>(v128.load32_splat(sums + x3));
  let d1 = d0;
  const stop = x + numbersBytes<N>() / partsOf<S>();
  if (sizeof<N>() == 4) {
    for (; x < stop; x += 4) {
      const w0 = v128.load_ext<i8>(q);
      const w1 = v128.load_ext<i8>(q, 16);
      let v = v128.load32_splat(x);
      a0 = i32x4.add(a0, i32x4.dot_i16x8_s(w0, v));
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(w1, v));
      v = v128.load32_splat(x + x1);
      b0 = i32x4.add(b0, i32x4.dot_i16x8_s(w0, v));
      b1 = i32x4.add(b1, i32x4.dot_i16x8_s(w1, v));
      v = v128.load32_splat(x + x2);
      c0 = i32x4.add(c0, i32x4.dot_i16x8_s(w0, v));
      c1 = i32x4.add(c1, i32x4.dot_i16x8_s(w1, v));
      v = v128.load32_splat(x + x3);
      d0 = i32x4.add(d0, i32x4.dot_i16x8_s(w0, v));
      d1 = i32x4.add(d1, i32x4.dot_i16x8_s(w1, v));
      // Columns 4j + 2 and 4j + 3 are 8 bytes after 4j and 4j + 1.
      q += (stop - x) & 4 ? 56 : 8;
    }
  } else if (sizeof<N>() == 1) {
    for (; x < stop; x += 4) {
      const w0 = v128.load(q);
      const w1 = v128.load(q, 16);
      let v = v128.load32_splat(x);
      a0 = quadDots<N>(a0, v, w0, ones);
      a1 = quadDots<N>(a1, v, w1, ones);
      v = v128.load32_splat(x + x1);
      b0 = quadDots<N>(b0, v, w0, ones);
      b1 = quadDots<N>(b1, v, w1, ones);
      v = v128.load32_splat(x + x2);
      c0 = quadDots<N>(c0, v, w0, ones);
      c1 = quadDots<N>(c1, v, w1, ones);
      v = v128.load32_splat(x + x3);
      d0 = quadDots<N>(d0, v, w0, ones);
      d1 = quadDots<N>(d1, v, w1, ones);
      q += 64;
    }
  } else {
    const fifth = v128.load(masks, 64);
    // The fifth bits of the lower halves, and of the upper: doubling moves the next ones into their place.
    let h0 = fifth;
    let h1 = fifth;
    let g0 = fifth;
    let g1 = fifth;
    if (!isSigned<N>()) {
      h0 = v128.load(q, 256);
      h1 = v128.load(q, 272);
      g0 = upperHalves(h0, low, upper, factor);
      g1 = upperHalves(h1, low, upper, factor);
    }
    for (; x < stop; x += 8) {
      if (!isSigned<N>()) {
        h0 = i8x16.add(h0, h0);
        h1 = i8x16.add(h1, h1);
        g0 = i8x16.add(g0, g0);
        g1 = i8x16.add(g1, g1);
      }
      const v0 = v128.load(q);
      const v1 = v128.load(q, 16);
      let w0 = withFifth<N>(v128.and(v0, low), h0, fifth);
      let w1 = withFifth<N>(v128.and(v1, low), h1, fifth);
      let v = v128.load32_splat(x);
      a0 = i16x8.add(a0, pairDots(v, w0));
      a1 = i16x8.add(a1, pairDots(v, w1));
      v = v128.load32_splat(x + x1);
      b0 = i16x8.add(b0, pairDots(v, w0));
      b1 = i16x8.add(b1, pairDots(v, w1));
      v = v128.load32_splat(x + x2);
      c0 = i16x8.add(c0, pairDots(v, w0));
      c1 = i16x8.add(c1, pairDots(v, w1));
      v = v128.load32_splat(x + x3);
      d0 = i16x8.add(d0, pairDots(v, w0));
      d1 = i16x8.add(d1, pairDots(v, w1));
      w0 = withFifth<N>(upperHalves(v0, low, upper, factor), g0, fifth);
      w1 = withFifth<N>(upperHalves(v1, low, upper, factor), g1, fifth);
      const next = x + 4;
      v = v128.load32_splat(next);
      a0 = i16x8.add(a0, pairDots(v, w0));
      a1 = i16x8.add(a1, pairDots(v, w1));
      v = v128.load32_splat(next + x1);
      b0 = i16x8.add(b0, pairDots(v, w0));
      b1 = i16x8.add(b1, pairDots(v, w1));
      v = v128.load32_splat(next + x2);
      c0 = i16x8.add(c0, pairDots(v, w0));
      c1 = i16x8.add(c1, pairDots(v, w1));
      v = v128.load32_splat(next + x3);
      d0 = i16x8.add(d0, pairDots(v, w0));
      d1 = i16x8.add(d1, pairDots(v, w1));
      q += 64;
    }
    let s = v128.load32_splat(sums);
    a0 = wholeSums<N, S>(a0, s, ones);
    a1 = wholeSums<N, S>(a1, s, ones);
    s = v128.load32_splat(sums + x1);
    b0 = wholeSums<N, S>(b0, s, ones);
    b1 = wholeSums<N, S>(b1, s, ones);
    s = v128.load32_splat(sums + x2);
    c0 = wholeSums<N, S>(c0, s, ones);
    c1 = wholeSums<N, S>(c1, s, ones);
    s = v128.load32_splat(sums + x3);
    d0 = wholeSums<N, S>(d0, s, ones);
    d1 = wholeSums<N, S>(d1, s, ones);
  }
  const first = evenScales<S>(p, half, part, masks);
  const second = oddScales<S>(p, half, part, masks);
  const m0 = hasMinimum<S>() ? evenMinimums<S>(p, half, part, masks) : first;
  const m1 = hasMinimum<S>() ? oddMinimums<S>(p, half, part, masks) : second;
  tileRow<S>(acc, a0, a1, at, scales, sums, first, second, m0, m1);
  tileRow<S>(acc + 32, b0, b1, at + x1, scales + x1, sums + x1, first, second, m0, m1);
  tileRow<S>(acc + 64, c0, c1, at + x2, scales + x2, sums + x2, first, second, m0, m1);
  tileRow<S>(acc + 96, d0, d1, at + x3, scales + x3, sums + x3, first, second, m0, m1);
}

/** acc[8] += the sums of one block of one row, as addEight does. */
function tileRow<S>(
  acc: usize,
  d0: v128,
  d1: v128,
  x: usize,
  scaleAt: usize,
  sums: usize,
  first: v128,
  second: v128,
  m0: v128,
  m1: v128,
): void {
  const scale = v128.load32_splat(scaleAt);
  if (hasMinimum<S>()) {
    const total = totalOf<S>(x, v128.load32_splat(sums), scale);
    addShifted(acc, d0, scale, first, total, m0);
    addShifted(acc + 16, d1, scale, second, total, m1);
  } else {
    addScaled(acc, d0, scale, first);
    addScaled(acc + 16, d1, scale, second);
  }
}
