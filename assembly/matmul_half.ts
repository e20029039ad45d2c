import { even, odd } from "./half";
import { loadFloats, mulAdd, storeFloats, sum4 } from "./simd";

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
  const panelBytes = (<usize>((k + 7) >> 3)) << 6;
  const stride = (<usize>k) << 2;
  for (let panel = first; panel < last; panel++) {
    const p = w + <usize>panel * panelBytes;
    const column = panel << 2;
    const offset = bias ? v128.load(bias + ((<usize>column) << 2)) : f32x4.splat(0);
    let out = y + ((<usize>column) << 2);
    let q = x;
    let row = 0;
    for (; row + 2 <= rows; row += 2) {
      twoRows<T>(out, q, p, n, k, offset, n - column);
      out += (<usize>n) << 3;
      q += stride << 1;
    }
    if (row < rows) oneRow<T>(out, q, p, k, offset, n - column);
  }
}

/** One row of x through one panel. */
function oneRow<T>(y: usize, x: usize, p: usize, k: i32, offset: v128, count: i32): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  const end = x + ((<usize>(k & ~7)) << 2);
  for (; x < end; x += 32) {
    const low = v128.load(x);
    const high = v128.load(x, 16);
    const xe = v128.shuffle<f32>(low, high, 0, 2, 4, 6);
    const xo = v128.shuffle<f32>(low, high, 1, 3, 5, 7);
    const w0 = v128.load(p);
    const w1 = v128.load(p, 16);
    const w2 = v128.load(p, 32);
    const w3 = v128.load(p, 48);
    a0 = mulAdd(a0, even<T>(w0), xe);
    a1 = mulAdd(a1, even<T>(w1), xe);
    a2 = mulAdd(a2, even<T>(w2), xe);
    a3 = mulAdd(a3, even<T>(w3), xe);
    a0 = mulAdd(a0, odd<T>(w0), xo);
    a1 = mulAdd(a1, odd<T>(w1), xo);
    a2 = mulAdd(a2, odd<T>(w2), xo);
    a3 = mulAdd(a3, odd<T>(w3), xo);
    p += 64;
  }
  if (k & 7) {
    const xe = evenFloats(x, k & 7);
    const xo = oddFloats(x, k & 7);
    a0 = mulAdd(mulAdd(a0, even<T>(v128.load(p)), xe), odd<T>(v128.load(p)), xo);
    a1 = mulAdd(mulAdd(a1, even<T>(v128.load(p, 16)), xe), odd<T>(v128.load(p, 16)), xo);
    a2 = mulAdd(mulAdd(a2, even<T>(v128.load(p, 32)), xe), odd<T>(v128.load(p, 32)), xo);
    a3 = mulAdd(mulAdd(a3, even<T>(v128.load(p, 48)), xe), odd<T>(v128.load(p, 48)), xo);
  }
  storeFloats(y, f32x4.add(sum4(a0, a1, a2, a3), offset), count);
}

/** Two rows of x, k floats each, through one panel; n floats between their outputs. */
function twoRows<T>(y: usize, x: usize, p: usize, n: i32, k: i32, offset: v128, count: i32): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  const second = x + ((<usize>k) << 2);
  const bytes = (<usize>(k & ~7)) << 2;
  for (let at: usize = 0; at < bytes; at += 32) {
    const xe = v128.shuffle<f32>(v128.load(x + at), v128.load(x + at, 16), 0, 2, 4, 6);
    const xo = v128.shuffle<f32>(v128.load(x + at), v128.load(x + at, 16), 1, 3, 5, 7);
    const ye = v128.shuffle<f32>(v128.load(second + at), v128.load(second + at, 16), 0, 2, 4, 6);
    const yo = v128.shuffle<f32>(v128.load(second + at), v128.load(second + at, 16), 1, 3, 5, 7);
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
  }
  if (k & 7) {
    const xe = evenFloats(x + bytes, k & 7);
    const xo = oddFloats(x + bytes, k & 7);
    const ye = evenFloats(second + bytes, k & 7);
    const yo = oddFloats(second + bytes, k & 7);
    a0 = mulAdd(mulAdd(a0, even<T>(v128.load(p)), xe), odd<T>(v128.load(p)), xo);
    a1 = mulAdd(mulAdd(a1, even<T>(v128.load(p, 16)), xe), odd<T>(v128.load(p, 16)), xo);
    a2 = mulAdd(mulAdd(a2, even<T>(v128.load(p, 32)), xe), odd<T>(v128.load(p, 32)), xo);
    a3 = mulAdd(mulAdd(a3, even<T>(v128.load(p, 48)), xe), odd<T>(v128.load(p, 48)), xo);
    b0 = mulAdd(mulAdd(b0, even<T>(v128.load(p)), ye), odd<T>(v128.load(p)), yo);
    b1 = mulAdd(mulAdd(b1, even<T>(v128.load(p, 16)), ye), odd<T>(v128.load(p, 16)), yo);
    b2 = mulAdd(mulAdd(b2, even<T>(v128.load(p, 32)), ye), odd<T>(v128.load(p, 32)), yo);
    b3 = mulAdd(mulAdd(b3, even<T>(v128.load(p, 48)), ye), odd<T>(v128.load(p, 48)), yo);
  }
  storeFloats(y, f32x4.add(sum4(a0, a1, a2, a3), offset), count);
  storeFloats(y + ((<usize>n) << 2), f32x4.add(sum4(b0, b1, b2, b3), offset), count);
}

/** Eight floats at `p` of which `count` (1 to 7) exist: numbers 0, 2, 4, 6; the others are 0. */
function evenFloats(p: usize, count: i32): v128 {
  return v128.shuffle<f32>(loadFloats(p, min(count, 4)), upperFloats(p, count), 0, 2, 4, 6);
}

/** The same: numbers 1, 3, 5, 7. */
function oddFloats(p: usize, count: i32): v128 {
  return v128.shuffle<f32>(loadFloats(p, min(count, 4)), upperFloats(p, count), 1, 3, 5, 7);
}

function upperFloats(p: usize, count: i32): v128 {
  return count > 4 ? loadFloats(p + 16, count - 4) : f32x4.splat(0);
}
