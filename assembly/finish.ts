import { loadFloats, storeFloats } from "./simd";

/** y[column …] = acc + bias + residual, up to 4 · groups columns, as far as they exist. */
export function finish(
  y: usize,
  bias: usize,
  residual: usize,
  column: usize,
  n: usize,
  acc: usize,
  groups: usize,
): void {
  for (let group: usize = 0; group < groups && column < n; group++) {
    const at = column << 2;
    const count = <i32>(n - column);
    let v = v128.load(acc);
    if (bias) v = f32x4.add(v, loadFloats(bias + at, count));
    if (residual) v = f32x4.add(v, loadFloats(residual + at, count));
    storeFloats(y + at, v, count);
    acc += 16;
    column += 4;
  }
}
