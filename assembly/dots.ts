/**
 * Sums of products of 8-bit numbers: by the relaxed instructions if the build has them, the same integers otherwise.
 * `x` contains −127..127, `w` 0..127: for these the relaxed instructions are exact on every engine.
 *
 * As type arguments the two ways to add four products: Quads is one instruction if the engine uses the CPU's own (V8
 * with VNNI), Pairs is faster if the engine emits three for it (JavaScriptCore). The machine measures which.
 */
export type Quads = u8;
export type Pairs = i8;

/** i16x8: x[2i] · w[2i] + x[2i + 1] · w[2i + 1]. */
export function pairDots(x: v128, w: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i16x8.relaxed_dot_i8x16_i7x16_s(x, w);
  const low = i16x8.extmul_low_i8x16_s(x, w);
  const high = i16x8.extmul_high_i8x16_s(x, w);
  const even = v128.shuffle<u16>(low, high, 0, 2, 4, 6, 8, 10, 12, 14);
  return i16x8.add(even, v128.shuffle<u16>(low, high, 1, 3, 5, 7, 9, 11, 13, 15));
}

/** i32x4: acc[i] + the four products x[4i] · w[4i] …; ones: i16x8 of 1. */
export function quadDots<T>(acc: v128, x: v128, w: v128, ones: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD && !isSigned<T>()) return i32x4.relaxed_dot_i8x16_i7x16_add_s(x, w, acc);
  return i32x4.add(acc, i32x4.dot_i16x8_s(pairDots(x, w), ones));
}

/**
 * The upper halves of bytes, 0..15. low: 15 in every byte, upper: 240 in every byte, factor: i16x8 of 2^11: a product
 * rounded to its upper 15 bits is a shift, which costs JavaScriptCore four instructions and two of the CPU's ports.
 */
export function upperHalves(b: v128, low: v128, upper: v128, factor: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return v128.and(i16x8.relaxed_q15mulr_s(v128.and(b, upper), factor), low);
  return v128.and(i16x8.shr_u(b, 4), low);
}
