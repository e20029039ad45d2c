/**
 * The two 16-bit formats. As type arguments they are distinguished by signedness: AssemblyScript has no other constant
 * parameters without run-time cost.
 */
export type Bf16 = u16;
export type F16 = i16;

/** 2^112: the amount by which an f16's exponent, placed in an f32, is too small. */
const F16_SCALE: f32 = 5192296858534827628530496329220096.0;

/**
 * Constants of the functions below, stored in memory from `masks` on for kernels that use them often: engines
 * rematerialise constants in code at every use.
 */
export function storeMasks<T>(masks: usize): void {
  v128.store(masks, evens<T>());
  v128.store(masks, odds(), 16);
  v128.store(masks, bits<T>(), 32);
  v128.store(masks, f32x4.splat(F16_SCALE), 48);
}

/**
 * What moves the lower half of a lane to its place of an f32. f16: a product with 2^13, as a shift costs JavaScriptCore four
 * instructions; bf16: indices for relaxed_swizzle, of which those of 128 and more give 0 on every engine.
 */
function evens<T>(): v128 {
  return isSigned<T>() ? i32x4.splat(1 << 13) : i8x16(-1, -1, 0, 1, -1, -1, 4, 5, -1, -1, 8, 9, -1, -1, 12, 13);
}

/** The same for the upper half of f16. */
function odds(): v128 {
  return i32x4.splat(1 << 29);
}

/** The bits of a number at their places of an f32. */
function bits<T>(): v128 {
  return i32x4.splat(isSigned<T>() ? 0x8fffe000 : 0xffff0000);
}

/** Numbers 0, 2, 4, 6 of eight, as f32; exact. Finite numbers only. */
export function evenBy<T>(v: v128, evens: v128, bits: v128, scale: v128): v128 {
  if (isSigned<T>()) return f32x4.mul(v128.and(i32x4.dot_i16x8_s(v, evens), bits), scale);
  return ASC_FEATURE_RELAXED_SIMD ? i8x16.relaxed_swizzle(v, evens) : i32x4.shl(v, 16);
}

/** Numbers 1, 3, 5, 7. */
export function oddBy<T>(v: v128, odds: v128, bits: v128, scale: v128): v128 {
  if (isSigned<T>()) return f32x4.mul(v128.and(i32x4.dot_i16x8_s(v, odds), bits), scale);
  return v128.and(v, bits);
}

/** As evenBy. */
export function even<T>(v: v128): v128 {
  return evenBy<T>(v, evens<T>(), bits<T>(), f32x4.splat(F16_SCALE));
}

/** As oddBy. */
export function odd<T>(v: v128): v128 {
  return oddBy<T>(v, odds(), bits<T>(), f32x4.splat(F16_SCALE));
}

/** Four numbers at `p`, as f32. */
export function loadHalves<T>(p: usize): v128 {
  const v = v128.load64_zero(p);
  return odd<T>(v128.shuffle<u16>(i32x4.splat(0), v, 0, 8, 0, 9, 0, 10, 0, 11));
}

/** The finite f16 at `p`, as f32; reads 8 bytes. */
export function halfAt(p: usize): f32 {
  return f32x4.extract_lane(loadHalves<F16>(p), 0);
}

/** Four f32 as 16-bit numbers in the lower halves of the lanes, rounded to nearest even. f16 is infinite from 65520 on. */
export function halves<T>(v: v128): v128 {
  if (isSigned<T>()) {
    const sign = v128.and(v, i32x4.splat(0x80000000));
    const magnitude = v128.xor(v, sign);
    const lowest = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1));
    const rounded = i32x4.add(i32x4.add(magnitude, lowest), i32x4.splat(0xfff - (112 << 23)));
    const normal = i32x4.min_s(i32x4.shr_u(rounded, 13), i32x4.splat(0x7c00));
    // Below 2^-14 adding 0.5 aligns the last bit of the sum with that of a subnormal f16.
    const subnormal = i32x4.sub(f32x4.add(magnitude, f32x4.splat(0.5)), i32x4.splat(0x3f000000));
    const small = i32x4.lt_s(magnitude, i32x4.splat(0x38800000));
    const large = i32x4.ge_s(magnitude, i32x4.splat(0x47800000));
    const bits = v128.bitselect(subnormal, v128.bitselect(i32x4.splat(0x7c00), normal, large), small);
    return v128.or(bits, i32x4.shr_u(sign, 16));
  }
  const lowest = v128.and(i32x4.shr_u(v, 16), i32x4.splat(1));
  return i32x4.shr_u(i32x4.add(i32x4.add(v, lowest), i32x4.splat(0x7fff)), 16);
}
