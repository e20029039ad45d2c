/**
 * 32 columns of one row as every quantised form has them, a file's or a panel's: number i is worth
 * (d · S[i / 16]) · q[i] − dm · M[i / 16], in f32. Byte offsets of its fields.
 */
export enum Stretch {
  /** i8[32] */
  q = 0,
  /** f32 */
  d = 32,
  dm = 36,
  /** i32[2] */
  S = 40,
  M = 48,
  Bytes = 64,
}

/** Scales without factors: S 1, dm and M 0. */
export function setPlain(stretch: usize, d: f32): void {
  store<f32>(stretch, d, Stretch.d);
  store<f32>(stretch, 0, Stretch.dm);
  setFactors(stretch, 1, 1, 0, 0);
}

export function setFactors(stretch: usize, s0: i32, s1: i32, m0: i32, m1: i32): void {
  store<i32>(stretch, s0, Stretch.S);
  store<i32>(stretch, s1, Stretch.S + 4);
  store<i32>(stretch, m0, Stretch.M);
  store<i32>(stretch, m1, Stretch.M + 4);
}

/** y[32] = what its numbers are worth; y may be the stretch itself. */
export function stretchValues(y: usize, stretch: usize): void {
  const first = v128.load(stretch);
  const last = v128.load(stretch, 16);
  const d = load<f32>(stretch, Stretch.d);
  const dm = load<f32>(stretch, Stretch.dm);
  const s = d * <f32>load<i32>(stretch, Stretch.S + 4);
  const m = dm * <f32>load<i32>(stretch, Stretch.M + 4);
  sixteen(y, first, d * <f32>load<i32>(stretch, Stretch.S), dm * <f32>load<i32>(stretch, Stretch.M));
  sixteen(y + 64, last, s, m);
}

/** y[16] = scale · q − minimum. */
function sixteen(y: usize, q: v128, scale: f32, minimum: f32): void {
  const low = i16x8.extend_low_i8x16_s(q);
  const high = i16x8.extend_high_i8x16_s(q);
  const s = f32x4.splat(scale);
  const m = f32x4.splat(minimum);
  v128.store(y, f32x4.sub(f32x4.mul(s, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low))), m));
  v128.store(y, f32x4.sub(f32x4.mul(s, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low))), m), 16);
  v128.store(y, f32x4.sub(f32x4.mul(s, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high))), m), 32);
  v128.store(y, f32x4.sub(f32x4.mul(s, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high))), m), 48);
}
