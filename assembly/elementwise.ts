import { loadFloats, storeFloats } from "./simd";

/** x[n] = min(max(x, −bound), bound); NaN stays. see: MPT clip_qkv */
export function clip(x: usize, n: i32, bound: f32): void {
  for (let i = 0; i < n; i += 4) {
    const at = x + ((<usize>i) << 2);
    const v = f32x4.pmax(loadFloats(at, n - i), f32x4.splat(-bound));
    storeFloats(at, f32x4.pmin(v, f32x4.splat(bound)), n - i);
  }
}
