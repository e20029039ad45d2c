import { pairDots, quadDots, upperHalves } from "./dots";
import { finish } from "./finish";
import { addScaled, blocksOf, bytesOfBlock, numbersBytes, rowBytes, storeMasks } from "./format_q";
import { Bf16, even, odd } from "./half";
import { fourRows } from "./tile_q";

/**
 * y[rows, n] = x[rows, k] · wᵀ + bias + residual, for the panels `first` to `last` of w.
 * w is as format_q.ts says, x as quantize.ts makes it.
 * Order of additions, for every row of x alike: blocks one after the other, each a whole number times both its scales;
 * then bias, then residual. `streams`: in how many places at once the weights are read; changes no result.
 * scratch: WorkBytes.
 */
export function matmulQ<T>(
  y: usize,
  x: usize,
  w: usize,
  bias: usize,
  residual: usize,
  rows: usize,
  n: usize,
  k: usize,
  first: usize,
  last: usize,
  streams: usize,
  scratch: usize,
): void {
  const yStride = n << 2;
  const xStride = rowBytes<T>(k);
  storeMasks(scratch + 256);
  if (rows == 1) {
    panels<T>(y, x, w, bias, residual, n, k, first, last, streams, scratch);
    return;
  }
  const panelBytes = blocksOf(k) * bytesOfBlock<T>();
  for (let panel = first; panel < last; panel++) {
    let row: usize = 0;
    for (; row + 4 <= rows; row += 4) {
      const out = row * yStride;
      for (let half: usize = 0; half < 2 && (panel << 4) + (half << 3) < n; half++) {
        fourRows<T>(x + row * xStride, k, w + panel * panelBytes + (half << 5), half, scratch, scratch + 256);
        for (let i: usize = 0; i < 4; i++) {
          const column = (panel << 4) + (half << 3);
          const at = out + i * yStride;
          finish(y + at, bias, residual ? residual + at : 0, column, n, scratch + (i << 5), 2);
        }
      }
    }
    for (; row < rows; row++) {
      const at = row * yStride;
      const added = residual ? residual + at : 0;
      panels<T>(y + at, x + row * xStride, w, bias, added, n, k, panel, panel + 1, 1, scratch);
    }
  }
}

/** One row of x through the panels `first` to `last`, of which `streams` are read at a time. */
function panels<T>(
  y: usize,
  x: usize,
  w: usize,
  bias: usize,
  residual: usize,
  n: usize,
  k: usize,
  first: usize,
  last: usize,
  streams: usize,
  scratch: usize,
): void {
  const blocks = blocksOf(k);
  const each = (last - first + streams - 1) / streams;
  const apart = each * blocks * bytesOfBlock<T>();
  for (let panel = first; panel < first + each; panel++) {
    let active: usize = 0;
    for (let other = panel; active < streams && other < last; other += each) active++;
    memory.fill(scratch, 0, active << 6);
    let p = w + panel * blocks * bytesOfBlock<T>();
    let numbersAt = x;
    let scales = x + blocks * numbersBytes<T>();
    for (let block: usize = 0; block < blocks; block++) {
      const factor = v128.load32_splat(scales);
      const correction = v128.load32_splat(scales + (blocks << 2));
      let q = p;
      for (let stream: usize = 0; stream < active; stream++) {
        oneBlock<T>(scratch + (stream << 6), q, numbersAt, factor, correction, scratch + 256);
        q += apart;
      }
      p += bytesOfBlock<T>();
      numbersAt += numbersBytes<T>();
      scales += 4;
    }
    for (let stream: usize = 0; stream < active; stream++) {
      finish(y, bias, residual, (panel + stream * each) << 4, n, scratch + (stream << 6), 4);
    }
  }
}

/** acc[16] += one block of one row of x times one block of a panel. */
function oneBlock<T>(acc: usize, p: usize, x: usize, scale: v128, correction: v128, masks: usize): void {
  let d0 = correction;
  let d1 = d0;
  let d2 = d0;
  let d3 = d0;
  let q = p + 32;
  const end = p + bytesOfBlock<T>();
  if (sizeof<T>() == 4) {
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
  } else if (sizeof<T>() == 1) {
    const ones = v128.load(masks);
    for (; q < end; q += 64) {
      const v = v128.load32_splat(x);
      d0 = quadDots<T>(d0, v, v128.load(q), ones);
      d1 = quadDots<T>(d1, v, v128.load(q, 16), ones);
      d2 = quadDots<T>(d2, v, v128.load(q, 32), ones);
      d3 = quadDots<T>(d3, v, v128.load(q, 48), ones);
      x += 4;
    }
  } else {
    const ones = v128.load(masks);
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
    d0 = i32x4.dot_i16x8_s(d0, ones);
    d1 = i32x4.dot_i16x8_s(d1, ones);
    d2 = i32x4.dot_i16x8_s(d2, ones);
    d3 = i32x4.dot_i16x8_s(d3, ones);
  }
  const s = v128.load(p);
  const t = v128.load(p, 16);
  addScaled(acc, d0, scale, even<Bf16>(s));
  addScaled(acc + 16, d1, scale, odd<Bf16>(s));
  addScaled(acc + 32, d2, scale, even<Bf16>(t));
  addScaled(acc + 48, d3, scale, odd<Bf16>(t));
}
