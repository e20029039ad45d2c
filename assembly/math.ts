/**
 * Elementary functions that give the same bits on every engine: only +, −, ·, / and integer operations. The builtin
 * Math functions differ in the last bit between engines, and the standard library's bring data segments.
 */

/**
 * e^x, relative error below 2e-7; 0 below −87.33, about 2.4e38 above 88.37, NaN for NaN.
 * see: Cephes expf (S. Moshier)
 */
export function exp(x: v128): v128 {
  const tooSmall = f32x4.lt(x, f32x4.splat(-87.33));
  const bounded = f32x4.pmax(f32x4.pmin(x, f32x4.splat(88.37)), f32x4.splat(-87.33));
  const n = f32x4.nearest(f32x4.mul(bounded, f32x4.splat(1.44269504088896341)));
  let r = f32x4.sub(bounded, f32x4.mul(n, f32x4.splat(0.693359375)));
  r = f32x4.sub(r, f32x4.mul(n, f32x4.splat(-2.1219444e-4)));
  let y = f32x4.splat(1.98756915e-4);
  y = f32x4.add(f32x4.mul(y, r), f32x4.splat(1.3981999507e-3));
  y = f32x4.add(f32x4.mul(y, r), f32x4.splat(8.3334519073e-3));
  y = f32x4.add(f32x4.mul(y, r), f32x4.splat(4.1665795894e-2));
  y = f32x4.add(f32x4.mul(y, r), f32x4.splat(1.6666665459e-1));
  y = f32x4.add(f32x4.mul(y, r), f32x4.splat(5.0000001201e-1));
  y = f32x4.add(f32x4.mul(f32x4.mul(y, r), r), f32x4.add(r, f32x4.splat(1)));
  const exponent = i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127));
  const power = i32x4.mul(exponent, i32x4.splat(1 << 23));
  return v128.andnot(f32x4.mul(y, power), tooSmall);
}

/** 2^x for x up to 127, relative error below 2e-7; 0 below −126, NaN for NaN. see: Cephes exp2f */
export function exp2(x: v128): v128 {
  const bounded = f32x4.pmax(x, f32x4.splat(-126));
  // Adding 1.5 · 2^23 rounds to the nearest whole number, which is then in the sum's lowest bits.
  const shifted = f32x4.add(bounded, f32x4.splat(12582912));
  const r = f32x4.sub(bounded, f32x4.sub(shifted, f32x4.splat(12582912)));
  let y = f32x4.splat(1.5353361883195e-4);
  y = f32x4.add(f32x4.mul(y, r), f32x4.splat(1.339887440266574e-3));
  y = f32x4.add(f32x4.mul(y, r), f32x4.splat(9.61843735767464e-3));
  y = f32x4.add(f32x4.mul(y, r), f32x4.splat(5.550332471162809e-2));
  y = f32x4.add(f32x4.mul(y, r), f32x4.splat(2.402264791363012e-1));
  y = f32x4.add(f32x4.mul(y, r), f32x4.splat(6.931472028550421e-1));
  y = f32x4.add(f32x4.mul(y, r), f32x4.splat(1));
  const power = i32x4.add(i32x4.shl(shifted, 23), i32x4.splat(127 << 23));
  return v128.andnot(f32x4.mul(y, power), f32x4.lt(x, f32x4.splat(-126)));
}

/** ln x for a normal positive x, relative error below 1e-15: src/base/math.ts has the same. */
export function log(x: f64): f64 {
  const bits = reinterpret<u64>(x);
  let exponent = <f64>(<i64>(bits >> 52) - 1023);
  let mantissa = reinterpret<f64>((bits & ((1 << 52) - 1)) | (1023 << 52));
  if (mantissa > 1.4142135623730951) {
    mantissa *= 0.5;
    exponent += 1;
  }
  // 2 atanh(s), |s| ≤ 0.172
  const s = (mantissa - 1) / (mantissa + 1);
  const square = s * s;
  let sum: f64 = 1.0 / 23.0;
  for (let n: i32 = 21; n >= 1; n -= 2) sum = sum * square + 1.0 / <f64>n;
  return exponent * 6.9314718036912381649e-1 + (2 * s * sum + exponent * 1.90821492927058770002e-10);
}

