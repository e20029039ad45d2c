import { F16, storeMasks } from "./half";

/**
 * Factors of the formats that keep a file's numbers: f16 whose exponent is biased by 25 instead of 15, without infinities.
 * Every finite f16 below 128 is such a number, exactly, and none is subnormal. Subnormal f16 are common in files (Q6_K of
 * weights below 0.1), and placed in an f32 as half.ts does they are subnormal f32, which cost Intel's CPUs 150 cycles each.
 */

/** What the exponent is too small by, placed in an f32. */
const BIAS = 102;
/** The first number that has no factor. */
const LIMIT: f32 = 128;

/** Stores the f16 `value`, which is given as f32; false if it is too large. */
export function storeFactor(p: usize, value: f32): bool {
  const bits = reinterpret<u32>(value);
  const magnitude = bits & 0x7fffffff;
  if (magnitude >= reinterpret<u32>(LIMIT)) return false;
  store<u16>(p, ((bits >> 16) & 0x8000) | (magnitude ? (magnitude >> 13) - (BIAS << 10) : 0));
  return true;
}

export function factorAt(p: usize): f32 {
  const bits = <u32>load<u16>(p);
  const magnitude = bits & 0x7fff;
  return reinterpret<f32>(((bits & 0x8000) << 16) | (magnitude ? (magnitude + (BIAS << 10)) << 13 : 0));
}

/** Constants of evenFactors and oddFactors, stored in memory from `masks` on: those of f16 but for the bias. */
export function storeFactorMasks(masks: usize): void {
  storeMasks<F16>(masks);
  v128.store(masks, i32x4.splat((BIAS + 127) << 23), 48);
}

/** Factors 0, 2, 4, 6 of eight, as f32; exact. */
export function evenFactors(v: v128, masks: usize): v128 {
  return f32x4.mul(v128.and(i32x4.dot_i16x8_s(v, v128.load(masks)), v128.load(masks, 32)), v128.load(masks, 48));
}

/** Factors 1, 3, 5, 7. */
export function oddFactors(v: v128, masks: usize): v128 {
  return f32x4.mul(v128.and(i32x4.dot_i16x8_s(v, v128.load(masks, 16)), v128.load(masks, 32)), v128.load(masks, 48));
}
