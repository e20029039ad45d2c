import { evenFactors, oddFactors } from "./factor";
import { hasMinimum, partsOf } from "./format_q";
import { Bf16, even, odd } from "./half";
import { mulAdd } from "./simd";

/** Four factors S or M at p, as f32. */
function factors<S>(p: usize): v128 {
  const bytes = v128.load32_zero(p);
  if (isSigned<S>()) return f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(bytes)));
  return f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(bytes)));
}

/**
 * What the numbers of a block's 16 rows are multiplied by in one of the parts of its columns, exactly, f32[16] at `to`; what
 * is then subtracted from each, likewise ScaleWork.minimums behind. p: the block's; masks: storeMasks.
 */
export function unpackScales<S>(to: usize, p: usize, part: usize, masks: usize): void {
  let bytes = p + (hasMinimum<S>() ? 64 : 32) + (part << 4);
  for (const end = to + 64; to < end; to += 32) {
    const d = v128.load(p);
    if (sizeof<S>() == 2) {
      v128.store(to, isSigned<S>() ? evenFactors(d, masks + 80) : even<Bf16>(d));
      v128.store(to, isSigned<S>() ? oddFactors(d, masks + 80) : odd<Bf16>(d), 16);
    } else {
      v128.store(to, f32x4.mul(evenFactors(d, masks + 80), factors<S>(bytes)));
      v128.store(to, f32x4.mul(oddFactors(d, masks + 80), factors<S>(bytes + 4)), 16);
    }
    if (hasMinimum<S>()) {
      const dm = v128.load(p, 32);
      const minimums = bytes + (partsOf<S>() << 4);
      v128.store(to, f32x4.mul(evenFactors(dm, masks + 80), factors<S>(minimums)), ScaleWork.minimums);
      v128.store(to, f32x4.mul(oddFactors(dm, masks + 80), factors<S>(minimums + 4)), ScaleWork.minimums + 16);
    }
    p += 16;
    bytes += 8;
  }
}

/** Byte offsets of what unpackScales makes. */
export enum ScaleWork {
  minimums = 64,
  Bytes = 128,
}

/**
 * Σ of the activations of a part of a block times their scale, in every lane. x: theirs, if it is half a block; sums: those
 * of the whole block. Without minimums it is not needed: any vector.
 */
export function totalOf<S>(x: usize, sums: v128, scale: v128): v128 {
  if (!hasMinimum<S>()) return scale;
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

/**
 * acc[4] += the sums of four rows times both their scales, then, if there are minimums, − total · minimum: how every kernel
 * adds a block. total: totalOf, scales: the first row's among those of unpackScales.
 */
export function addBlock<S>(acc: usize, sums: v128, scale: v128, total: v128, scales: usize): void {
  const added = mulAdd(v128.load(acc), f32x4.convert_i32x4_s(sums), f32x4.mul(scale, v128.load(scales)));
  if (!hasMinimum<S>()) v128.store(acc, added);
  else v128.store(acc, f32x4.sub(added, f32x4.mul(total, v128.load(scales, ScaleWork.minimums))));
}
