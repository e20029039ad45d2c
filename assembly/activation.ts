import { erf, exp } from "./math";
import { loadFloats, storeFloats } from "./simd";

/** y[n] = silu(gate) · up, silu(g) = g / (1 + e^−g). see: HF LlamaMLP */
export function siluMul(y: usize, gate: usize, up: usize, n: i32): void {
  for (let i = 0; i < n; i += 4) {
    const at = (<usize>i) << 2;
    const g = loadFloats(gate + at, n - i);
    const silu = f32x4.div(g, f32x4.add(f32x4.splat(1), exp(f32x4.neg(g))));
    storeFloats(y + at, f32x4.mul(silu, loadFloats(up + at, n - i)), n - i);
  }
}

/** y[n] = x · (1 + erf(x / √2)) / 2. see: torch.nn.GELU("none"), MPT */
export function gelu(y: usize, x: usize, n: i32): void {
  for (let i = 0; i < n; i += 4) {
    const at = (<usize>i) << 2;
    const v = loadFloats(x + at, n - i);
    const phi = f32x4.add(f32x4.splat(1), erf(f32x4.mul(v, f32x4.splat(0.70710678118654752))));
    storeFloats(y + at, f32x4.mul(f32x4.mul(v, f32x4.splat(0.5)), phi), n - i);
  }
}

/**
 * x · (1 + tanh(u)) / 2 with u = √(2/π) · (x + 0.044715 x³), computed as x / (1 + e^−2u), which loses nothing to
 * cancellation. see: HF NewGELUActivation, GPT-J
 */
function geluTanhOf(v: v128): v128 {
  const cubic = f32x4.mul(f32x4.mul(f32x4.mul(v, v), v), f32x4.splat(0.044715));
  const u = f32x4.mul(f32x4.add(v, cubic), f32x4.splat(-1.5957691216057308)); // −2 √(2/π)
  return f32x4.div(v, f32x4.add(f32x4.splat(1), exp(u)));
}

/** y[n] = geluTanh(x). */
export function geluTanh(y: usize, x: usize, n: i32): void {
  for (let i = 0; i < n; i += 4) {
    const at = (<usize>i) << 2;
    storeFloats(y + at, geluTanhOf(loadFloats(x + at, n - i)), n - i);
  }
}

/** y[n] = geluTanh(gate) · up. see: HF Gemma2MLP */
export function geluTanhMul(y: usize, gate: usize, up: usize, n: i32): void {
  for (let i = 0; i < n; i += 4) {
    const at = (<usize>i) << 2;
    const v = geluTanhOf(loadFloats(gate + at, n - i));
    storeFloats(y + at, f32x4.mul(v, loadFloats(up + at, n - i)), n - i);
  }
}
