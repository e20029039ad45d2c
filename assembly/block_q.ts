import { pairDots, quadDots, upperHalves } from "./dots";
import {
  bytesOfBlock,
  bytesOfScales,
  Fives,
  isPairOfNumbers,
  numbersBytes,
  partsOf,
  startOf,
  withFifth,
} from "./format_q";
import { ScaleWork, unpackScales } from "./scales_q";
import { addSums } from "./tile_q";

/** acc[16] += one block of one row of x times one block p of a panel. work: ScaleWork.Bytes, and 64. */
export function oneBlock<N, S>(
  acc: usize,
  p: usize,
  x: usize,
  scale: v128,
  sums: v128,
  masks: usize,
  work: usize,
): void {
  const bytes = (bytesOfBlock<N, S>() - bytesOfScales<S>()) / partsOf<S>();
  const d = work + ScaleWork.Bytes;
  let q = p + bytesOfScales<S>();
  // One call of each: engines inline few.
  for (let part: usize = 0; part < partsOf<S>(); part++) {
    unpackScales<S>(work, p, part, masks);
    if (isPairOfNumbers<N>() && !isSigned<N>()) fives<S>(d, q, x, sums, masks);
    else numbers<N, S>(d, q, q + bytes, x, sums, masks);
    addSums<N, S>(acc, d, x, scale, sums, work, v128.load(masks));
    q += bytes;
    x += numbersBytes<N>() / partsOf<S>();
  }
}

/** d[16] = the sums of one row of x with those numbers of a block that are from q to end. */
function numbers<N, S>(d: usize, q: usize, end: usize, x: usize, sums: v128, masks: usize): void {
  let d0 = startOf<N, S>(sums);
  let d1 = d0;
  let d2 = d0;
  let d3 = d0;
  if (sizeof<N>() == 4) {
    for (; q < end; q += 64) {
      let v = v128.load32_splat(x);
      d0 = i32x4.add(d0, i32x4.dot_i16x8_s(v128.load_ext<i8>(q), v));
      d1 = i32x4.add(d1, i32x4.dot_i16x8_s(v128.load_ext<i8>(q, 16), v));
      d2 = i32x4.add(d2, i32x4.dot_i16x8_s(v128.load_ext<i8>(q, 32), v));
      d3 = i32x4.add(d3, i32x4.dot_i16x8_s(v128.load_ext<i8>(q, 48), v));
      v = v128.load32_splat(x + 4);
      d0 = i32x4.add(d0, i32x4.dot_i16x8_s(v128.load_ext<i8>(q, 8), v));
      d1 = i32x4.add(d1, i32x4.dot_i16x8_s(v128.load_ext<i8>(q, 24), v));
      d2 = i32x4.add(d2, i32x4.dot_i16x8_s(v128.load_ext<i8>(q, 40), v));
      d3 = i32x4.add(d3, i32x4.dot_i16x8_s(v128.load_ext<i8>(q, 56), v));
      x += 8;
    }
  } else if (sizeof<N>() == 1) {
    const ones = v128.load(masks);
    for (; q < end; q += 64) {
      const v = v128.load32_splat(x);
      d0 = quadDots<N>(d0, v, v128.load(q), ones);
      d1 = quadDots<N>(d1, v, v128.load(q, 16), ones);
      d2 = quadDots<N>(d2, v, v128.load(q, 32), ones);
      d3 = quadDots<N>(d3, v, v128.load(q, 48), ones);
      x += 4;
    }
  } else {
    const low = v128.load(masks, 16);
    const upper = v128.load(masks, 32);
    const factor = v128.load(masks, 48);
    for (; q < end; q += 64) {
      const u = v128.load32_splat(x);
      const v = v128.load32_splat(x + 4);
      let b = v128.load(q);
      d0 = i16x8.add(i16x8.add(d0, pairDots(u, v128.and(b, low))), pairDots(v, upperHalves(b, low, upper, factor)));
      b = v128.load(q, 16);
      d1 = i16x8.add(i16x8.add(d1, pairDots(u, v128.and(b, low))), pairDots(v, upperHalves(b, low, upper, factor)));
      b = v128.load(q, 32);
      d2 = i16x8.add(i16x8.add(d2, pairDots(u, v128.and(b, low))), pairDots(v, upperHalves(b, low, upper, factor)));
      b = v128.load(q, 48);
      d3 = i16x8.add(i16x8.add(d3, pairDots(u, v128.and(b, low))), pairDots(v, upperHalves(b, low, upper, factor)));
      x += 8;
    }
  }
  v128.store(d, d0);
  v128.store(d, d1, 16);
  v128.store(d, d2, 32);
  v128.store(d, d3, 48);
}

/** The same for numbers of five bits, eight rows at a time: their fifth bits take registers too. */
function fives<S>(d: usize, first: usize, x: usize, sums: v128, masks: usize): void {
  const low = v128.load(masks, 16);
  const upper = v128.load(masks, 32);
  const factor = v128.load(masks, 48);
  const fifth = v128.load(masks, 64);
  for (let half: usize = 0; half < 64; half += 32) {
    let q = first + half;
    // The fifth bits of the lower halves, and of the upper: doubling moves the next ones into their place.
    let h0 = v128.load(q, 256);
    let h1 = v128.load(q, 272);
    let g0 = upperHalves(h0, low, upper, factor);
    let g1 = upperHalves(h1, low, upper, factor);
    let d0 = startOf<Fives, S>(sums);
    let d1 = d0;
    const end = q + 256;
    for (let at = x; q < end; q += 64) {
      const u = v128.load32_splat(at);
      const v = v128.load32_splat(at + 4);
      h0 = i8x16.add(h0, h0);
      g0 = i8x16.add(g0, g0);
      let b = v128.load(q);
      d0 = i16x8.add(d0, pairDots(u, withFifth<Fives>(v128.and(b, low), h0, fifth)));
      d0 = i16x8.add(d0, pairDots(v, withFifth<Fives>(upperHalves(b, low, upper, factor), g0, fifth)));
      h1 = i8x16.add(h1, h1);
      g1 = i8x16.add(g1, g1);
      b = v128.load(q, 16);
      d1 = i16x8.add(d1, pairDots(u, withFifth<Fives>(v128.and(b, low), h1, fifth)));
      d1 = i16x8.add(d1, pairDots(v, withFifth<Fives>(upperHalves(b, low, upper, factor), g1, fifth)));
      at += 8;
    }
    v128.store(d + half, d0);
    v128.store(d + half, d1, 16);
  }
}
