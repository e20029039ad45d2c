import { Pairs, Quads } from "./dots";
import { storeFactorMasks } from "./factor";
import { ActivationBytes, BlockBytes, BlockColumns } from "./layout";

/**
 * The quantised formats: whole numbers of one kind times scales of one kind. Both are type arguments, distinguished by
 * size and sign. Sevens come twice, once for each way of adding their products; the sums are the same.
 *
 * A packed matrix is panels of 16 rows, in blocks of 32 columns: [scales][columns][4 groups of 4 rows][16 bytes], zeros
 * beyond n and k.
 *
 * Numbers: the 16 bytes contain, for each of the 4 rows,
 *   Bytes: columns 4j and 4j + 1, then for each row 4j + 2 and 4j + 3, signed;
 *   Sevens: columns 4j to 4j + 3, each plus 64;
 *   Nibbles: columns 8j to 8j + 3, in the lower halves of bytes, 8j + 4 to 8j + 7 in the upper; plus 8 if there are no
 *   minimums;
 *   Fives: the same of the lower four bits, plus 16 if there are no minimums; behind them the fifth bits
 *   [4 groups of 4 rows][4 rows][columns mod 4], in each byte those of columns 4i at bit 3 − i / 2, plus 4 for odd i.
 *
 * Scales: a number is worth d · S · q − dm · M. Factors d and dm are [16 rows], row i of eight next to row i + 4:
 *   Bf16: d as bf16 alone; in all others d, and dm, as factor.ts has f16;
 *   F16: d alone;
 *   Sixteens: d, then S as i8[2 halves of the columns][16 rows];
 *   Minimums: d and dm, then S and M as u8[16 rows];
 *   SixteenMinimums: d and dm, then S and M as u8[2 halves of the columns][16 rows].
 */
export type Bytes = i32;
export type SevenQuads = Quads;
export type SevenPairs = Pairs;
export type Nibbles = i16;
export type Fives = u16;
export type Sixteens = i8;
export type Minimums = u32;
export type SixteenMinimums = u8;

/** Whether a byte contains two numbers. */
export function isPairOfNumbers<N>(): bool {
  return sizeof<N>() == 2;
}

/** Whether a block's scales have minimums. */
export function hasMinimum<S>(): bool {
  return sizeof<S>() != 2 && !isSigned<S>();
}

/** Into how many parts with scales of their own the columns of a block fall. */
export function partsOf<S>(): usize {
  return sizeof<S>() == 1 ? 2 : 1;
}

/** Blocks of a row of k columns. */
export function blocksOf(k: usize): usize {
  return (k + BlockColumns.Quantized - 1) / BlockColumns.Quantized;
}

/** Bytes of the scales of a block of a panel. */
export function bytesOfScales<S>(): usize {
  if (sizeof<S>() == 2) return BlockBytes.Scales;
  if (sizeof<S>() == 4) return BlockBytes.Minimums;
  return hasMinimum<S>() ? BlockBytes.SixteenMinimums : BlockBytes.Sixteens;
}

/** Bytes of one block of a panel. */
export function bytesOfBlock<N, S>(): usize {
  if (sizeof<N>() != 2) return bytesOfScales<S>() + BlockBytes.Bytes;
  return bytesOfScales<S>() + (isSigned<N>() ? BlockBytes.Nibbles : BlockBytes.Fives);
}

/** Bytes of a block's activations without their scale and sums: i16 for Bytes, i8 otherwise. */
export function numbersBytes<N>(): usize {
  return (sizeof<N>() == 4 ? ActivationBytes.Wide : ActivationBytes.Narrow) - 8;
}

/** Bytes of a row of activations: the integers of its blocks, their f32 scales, their sums. */
export function rowBytes<N>(k: usize): usize {
  return blocksOf(k) * (numbersBytes<N>() + 8);
}

/**
 * What the products of a block are added to, which cancels what the numbers have too much: i32x4, for Nibbles and Fives
 * i16x8. sums: of the block's activations, as quantize.ts stores them. i16 may overflow in between, and do not at the end.
 */
export function startOf<N, S>(sums: v128): v128 {
  if (sizeof<N>() == 1) return i32x4.dot_i16x8_s(sums, i16x8.splat(-64));
  if (sizeof<N>() == 2 && !isSigned<N>()) return i16x8.mul(sums, i16x8.splat(-16));
  if (sizeof<N>() == 2 && !hasMinimum<S>()) return i16x8.mul(sums, i16x8.splat(-8));
  return i32x4.splat(0);
}

/** Nibbles with their fifth bits where the numbers have them. */
export function withFifth<N>(nibbles: v128, bits: v128, fifth: v128): v128 {
  return isSigned<N>() ? nibbles : v128.or(nibbles, v128.and(bits, fifth));
}

/**
 * i32x4: the sums of four rows, where they are i16x8 (Nibbles and Fives) from those of pairs of columns, and with minimums
 * without what startOf cancelled.
 */
export function wholeSums<N, S>(pairs: v128, sums: v128, ones: v128): v128 {
  if (!isPairOfNumbers<N>()) return pairs;
  const whole = i32x4.dot_i16x8_s(pairs, ones);
  if (isSigned<N>() || !hasMinimum<S>()) return whole;
  return i32x4.add(whole, i32x4.dot_i16x8_s(sums, i16x8.splat(16)));
}

/**
 * Constants of the kernels, stored in memory from `masks` on: ones, low, upper and factor of upperHalves, the fifth bit,
 * and what scales are read by (scales_q.ts). Engines rematerialise constants in code at every use.
 */
export function storeMasks(masks: usize): void {
  v128.store(masks, i16x8.splat(1));
  v128.store(masks, i8x16.splat(15), 16);
  v128.store(masks, i8x16.splat(-16), 32);
  v128.store(masks, i16x8.splat(2048), 48);
  v128.store(masks, i8x16.splat(16), 64);
  storeFactorMasks(masks + 80);
}
