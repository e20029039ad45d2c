import { evenFactors, oddFactors } from "./factor";
import { hasMinimum } from "./format_q";
import { Bf16, even, odd } from "./half";
import { mulAdd } from "./simd";

/** Four factors S or M at p, as f32. */
function factors<S>(p: usize): v128 {
  const bytes = v128.load32_zero(p);
  if (isSigned<S>()) return f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(bytes)));
  return f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(bytes)));
}

/**
 * What the numbers of four rows are multiplied by, exactly: of the first or second half of a block's 16 rows, in one of the
 * parts of its columns, the first four (even) or the last. p: the block's; masks: storeMasks.
 */
export function evenScales<S>(p: usize, half: usize, part: usize, masks: usize): v128 {
  const d = v128.load(p + (half << 4));
  if (sizeof<S>() == 2) return isSigned<S>() ? evenFactors(d, masks + 80) : even<Bf16>(d);
  return f32x4.mul(evenFactors(d, masks + 80), factors<S>(p + (hasMinimum<S>() ? 64 : 32) + (part << 4) + (half << 3)));
}

export function oddScales<S>(p: usize, half: usize, part: usize, masks: usize): v128 {
  const d = v128.load(p + (half << 4));
  if (sizeof<S>() == 2) return isSigned<S>() ? oddFactors(d, masks + 80) : odd<Bf16>(d);
  return f32x4.mul(oddFactors(d, masks + 80), factors<S>(p + (hasMinimum<S>() ? 68 : 36) + (part << 4) + (half << 3)));
}

/** What is subtracted from each of these numbers. */
export function evenMinimums<S>(p: usize, half: usize, part: usize, masks: usize): v128 {
  const at = p + (sizeof<S>() == 4 ? 80 : 96) + (part << 4) + (half << 3);
  return f32x4.mul(evenFactors(v128.load(p + (half << 4), 32), masks + 80), factors<S>(at));
}

export function oddMinimums<S>(p: usize, half: usize, part: usize, masks: usize): v128 {
  const at = p + (sizeof<S>() == 4 ? 84 : 100) + (part << 4) + (half << 3);
  return f32x4.mul(oddFactors(v128.load(p + (half << 4), 32), masks + 80), factors<S>(at));
}

/**
 * Σ of the activations of a part of a block times their scale, in every lane. x: theirs, if it is half a block; sums: those
 * of the whole block.
 */
export function totalOf<S>(x: usize, sums: v128, scale: v128): v128 {
  let total: v128;
  if (sizeof<S>() == 1) {
    total = i32x4.extadd_pairwise_i16x8_s(i16x8.extadd_pairwise_i8x16_s(v128.load(x)));
    total = i32x4.add(total, v128.shuffle<u32>(total, total, 2, 3, 0, 1));
    total = i32x4.add(total, v128.shuffle<u32>(total, total, 1, 0, 3, 2));
  } else {
    total = i32x4.dot_i16x8_s(sums, i16x8.splat(1));
  }
  return f32x4.mul(f32x4.convert_i32x4_s(total), scale);
}

/** acc[4] += integers times both their scales: how every kernel adds a block. */
export function addScaled(acc: usize, sums: v128, scale: v128, scales: v128): void {
  v128.store(acc, mulAdd(v128.load(acc), f32x4.convert_i32x4_s(sums), f32x4.mul(scale, scales)));
}

/** The same with minimums: then − total · minimums. */
export function addShifted(acc: usize, sums: v128, scale: v128, scales: v128, total: v128, minimums: v128): void {
  const added = mulAdd(v128.load(acc), f32x4.convert_i32x4_s(sums), f32x4.mul(scale, scales));
  v128.store(acc, f32x4.sub(added, f32x4.mul(total, minimums)));
}

/** acc[8] += the sums d0 and d1 of one row of x with half of the rows of a block. */
export function addEight<S>(
  acc: usize,
  d0: v128,
  d1: v128,
  p: usize,
  half: usize,
  part: usize,
  scale: v128,
  total: v128,
  masks: usize,
): void {
  const first = evenScales<S>(p, half, part, masks);
  const second = oddScales<S>(p, half, part, masks);
  if (hasMinimum<S>()) {
    addShifted(acc, d0, scale, first, total, evenMinimums<S>(p, half, part, masks));
    addShifted(acc + 16, d1, scale, second, total, oddMinimums<S>(p, half, part, masks));
  } else {
    addScaled(acc, d0, scale, first);
    addScaled(acc + 16, d1, scale, second);
  }
}
