import { pairDots, quadDots } from "./dots";
import { blocksOf, bytesOfScales, numbersBytes, partsOf, rowBytes, startOf, wholeSums } from "./format_q";
import { addBlock, ScaleWork, totalOf } from "./scales_q";
import { isUnpacked, Unpacked } from "./unpack_q";

/**
 * acc[2][16] += two rows of x times a panel's 16 rows, for `blocks` blocks from `first` on: eight sums stay in
 * registers while both rows share each load of weights. p: the first block; unpacked: what unpack makes of them.
 */
export function twoRows<N, S>(
  acc: usize,
  x: usize,
  k: usize,
  first: usize,
  blocks: usize,
  p: usize,
  unpacked: usize,
  masks: usize,
): void {
  const ones = v128.load(masks);
  const x1 = rowBytes<N>(k);
  const behind = blocksOf(k) << 2;
  let at = x + blocksOf(k) * numbersBytes<N>() + (first << 2);
  x += first * numbersBytes<N>();
  let q = isUnpacked<N>() ? unpacked + Unpacked.numbers : p + bytesOfScales<S>();
  let scales = unpacked;
  for (const end = at + (blocks << 2); at < end; at += 4) {
    for (let part: usize = 0; part < partsOf<S>(); part++) {
      const begin = x;
      const stop = x + numbersBytes<N>() / partsOf<S>();
      let a0 = startOf<N, S>(v128.load32_splat(at + behind));
      let a1 = a0;
      let a2 = a0;
      let a3 = a0;
      let b0 = startOf<N, S>(v128.load32_splat(at + behind + x1));
      let b1 = b0;
      let b2 = b0;
      let b3 = b0;
      for (; x < stop; x += 4) {
        const u = v128.load32_splat(x);
        const v = v128.load32_splat(x + x1);
        let w = v128.load(q);
        a0 = addDots<N>(a0, u, w, ones);
        b0 = addDots<N>(b0, v, w, ones);
        w = v128.load(q, 16);
        a1 = addDots<N>(a1, u, w, ones);
        b1 = addDots<N>(b1, v, w, ones);
        w = v128.load(q, 32);
        a2 = addDots<N>(a2, u, w, ones);
        b2 = addDots<N>(b2, v, w, ones);
        w = v128.load(q, 48);
        a3 = addDots<N>(a3, u, w, ones);
        b3 = addDots<N>(b3, v, w, ones);
        q += 64;
      }
      addRow<N, S>(acc, a0, a1, a2, a3, begin, v128.load32_splat(at), v128.load32_splat(at + behind), scales, ones);
      addRow<N, S>(
        acc + 64,
        b0,
        b1,
        b2,
        b3,
        begin + x1,
        v128.load32_splat(at + x1),
        v128.load32_splat(at + x1 + behind),
        scales,
        ones,
      );
      scales += ScaleWork.Bytes;
    }
    if (!isUnpacked<N>()) q += bytesOfScales<S>();
  }
}

/** The products of two columns of i16, or of four columns of i8, added to those of the columns before. */
function addDots<N>(sums: v128, x: v128, w: v128, ones: v128): v128 {
  if (sizeof<N>() == 4) return i32x4.add(sums, i32x4.dot_i16x8_s(w, x));
  if (sizeof<N>() == 1) return quadDots<N>(sums, x, w, ones);
  return i16x8.add(sums, pairDots(x, w));
}

/**
 * acc[16] += the sums d[16] of a part of a block of one row of x. x: the part's activations; scale, sums: theirs; scales:
 * what unpackScales makes.
 */
export function addSums<N, S>(
  acc: usize,
  d: usize,
  x: usize,
  scale: v128,
  sums: v128,
  scales: usize,
  ones: v128,
): void {
  addRow<N, S>(acc, v128.load(d), v128.load(d, 16), v128.load(d, 32), v128.load(d, 48), x, scale, sums, scales, ones);
}

/** The same of sums that are in registers. */
function addRow<N, S>(
  acc: usize,
  d0: v128,
  d1: v128,
  d2: v128,
  d3: v128,
  x: usize,
  scale: v128,
  sums: v128,
  scales: usize,
  ones: v128,
): void {
  const total = totalOf<S>(x, sums, scale);
  addBlock<S>(acc, wholeSums<N, S>(d0, sums, ones), scale, total, scales);
  addBlock<S>(acc + 16, wholeSums<N, S>(d1, sums, ones), scale, total, scales + 16);
  addBlock<S>(acc + 32, wholeSums<N, S>(d2, sums, ones), scale, total, scales + 32);
  addBlock<S>(acc + 48, wholeSums<N, S>(d3, sums, ones), scale, total, scales + 48);
}
