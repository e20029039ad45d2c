import { pairDots, quadDots, upperHalves } from "./dots";
import { addScaled, blocksOf, bytesOfBlock, numbersBytes, rowBytes } from "./format_q";
import { Bf16, even, odd } from "./half";

/**
 * acc[4, 8] = four rows of x through half of a panel of 16 rows: eight sums stay in registers while four rows share each
 * load of a weight. p: the panel's address plus 32 · half.
 */
export function fourRows<T>(x: usize, k: usize, p: usize, half: usize, acc: usize, masks: usize): void {
  const ones = v128.load(masks);
  const low = v128.load(masks, 16);
  const upper = v128.load(masks, 32);
  const factor = v128.load(masks, 48);
  const blocks = blocksOf(k);
  const stride = rowBytes<T>(k);
  const end = p + blocks * bytesOfBlock<T>();
  memory.fill(acc, 0, 128);
  let scales = x + blocks * numbersBytes<T>();
  for (; p < end; p += bytesOfBlock<T>()) {
    let q = p + 32;
    const corrections = scales + (blocks << 2);
    let a0 = v128.load32_splat(corrections);
    let a1 = a0;
    let b0 = v128.load32_splat(corrections + stride);
    let b1 = b0;
    let c0 = v128.load32_splat(corrections + stride * 2);
    let c1 = c0;
    let d0 = v128.load32_splat(corrections + stride * 3);
    let d1 = d0;
    const stop = x + numbersBytes<T>();
    if (sizeof<T>() == 4) {
      for (; x < stop; x += 4) {
        const w0 = v128.load_ext<i8>(q);
        const w1 = v128.load_ext<i8>(q, 16);
        let v = v128.load32_splat(x);
        a0 = i32x4.add(a0, i32x4.dot_i16x8_s(w0, v));
        a1 = i32x4.add(a1, i32x4.dot_i16x8_s(w1, v));
        v = v128.load32_splat(x + stride);
        b0 = i32x4.add(b0, i32x4.dot_i16x8_s(w0, v));
        b1 = i32x4.add(b1, i32x4.dot_i16x8_s(w1, v));
        v = v128.load32_splat(x + stride * 2);
        c0 = i32x4.add(c0, i32x4.dot_i16x8_s(w0, v));
        c1 = i32x4.add(c1, i32x4.dot_i16x8_s(w1, v));
        v = v128.load32_splat(x + stride * 3);
        d0 = i32x4.add(d0, i32x4.dot_i16x8_s(w0, v));
        d1 = i32x4.add(d1, i32x4.dot_i16x8_s(w1, v));
        // Columns 4j + 2 and 4j + 3 are 8 bytes after 4j and 4j + 1.
        q += (stop - x) & 4 ? 56 : 8;
      }
    } else if (sizeof<T>() == 1) {
      for (; x < stop; x += 4) {
        const w0 = v128.load(q);
        const w1 = v128.load(q, 16);
        let v = v128.load32_splat(x);
        a0 = quadDots<T>(a0, v, w0, ones);
        a1 = quadDots<T>(a1, v, w1, ones);
        v = v128.load32_splat(x + stride);
        b0 = quadDots<T>(b0, v, w0, ones);
        b1 = quadDots<T>(b1, v, w1, ones);
        v = v128.load32_splat(x + stride * 2);
        c0 = quadDots<T>(c0, v, w0, ones);
        c1 = quadDots<T>(c1, v, w1, ones);
        v = v128.load32_splat(x + stride * 3);
        d0 = quadDots<T>(d0, v, w0, ones);
        d1 = quadDots<T>(d1, v, w1, ones);
        q += 64;
      }
    } else {
      for (; x < stop; x += 8) {
        const v0 = v128.load(q);
        const v1 = v128.load(q, 16);
        let w0 = v128.and(v0, low);
        let w1 = v128.and(v1, low);
        let v = v128.load32_splat(x);
        a0 = i16x8.add(a0, pairDots(v, w0));
        a1 = i16x8.add(a1, pairDots(v, w1));
        v = v128.load32_splat(x + stride);
        b0 = i16x8.add(b0, pairDots(v, w0));
        b1 = i16x8.add(b1, pairDots(v, w1));
        v = v128.load32_splat(x + stride * 2);
        c0 = i16x8.add(c0, pairDots(v, w0));
        c1 = i16x8.add(c1, pairDots(v, w1));
        v = v128.load32_splat(x + stride * 3);
        d0 = i16x8.add(d0, pairDots(v, w0));
        d1 = i16x8.add(d1, pairDots(v, w1));
        w0 = upperHalves(v0, low, upper, factor);
        w1 = upperHalves(v1, low, upper, factor);
        const next = x + 4;
        v = v128.load32_splat(next);
        a0 = i16x8.add(a0, pairDots(v, w0));
        a1 = i16x8.add(a1, pairDots(v, w1));
        v = v128.load32_splat(next + stride);
        b0 = i16x8.add(b0, pairDots(v, w0));
        b1 = i16x8.add(b1, pairDots(v, w1));
        v = v128.load32_splat(next + stride * 2);
        c0 = i16x8.add(c0, pairDots(v, w0));
        c1 = i16x8.add(c1, pairDots(v, w1));
        v = v128.load32_splat(next + stride * 3);
        d0 = i16x8.add(d0, pairDots(v, w0));
        d1 = i16x8.add(d1, pairDots(v, w1));
        q += 64;
      }
      a0 = i32x4.dot_i16x8_s(a0, ones);
      a1 = i32x4.dot_i16x8_s(a1, ones);
      b0 = i32x4.dot_i16x8_s(b0, ones);
      b1 = i32x4.dot_i16x8_s(b1, ones);
      c0 = i32x4.dot_i16x8_s(c0, ones);
      c1 = i32x4.dot_i16x8_s(c1, ones);
      d0 = i32x4.dot_i16x8_s(d0, ones);
      d1 = i32x4.dot_i16x8_s(d1, ones);
    }
    const s = v128.load(p - (half << 4));
    const even8 = even<Bf16>(s);
    const odd8 = odd<Bf16>(s);
    tileRow(acc, a0, a1, scales, even8, odd8);
    tileRow(acc + 32, b0, b1, scales + stride, even8, odd8);
    tileRow(acc + 64, c0, c1, scales + stride * 2, even8, odd8);
    tileRow(acc + 96, d0, d1, scales + stride * 3, even8, odd8);
    scales += 4;
  }
}

/** acc[8] += the sums of one block of one row. */
function tileRow(acc: usize, d0: v128, d1: v128, scaleAt: usize, even8: v128, odd8: v128): void {
  const scale = v128.load32_splat(scaleAt);
  addScaled(acc, d0, scale, even8);
  addScaled(acc + 16, d1, scale, odd8);
}
