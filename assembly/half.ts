/**
 * The two 16-bit formats. As type arguments they are told apart by signedness: AssemblyScript has no other constant
 * parameters that cost nothing at run time.
 */
export type Bf16 = u16;
export type F16 = i16;

/** 2^112: an f16's exponent, read in an f32's place, is short by it. */
const F16_SCALE: f32 = 5192296858534827628530496329220096.0;

/** 16-bit numbers in the upper halves of the lanes, as f32; exact. Finite numbers only. */
function upperHalves<T>(v: v128): v128 {
  if (isSigned<T>()) {
    const shifted = v128.and(i32x4.shr_s(v, 3), i32x4.splat(0x8fffe000));
    return f32x4.mul(shifted, f32x4.splat(F16_SCALE));
  }
  return v128.and(v, i32x4.splat(0xffff0000));
}

/** Numbers 0, 2, 4, 6 of eight, as f32. */
export function even<T>(v: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) {
    // Places of 128 and more give 0 on every engine. A vector shift costs JavaScriptCore four instructions.
    const lower = i8x16.relaxed_swizzle(v, i8x16(-1, -1, 0, 1, -1, -1, 4, 5, -1, -1, 8, 9, -1, -1, 12, 13));
    return isSigned<T>() ? upperHalves<T>(lower) : lower;
  }
  const lower = i32x4.shl(v, 16);
  return isSigned<T>() ? upperHalves<T>(lower) : lower;
}

/** Numbers 1, 3, 5, 7 of eight, as f32. */
export function odd<T>(v: v128): v128 {
  return upperHalves<T>(v);
}

/** Four numbers at `p`, as f32. */
export function loadHalves<T>(p: usize): v128 {
  const v = v128.load64_zero(p);
  return upperHalves<T>(v128.shuffle<u16>(i32x4.splat(0), v, 0, 8, 0, 9, 0, 10, 0, 11));
}

/** Four f32 as 16-bit numbers at `p`, rounded to nearest even. f16 becomes infinite from 65520 on. */
export function storeHalves<T>(p: usize, v: v128): void {
  let bits: v128;
  if (isSigned<T>()) {
    const sign = v128.and(v, i32x4.splat(0x80000000));
    const magnitude = v128.xor(v, sign);
    const lowest = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1));
    const rounded = i32x4.add(i32x4.add(magnitude, lowest), i32x4.splat(0xfff - (112 << 23)));
    const normal = i32x4.min_s(i32x4.shr_u(rounded, 13), i32x4.splat(0x7c00));
    // Below 2^-14 adding 0.5 brings the last bit of the sum to that of a subnormal f16.
    const subnormal = i32x4.sub(f32x4.add(magnitude, f32x4.splat(0.5)), i32x4.splat(0x3f000000));
    const small = i32x4.lt_s(magnitude, i32x4.splat(0x38800000));
    const large = i32x4.ge_s(magnitude, i32x4.splat(0x47800000));
    bits = v128.bitselect(subnormal, v128.bitselect(i32x4.splat(0x7c00), normal, large), small);
    bits = v128.or(bits, i32x4.shr_u(sign, 16));
  } else {
    const lowest = v128.and(i32x4.shr_u(v, 16), i32x4.splat(1));
    bits = i32x4.shr_u(i32x4.add(i32x4.add(v, lowest), i32x4.splat(0x7fff)), 16);
  }
  const packed = v128.shuffle<u16>(bits, bits, 0, 2, 4, 6, 0, 2, 4, 6);
  v128.store64_lane(p, packed, 0);
}
