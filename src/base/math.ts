/**
 * e^x and ln x in f64 from +, −, ·, / and bit operations only, so that every engine gives the same bits: Math.exp and
 * Math.log differ in the last one. Everything that reaches a sampled id uses these.
 */
const LN2_HIGH = 6.9314718036912381649e-1;
const LN2_LOW = 1.90821492927058770002e-10;

const double = new Float64Array(1);
const words = new Uint32Array(double.buffer);
/** Which of the two words holds sign and exponent. */
const HIGH = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1 ? 1 : 0;

/** 2^n for −1022 ≤ n ≤ 1023. */
function powerOfTwo(n: number): number {
  words[1 - HIGH] = 0;
  words[HIGH] = (n + 1023) << 20;
  return double[0] as number;
}

/** e^x, relative error below 1e-15; 0 below −708, Infinity above 709. */
export function exp(x: number): number {
  if (x < -708) return 0;
  if (x > 709) return Infinity;
  const n = Math.floor(x * 1.4426950408889634 + 0.5);
  const r = x - n * LN2_HIGH - n * LN2_LOW;
  // Taylor to the 13th power: |r| ≤ 0.35. Written out: a loop over the terms takes twice as long.
  let sum = 1 / 6227020800;
  sum = sum * r + 1 / 479001600;
  sum = sum * r + 1 / 39916800;
  sum = sum * r + 1 / 3628800;
  sum = sum * r + 1 / 362880;
  sum = sum * r + 1 / 40320;
  sum = sum * r + 1 / 5040;
  sum = sum * r + 1 / 720;
  sum = sum * r + 1 / 120;
  sum = sum * r + 1 / 24;
  sum = sum * r + 1 / 6;
  sum = sum * r + 1 / 2;
  sum = sum * r + 1;
  sum = sum * r + 1;
  return sum * powerOfTwo(n);
}

/** ln x for a normal positive x, relative error below 1e-15. */
export function log(x: number): number {
  double[0] = x;
  const high = words[HIGH] as number;
  let exponent = (high >>> 20) - 1023;
  words[HIGH] = (high & 0xfffff) | 0x3ff00000;
  let mantissa = double[0];
  if (mantissa > 1.4142135623730951) {
    mantissa /= 2;
    exponent++;
  }
  // 2 atanh(s), |s| ≤ 0.172
  const s = (mantissa - 1) / (mantissa + 1);
  const square = s * s;
  let sum = 1 / 23;
  for (let n = 21; n >= 1; n -= 2) sum = sum * square + 1 / n;
  return exponent * LN2_HIGH + (2 * s * sum + exponent * LN2_LOW);
}
