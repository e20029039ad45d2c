import { Pairs, Quads } from "./dots";
import { ActivationBytes, BlockBytes, BlockColumns } from "./layout";
import { mulAdd } from "./simd";

/**
 * The quantised formats, as type arguments: distinguished by size and sign. Q7 comes twice, once for each way of adding
 * its products; the sums are the same.
 *
 * A packed matrix is panels of 16 rows, in blocks of 32 columns: [16 scales][columns][4 groups of 4 rows][16 bytes],
 * zeros beyond n and k. Scales are bf16, row i of eight next to row i + 4. The 16 bytes contain, for each of the 4
 * rows,
 *   q8: columns 4j and 4j + 1, then for each row 4j + 2 and 4j + 3, signed;
 *   q7: columns 4j to 4j + 3, each plus 64;
 *   q4: columns 8j to 8j + 3, each plus 8, in the lower halves of bytes, 8j + 4 to 8j + 7 in the upper.
 */
export type Q8 = i32;
export type Q7Quads = Quads;
export type Q7Pairs = Pairs;
export type Q4 = i16;

/** Blocks of a row of k columns. */
export function blocksOf(k: usize): usize {
  return (k + BlockColumns.Quantized - 1) / BlockColumns.Quantized;
}

/** Bytes of one block of a panel. */
export function bytesOfBlock<T>(): usize {
  return sizeof<T>() == 2 ? BlockBytes.Q4 : BlockBytes.Q8;
}

/** Bytes of a block's activations without their scale and correction: i16 for q8, i8 otherwise. */
export function numbersBytes<T>(): usize {
  return (sizeof<T>() == 4 ? ActivationBytes.Q8 : ActivationBytes.Narrow) - 8;
}

/** Bytes of a row of activations: the integers of its blocks, their f32 scales, their corrections. */
export function rowBytes<T>(k: usize): usize {
  return blocksOf(k) * (numbersBytes<T>() + 8);
}

/** acc[4] += integers times both their scales: how every kernel adds a block. */
export function addScaled(acc: usize, sums: v128, scale: v128, scales: v128): void {
  v128.store(acc, mulAdd(v128.load(acc), f32x4.convert_i32x4_s(sums), f32x4.mul(scale, scales)));
}

/**
 * Constants of the kernels, stored in memory from `masks` on: ones, and low, upper and factor of upperHalves. Engines
 * rematerialise constants in code at every use.
 */
export function storeMasks(masks: usize): void {
  v128.store(masks, i16x8.splat(1));
  v128.store(masks, i8x16.splat(15), 16);
  v128.store(masks, i8x16.splat(-16), 32);
  v128.store(masks, i16x8.splat(2048), 48);
}
