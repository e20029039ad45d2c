import { tanh } from "./math";
import { loadFloats, storeFloats } from "./simd";

/** y[n] = min(max(x, −bound), bound); NaN stays. see: MPT clip_qkv */
export function clip(y: usize, x: usize, n: i32, bound: f32): void {
  for (let i = 0; i < n; i += 4) {
    const at = (<usize>i) << 2;
    const v = f32x4.pmax(loadFloats(x + at, n - i), f32x4.splat(-bound));
    storeFloats(y + at, f32x4.pmin(v, f32x4.splat(bound)), n - i);
  }
}

/** y[n] = factor · x */
export function scale(y: usize, x: usize, n: i32, factor: f32): void {
  for (let i = 0; i < n; i += 4) {
    const at = (<usize>i) << 2;
    storeFloats(y + at, f32x4.mul(loadFloats(x + at, n - i), f32x4.splat(factor)), n - i);
  }
}

/** y[n] = cap · tanh(x / cap) for finite x. see: HF Gemma2ForCausalLM, final_logit_softcapping */
export function softCap(y: usize, x: usize, n: i32, cap: f32): void {
  for (let i = 0; i < n; i += 4) {
    const at = (<usize>i) << 2;
    storeFloats(y + at, capped(loadFloats(x + at, n - i), f32x4.splat(cap)), n - i);
  }
}

/** cap · tanh(x / cap), lane by lane. */
export function capped(x: v128, cap: v128): v128 {
  return f32x4.mul(cap, tanh(f32x4.div(x, cap)));
}
