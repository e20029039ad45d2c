import { loadFloats, mulAdd, storeFloats, sum } from "./simd";

/**
 * y[dim] = x · 1/sqrt(mean(x²) + eps) · weight + residual; residual 0: none. see: HF LlamaRMSNorm
 * Order of additions: lane l adds i = l, l + 4 …, then (l0 + l1) + (l2 + l3).
 */
export function rmsNorm(y: usize, x: usize, weight: usize, residual: usize, dim: i32, eps: f32): void {
  let squares = f32x4.splat(0);
  for (let i = 0; i < dim; i += 4) {
    const v = loadFloats(x + ((<usize>i) << 2), dim - i);
    squares = mulAdd(squares, v, v);
  }
  const factor = f32x4.splat(<f32>1 / sqrt<f32>(sum(squares) / <f32>dim + eps));
  for (let i = 0; i < dim; i += 4) {
    const at = (<usize>i) << 2;
    let v = f32x4.mul(f32x4.mul(loadFloats(x + at, dim - i), factor), loadFloats(weight + at, dim - i));
    if (residual) v = f32x4.add(loadFloats(residual + at, dim - i), v);
    storeFloats(y + at, v, dim - i);
  }
}

/** y[dim] = (x − mean) · 1/sqrt(variance + eps) · weight + bias; bias 0: none. see: torch.nn.LayerNorm */
export function layerNorm(y: usize, x: usize, weight: usize, bias: usize, dim: i32, eps: f32): void {
  let total = f32x4.splat(0);
  for (let i = 0; i < dim; i += 4) total = f32x4.add(total, loadFloats(x + ((<usize>i) << 2), dim - i));
  const mean = sum(total) / <f32>dim;
  const means = f32x4.splat(mean);
  let squares = f32x4.splat(0);
  const whole = dim & ~3;
  for (let i = 0; i < whole; i += 4) {
    const v = f32x4.sub(v128.load(x + ((<usize>i) << 2)), means);
    squares = mulAdd(squares, v, v);
  }
  let variance = sum(squares);
  for (let i = whole; i < dim; i++) {
    const v = load<f32>(x + ((<usize>i) << 2)) - mean;
    variance += v * v;
  }
  const factor = f32x4.splat(<f32>1 / sqrt<f32>(variance / <f32>dim + eps));
  for (let i = 0; i < dim; i += 4) {
    const at = (<usize>i) << 2;
    let v = f32x4.mul(f32x4.sub(loadFloats(x + at, dim - i), means), factor);
    v = f32x4.mul(v, loadFloats(weight + at, dim - i));
    if (bias) v = f32x4.add(v, loadFloats(bias + at, dim - i));
    storeFloats(y + at, v, dim - i);
  }
}