/** The error function, absolute error below 5e-7. see: Eigen's rational minimax on [−4, 4] */
export function erf(x: v128): v128 {
  const t = f32x4.pmax(f32x4.pmin(x, f32x4.splat(4)), f32x4.splat(-4));
  const s = f32x4.mul(t, t);
  let p = f32x4.splat(-2.72614225801306e-10);
  p = f32x4.add(f32x4.mul(p, s), f32x4.splat(2.77068142495902e-8));
  p = f32x4.add(f32x4.mul(p, s), f32x4.splat(-2.10102402082508e-6));
  p = f32x4.add(f32x4.mul(p, s), f32x4.splat(-5.69250639462346e-5));
  p = f32x4.add(f32x4.mul(p, s), f32x4.splat(-7.34990630326855e-4));
  p = f32x4.add(f32x4.mul(p, s), f32x4.splat(-2.954599803330859e-3));
  p = f32x4.add(f32x4.mul(p, s), f32x4.splat(-1.60960333262415e-2));
  let q = f32x4.splat(-1.45660718464996e-5);
  q = f32x4.add(f32x4.mul(q, s), f32x4.splat(-2.13374055278905e-4));
  q = f32x4.add(f32x4.mul(q, s), f32x4.splat(-1.68282697438203e-3));
  q = f32x4.add(f32x4.mul(q, s), f32x4.splat(-7.37332916720468e-3));
  q = f32x4.add(f32x4.mul(q, s), f32x4.splat(-1.42647390514189e-2));
  return f32x4.div(f32x4.mul(t, p), q);
}

/** The hyperbolic tangent, relative error below 5e-7; NaN for NaN. see: Eigen's rational minimax on ±7.9988 */
export function tanh(x: v128): v128 {
  const t = f32x4.pmax(f32x4.pmin(x, f32x4.splat(7.99881172180175781)), f32x4.splat(-7.99881172180175781));
  const s = f32x4.mul(t, t);
  let p = f32x4.splat(-2.76076847742355e-16);
  p = f32x4.add(f32x4.mul(p, s), f32x4.splat(2.00018790482477e-13));
  p = f32x4.add(f32x4.mul(p, s), f32x4.splat(-8.60467152213735e-11));
  p = f32x4.add(f32x4.mul(p, s), f32x4.splat(5.12229709037114e-8));
  p = f32x4.add(f32x4.mul(p, s), f32x4.splat(1.48572235717979e-5));
  p = f32x4.add(f32x4.mul(p, s), f32x4.splat(6.37261928875436e-4));
  p = f32x4.add(f32x4.mul(p, s), f32x4.splat(4.89352455891786e-3));
  let q = f32x4.splat(1.19825839466702e-6);
  q = f32x4.add(f32x4.mul(q, s), f32x4.splat(1.18534705686654e-4));
  q = f32x4.add(f32x4.mul(q, s), f32x4.splat(2.268434632439e-3));
  q = f32x4.add(f32x4.mul(q, s), f32x4.splat(4.89352518554385e-3));
  return f32x4.div(f32x4.mul(t, p), q);
}

/** An angle's distance from the nearest quarter turn, in radians within ±π/4. `turns`: units of 2^-64 turn. */
function remainder(turns: u64): f64 {
  const quarter = (turns + (1 << 61)) & (3 << 62);
  return <f64>(<i64>(turns - quarter)) * 3.40612158008655459e-19; // 2π / 2^64
}

/** sin on ±π/4. see: fdlibm k_sin.c */
function sinKernel(x: f64): f64 {
  const z = x * x;
  const r =
    8.33333333332248946124e-3 +
    z *
      (-1.98412698298579493134e-4 +
        z * (2.75573137070700676789e-6 + z * (-2.50507602534068634195e-8 + z * 1.58969099521155010221e-10)));
  return x + z * x * (-1.66666666666666324348e-1 + z * r);
}

/** cos on ±π/4. see: fdlibm k_cos.c */
function cosKernel(x: f64): f64 {
  const z = x * x;
  const r =
    4.16666666666666019037e-2 +
    z *
      (-1.38888888888741095749e-3 +
        z *
          (2.48015872894767294178e-5 +
            z * (-2.75573143513906633035e-7 + z * (2.0875723212981748279e-9 + z * -1.13596475577881948265e-11))));
  return 1.0 - (0.5 * z - z * z * r);
}

/** cos of an angle in units of 2^-64 turn, error below 2e-16 before the caller rounds it. */
export function cosTurns(turns: u64): f64 {
  const x = remainder(turns);
  const quadrant = <u32>((turns + (1 << 61)) >> 62);
  const value = quadrant & 1 ? sinKernel(x) : cosKernel(x);
  return quadrant == 1 || quadrant == 2 ? -value : value;
}

/** sin of an angle in units of 2^-64 turn. */
export function sinTurns(turns: u64): f64 {
  return cosTurns(turns - (1 << 62));
}
