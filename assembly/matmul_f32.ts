import { loadFloats, mulAdd, storeFloats, sum4 } from "./simd";

/**
 * y[rows, n] = x[rows, k] · wᵀ + bias, for the panels `first` to `last` of w, f32.
 *
 * Layout of w: [panel of 4 rows][k/4 chunks][4 rows][4 floats], zeros beyond n and k. One stream through memory.
 * Order of additions, for every row of x alike: lane l adds k = l, l + 4, l + 8 …, then (l0 + l1) + (l2 + l3), then bias.
 * Two rows of x share each load of w: 8 accumulators, the most that stays in registers under every engine.
 */
export function matmulF32(
  y: usize,
  x: usize,
  w: usize,
  bias: usize,
  rows: i32,
  n: i32,
  k: i32,
  first: i32,
  last: i32,
): void {
  const whole = (<usize>(k & ~3)) << 2;
  const rest = k & 3;
  const stride = (<usize>k) << 2;
  const panelBytes = (whole << 2) + (rest ? 64 : 0);
  for (let panel = first; panel < last; panel++) {
    const wPanel = w + <usize>panel * panelBytes;
    const column = panel << 2;
    const offset = bias ? v128.load(bias + ((<usize>column) << 2)) : f32x4.splat(0);
    let out = y + ((<usize>column) << 2);
    let x0 = x;
    let row = 0;
    for (; row + 2 <= rows; row += 2) {
      let p = wPanel;
      let a0 = f32x4.splat(0);
      let a1 = a0;
      let a2 = a0;
      let a3 = a0;
      let b0 = a0;
      let b1 = a0;
      let b2 = a0;
      let b3 = a0;
      const end = x0 + whole;
      for (let q = x0; q < end; q += 16) {
        const u = v128.load(q);
        const v = v128.load(q + stride);
        const w0 = v128.load(p);
        a0 = mulAdd(a0, w0, u);
        b0 = mulAdd(b0, w0, v);
        const w1 = v128.load(p, 16);
        a1 = mulAdd(a1, w1, u);
        b1 = mulAdd(b1, w1, v);
        const w2 = v128.load(p, 32);
        a2 = mulAdd(a2, w2, u);
        b2 = mulAdd(b2, w2, v);
        const w3 = v128.load(p, 48);
        a3 = mulAdd(a3, w3, u);
        b3 = mulAdd(b3, w3, v);
        p += 64;
      }
      if (rest) {
        const u = loadFloats(end, rest);
        const v = loadFloats(end + stride, rest);
        a0 = mulAdd(a0, v128.load(p), u);
        a1 = mulAdd(a1, v128.load(p, 16), u);
        a2 = mulAdd(a2, v128.load(p, 32), u);
        a3 = mulAdd(a3, v128.load(p, 48), u);
        b0 = mulAdd(b0, v128.load(p), v);
        b1 = mulAdd(b1, v128.load(p, 16), v);
        b2 = mulAdd(b2, v128.load(p, 32), v);
        b3 = mulAdd(b3, v128.load(p, 48), v);
      }
      storeFloats(out, f32x4.add(sum4(a0, a1, a2, a3), offset), n - column);
      storeFloats(out + ((<usize>n) << 2), f32x4.add(sum4(b0, b1, b2, b3), offset), n - column);
      out += (<usize>n) << 3;
      x0 += stride << 1;
    }
    if (row < rows) {
      let p = wPanel;
      let a0 = f32x4.splat(0);
      let a1 = a0;
      let a2 = a0;
      let a3 = a0;
      const end = x0 + whole;
      for (let q = x0; q < end; q += 16) {
        const u = v128.load(q);
        a0 = mulAdd(a0, v128.load(p), u);
        a1 = mulAdd(a1, v128.load(p, 16), u);
        a2 = mulAdd(a2, v128.load(p, 32), u);
        a3 = mulAdd(a3, v128.load(p, 48), u);
        p += 64;
      }
      if (rest) {
        const u = loadFloats(end, rest);
        a0 = mulAdd(a0, v128.load(p), u);
        a1 = mulAdd(a1, v128.load(p, 16), u);
        a2 = mulAdd(a2, v128.load(p, 32), u);
        a3 = mulAdd(a3, v128.load(p, 48), u);
      }
      storeFloats(out, f32x4.add(sum4(a0, a1, a2, a3), offset), n - column);
    }
  }
}
