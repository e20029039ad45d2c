import { upperHalves } from "./dots";
import { bytesOfBlock, bytesOfScales, partsOf, withFifth } from "./format_q";
import { ScaleWork, unpackScales } from "./scales_q";

/** Blocks that are unpacked at a time: with those of x they stay in the nearest cache. */
export const UNPACKED_BLOCKS: usize = 8;

/** Byte offsets in what unpack makes. */
export enum Unpacked {
  numbers = 2048,
}

/** Whether numbers are unpacked too; Sevens are read where they are. */
export function isUnpacked<N>(): bool {
  return sizeof<N>() != 1;
}

/**
 * What a tile reads for many rows of x, made once for all of them, from `blocks` blocks (UNPACKED_BLOCKS at most) of a panel
 * from p on. At `to`, for every block and part, what unpackScales makes; at Unpacked.numbers, with 64 bytes for all 16
 * rows: i16[blocks][16 pairs of columns][16 rows][2] of Bytes, i8[blocks][8 quads of columns][16 rows][4] of Nibbles and
 * Fives, as format_q.ts has them.
 */
export function unpack<N, S>(to: usize, p: usize, blocks: usize, masks: usize): void {
  let scales = to;
  let numbers = to + Unpacked.numbers;
  for (const end = p + blocks * bytesOfBlock<N, S>(); p < end; p += bytesOfBlock<N, S>()) {
    for (let part: usize = 0; part < partsOf<S>(); part++) {
      unpackScales<S>(scales, p, part, masks);
      scales += ScaleWork.Bytes;
    }
    const q = p + bytesOfScales<S>();
    if (sizeof<N>() == 4) {
      widen(numbers, q);
      numbers += 1024;
    } else if (isUnpacked<N>()) {
      unpackHalf<N>(numbers, q, masks);
      unpackHalf<N>(numbers + 32, q + 32, masks);
      numbers += 512;
    }
  }
}

/** Bytes of a block as i16: four columns of four rows are two pairs of columns. */
function widen(to: usize, q: usize): void {
  for (const end = q + 512; q < end; q += 64) {
    for (let group: usize = 0; group < 64; group += 16) {
      const v = v128.load(q + group);
      v128.store(to + group, i16x8.extend_low_i8x16_s(v));
      v128.store(to + group, i16x8.extend_high_i8x16_s(v), 64);
    }
    to += 128;
  }
}

/** Numbers of half of the rows of a block. */
function unpackHalf<N>(to: usize, q: usize, masks: usize): void {
  const low = v128.load(masks, 16);
  const upper = v128.load(masks, 32);
  const factor = v128.load(masks, 48);
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
  for (const end = to + 512; to < end; to += 128) {
    if (!isSigned<N>()) {
      h0 = i8x16.add(h0, h0);
      h1 = i8x16.add(h1, h1);
      g0 = i8x16.add(g0, g0);
      g1 = i8x16.add(g1, g1);
    }
    const v0 = v128.load(q);
    const v1 = v128.load(q, 16);
    v128.store(to, withFifth<N>(v128.and(v0, low), h0, fifth));
    v128.store(to, withFifth<N>(v128.and(v1, low), h1, fifth), 16);
    v128.store(to, withFifth<N>(upperHalves(v0, low, upper, factor), g0, fifth), 64);
    v128.store(to, withFifth<N>(upperHalves(v1, low, upper, factor), g1, fifth), 80);
    q += 64;
  }
}
