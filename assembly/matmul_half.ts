import { even, odd } from "./half";
import { loadFloats, mulAdd, storeFloats, sum4 } from "./simd";

/** Eight floats at `p` of which `count` (1 to 8) exist: numbers 0, 2, 4, 6; the others are 0. */
function evenFloats(p: usize, count: i32): v128 {
  const low = loadFloats(p, min(count, 4));
  const high = count > 4 ? loadFloats(p + 16, count - 4) : f32x4.splat(0);
  return v128.shuffle<f32>(low, high, 0, 2, 4, 6);
}

/** The same: numbers 1, 3, 5, 7. */
function oddFloats(p: usize, count: i32): v128 {
  const low = loadFloats(p, min(count, 4));
  const high = count > 4 ? loadFloats(p + 16, count - 4) : f32x4.splat(0);
  return v128.shuffle<f32>(low, high, 1, 3, 5, 7);
}

/**
 * y[rows, n] = x[rows, k] · wᵀ + bias, for the panels `first` to `last` of w, bf16 or f16.
 *
 * Layout of w: [panel of 4 rows][k/8 chunks][4 rows][8 numbers], zeros beyond n and k.
 * Order of additions, for every row of x alike: lane l adds k = 2l, 2l + 1, 2l + 8, 2l + 9 …, then (l0 + l1) + (l2 + l3),
 * then bias. Weights become f32 exactly, two rows of x share each of them.
 */
export function matmulHalf<T>(
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
  const stride = (<usize>k) << 2;
  const panelBytes = (<usize>((k + 7) >> 3)) << 6;
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
      let q = x0;
      for (let left = k; left > 0; left -= 8) {
        let xe: v128;
        let xo: v128;
        let ye: v128;
        let yo: v128;
        if (left >= 8) {
          xe = v128.shuffle<f32>(v128.load(q), v128.load(q, 16), 0, 2, 4, 6);
          xo = v128.shuffle<f32>(v128.load(q), v128.load(q, 16), 1, 3, 5, 7);
          const r = q + stride;
          ye = v128.shuffle<f32>(v128.load(r), v128.load(r, 16), 0, 2, 4, 6);
          yo = v128.shuffle<f32>(v128.load(r), v128.load(r, 16), 1, 3, 5, 7);
        } else {
          xe = evenFloats(q, left);
          xo = oddFloats(q, left);
          ye = evenFloats(q + stride, left);
          yo = oddFloats(q + stride, left);
        }
        let v = v128.load(p);
        let e = even<T>(v);
        let o = odd<T>(v);
        a0 = mulAdd(mulAdd(a0, e, xe), o, xo);
        b0 = mulAdd(mulAdd(b0, e, ye), o, yo);
        v = v128.load(p, 16);
        e = even<T>(v);
        o = odd<T>(v);
        a1 = mulAdd(mulAdd(a1, e, xe), o, xo);
        b1 = mulAdd(mulAdd(b1, e, ye), o, yo);
        v = v128.load(p, 32);
        e = even<T>(v);
        o = odd<T>(v);
        a2 = mulAdd(mulAdd(a2, e, xe), o, xo);
        b2 = mulAdd(mulAdd(b2, e, ye), o, yo);
        v = v128.load(p, 48);
        e = even<T>(v);
        o = odd<T>(v);
        a3 = mulAdd(mulAdd(a3, e, xe), o, xo);
        b3 = mulAdd(mulAdd(b3, e, ye), o, yo);
        p += 64;
        q += 32;
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
      let q = x0;
      for (let left = k; left > 0; left -= 8) {
        let xe: v128;
        let xo: v128;
        if (left >= 8) {
          xe = v128.shuffle<f32>(v128.load(q), v128.load(q, 16), 0, 2, 4, 6);
          xo = v128.shuffle<f32>(v128.load(q), v128.load(q, 16), 1, 3, 5, 7);
        } else {
          xe = evenFloats(q, left);
          xo = oddFloats(q, left);
        }
        let v = v128.load(p);
        a0 = mulAdd(mulAdd(a0, even<T>(v), xe), odd<T>(v), xo);
        v = v128.load(p, 16);
        a1 = mulAdd(mulAdd(a1, even<T>(v), xe), odd<T>(v), xo);
        v = v128.load(p, 32);
        a2 = mulAdd(mulAdd(a2, even<T>(v), xe), odd<T>(v), xo);
        v = v128.load(p, 48);
        a3 = mulAdd(mulAdd(a3, even<T>(v), xe), odd<T>(v), xo);
        p += 64;
        q += 32;
      }
      storeFloats(out, f32x4.add(sum4(a0, a1, a2, a3), offset), n - column);
    }
  }
}
