import { finish } from "./finish";
import { evenBy, oddBy, storeMasks } from "./half";
import { BlockBytes, BlockColumns } from "./layout";
import { loadFloats, mulAdd, sum4 } from "./simd";

/**
 * y[rows, n] = x[rows, k] · wᵀ + bias + residual, for the panels `first` to `last` of w; T is f32, Bf16 or F16.
 *
 * Layout of w: panels of 4 rows: [chunks][4 rows][16 bytes], zeros beyond n and k. A chunk is 4 columns of f32, or 8 of a
 * 16-bit format in the order 0, 4, 1, 5, 2, 6, 3, 7, so that its even places are the first four columns.
 *
 * Order of additions, for every row of x and every format alike: lane l adds k = l, l + 4, l + 8 …, then
 * (l0 + l1) + (l2 + l3), then bias, then residual. Weights become f32 exactly. `streams`: in how many places at once the
 * weights are read; changes no result. scratch: WorkBytes.
 */
export function matmulF<T>(
  y: usize,
  x: usize,
  w: usize,
  bias: usize,
  residual: usize,
  rows: usize,
  n: usize,
  k: usize,
  first: usize,
  last: usize,
  streams: usize,
  scratch: usize,
): void {
  storeMasks<T>(scratch + 256);
  if (rows == 1) {
    panels<T>(y, x, w, bias, residual, n, k, first, last, streams, scratch);
    return;
  }
  const xStride = k << 2;
  const yStride = n << 2;
  for (let panel = first; panel < last; panel++) {
    const p = w + panel * panelBytes<T>(k);
    let row: usize = 0;
    for (; row + 2 <= rows; row += 4) {
      const some = min<usize>(rows - row, 4);
      fourRows<T>(x + row * xStride, some, k, p, scratch, scratch + 256);
      fourRows<T>(x + row * xStride, some, k, p + 32, scratch + 8, scratch + 256);
      for (let i: usize = 0; i < some; i++) {
        const at = (row + i) * yStride;
        finish(y + at, bias, residual ? residual + at : 0, panel << 2, n, scratch + (i << 4), 1);
      }
    }
    if (row < rows) {
      const at = row * yStride;
      const added = residual ? residual + at : 0;
      panels<T>(y + at, x + row * xStride, w, bias, added, n, k, panel, panel + 1, 1, scratch);
    }
  }
}

/** Columns of a chunk. */
function chunk<T>(): usize {
  return sizeof<T>() == 4 ? BlockColumns.F32 : BlockColumns.Half;
}

function panelBytes<T>(k: usize): usize {
  return ((k + chunk<T>() - 1) / chunk<T>()) * BlockBytes.Float;
}

/**
 * One row of x through the panels `first` to `last`, of which `streams` are read at a time, alternating every 512
 * bytes.
 */
function panels<T>(
  y: usize,
  x: usize,
  w: usize,
  bias: usize,
  residual: usize,
  n: usize,
  k: usize,
  first: usize,
  last: usize,
  streams: usize,
  scratch: usize,
): void {
  const each = (last - first + streams - 1) / streams;
  const apart = each * panelBytes<T>(k);
  for (let panel = first; panel < first + each; panel++) {
    let active: usize = 0;
    for (let other = panel; active < streams && other < last; other += each) active++;
    memory.fill(scratch, 0, active << 6);
    let p = w + panel * panelBytes<T>(k);
    for (let column: usize = 0; column < k; column += chunk<T>() << 3) {
      const columns = min(chunk<T>() << 3, k - column);
      let q = p;
      for (let stream: usize = 0; stream < active; stream++) {
        oneBlock<T>(scratch + (stream << 6), q, x + (column << 2), columns, scratch + 256);
        q += apart;
      }
      p += 512;
    }
    for (let stream: usize = 0; stream < active; stream++) {
      const acc = scratch + (stream << 6);
      v128.store(acc, sum4(v128.load(acc), v128.load(acc, 16), v128.load(acc, 32), v128.load(acc, 48)));
      finish(y, bias, residual, (panel + stream * each) << 2, n, acc, 1);
    }
  }
}

/** acc[4 rows of w][4 lanes] += `columns` of one row of x times those of one panel. */
function oneBlock<T>(acc: usize, p: usize, x: usize, columns: usize, masks: usize): void {
  const evens = v128.load(masks);
  const odds = v128.load(masks, 16);
  const bits = v128.load(masks, 32);
  const scale = v128.load(masks, 48);
  let a0 = v128.load(acc);
  let a1 = v128.load(acc, 16);
  let a2 = v128.load(acc, 32);
  let a3 = v128.load(acc, 48);
  const rest = <i32>(columns & (chunk<T>() - 1));
  const end = x + ((columns - rest) << 2);
  for (; x < end; x += chunk<T>() << 2) {
    const u = v128.load(x);
    const w0 = v128.load(p);
    const w1 = v128.load(p, 16);
    const w2 = v128.load(p, 32);
    const w3 = v128.load(p, 48);
    a0 = mulAdd(a0, firstFour<T>(w0, evens, bits, scale), u);
    a1 = mulAdd(a1, firstFour<T>(w1, evens, bits, scale), u);
    a2 = mulAdd(a2, firstFour<T>(w2, evens, bits, scale), u);
    a3 = mulAdd(a3, firstFour<T>(w3, evens, bits, scale), u);
    if (sizeof<T>() == 2) {
      const v = v128.load(x, 16);
      a0 = mulAdd(a0, oddBy<T>(w0, odds, bits, scale), v);
      a1 = mulAdd(a1, oddBy<T>(w1, odds, bits, scale), v);
      a2 = mulAdd(a2, oddBy<T>(w2, odds, bits, scale), v);
      a3 = mulAdd(a3, oddBy<T>(w3, odds, bits, scale), v);
    }
    p += 64;
  }
  if (rest) {
    const u = loadFloats(x, rest);
    const v = rest > 4 ? loadFloats(x + 16, rest - 4) : f32x4.splat(0);
    a0 = addChunk<T>(a0, v128.load(p), u, v, evens, odds, bits, scale);
    a1 = addChunk<T>(a1, v128.load(p, 16), u, v, evens, odds, bits, scale);
    a2 = addChunk<T>(a2, v128.load(p, 32), u, v, evens, odds, bits, scale);
    a3 = addChunk<T>(a3, v128.load(p, 48), u, v, evens, odds, bits, scale);
  }
  v128.store(acc, a0);
  v128.store(acc, a1, 16);
  v128.store(acc, a2, 32);
  v128.store(acc, a3, 48);
}

/** The first four columns of a chunk. */
function firstFour<T>(w: v128, evens: v128, bits: v128, scale: v128): v128 {
  return sizeof<T>() == 4 ? w : evenBy<T>(w, evens, bits, scale);
}

/** acc + a whole chunk times u, and v where there are eight columns. */
function addChunk<T>(acc: v128, w: v128, u: v128, v: v128, evens: v128, odds: v128, bits: v128, scale: v128): v128 {
  const first = mulAdd(acc, firstFour<T>(w, evens, bits, scale), u);
  return sizeof<T>() == 4 ? first : mulAdd(first, oddBy<T>(w, odds, bits, scale), v);
}

/**
 * sums[4 rows, 2 of 4 columns] of four rows of x through two rows of a panel. Of fewer than four rows (2 or 3) the last is
 * computed more than once.
 */
function fourRows<T>(x: usize, rows: usize, k: usize, p: usize, sums: usize, masks: usize): void {
  const evens = v128.load(masks);
  const odds = v128.load(masks, 16);
  const bits = v128.load(masks, 32);
  const scale = v128.load(masks, 48);
  const x1 = k << 2;
  const x2 = rows > 2 ? x1 * 2 : x1;
  const x3 = rows > 3 ? x1 * 3 : x2;
  const rest = <i32>(k & (chunk<T>() - 1));
  const end = x + ((k - rest) << 2);
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let b0 = a0;
  let b1 = a0;
  let c0 = a0;
  let c1 = a0;
  let d0 = a0;
  let d1 = a0;
  for (; x < end; x += chunk<T>() << 2) {
    const v0 = v128.load(p);
    const v1 = v128.load(p, 16);
    let w0 = firstFour<T>(v0, evens, bits, scale);
    let w1 = firstFour<T>(v1, evens, bits, scale);
    let u = v128.load(x);
    a0 = mulAdd(a0, w0, u);
    a1 = mulAdd(a1, w1, u);
    u = v128.load(x + x1);
    b0 = mulAdd(b0, w0, u);
    b1 = mulAdd(b1, w1, u);
    u = v128.load(x + x2);
    c0 = mulAdd(c0, w0, u);
    c1 = mulAdd(c1, w1, u);
    u = v128.load(x + x3);
    d0 = mulAdd(d0, w0, u);
    d1 = mulAdd(d1, w1, u);
    if (sizeof<T>() == 2) {
      w0 = oddBy<T>(v0, odds, bits, scale);
      w1 = oddBy<T>(v1, odds, bits, scale);
      u = v128.load(x, 16);
      a0 = mulAdd(a0, w0, u);
      a1 = mulAdd(a1, w1, u);
      u = v128.load(x + x1, 16);
      b0 = mulAdd(b0, w0, u);
      b1 = mulAdd(b1, w1, u);
      u = v128.load(x + x2, 16);
      c0 = mulAdd(c0, w0, u);
      c1 = mulAdd(c1, w1, u);
      u = v128.load(x + x3, 16);
      d0 = mulAdd(d0, w0, u);
      d1 = mulAdd(d1, w1, u);
    }
    p += 64;
  }
  if (rest) {
    const w0 = v128.load(p);
    const w1 = v128.load(p, 16);
    for (let row = 0; row < 4; row++) {
      const at = x + (row == 0 ? 0 : row == 1 ? x1 : row == 2 ? x2 : x3);
      const u = loadFloats(at, rest);
      const v = rest > 4 ? loadFloats(at + 16, rest - 4) : f32x4.splat(0);
      if (row == 0) {
        a0 = addChunk<T>(a0, w0, u, v, evens, odds, bits, scale);
        a1 = addChunk<T>(a1, w1, u, v, evens, odds, bits, scale);
      } else if (row == 1) {
        b0 = addChunk<T>(b0, w0, u, v, evens, odds, bits, scale);
        b1 = addChunk<T>(b1, w1, u, v, evens, odds, bits, scale);
      } else if (row == 2) {
        c0 = addChunk<T>(c0, w0, u, v, evens, odds, bits, scale);
        c1 = addChunk<T>(c1, w1, u, v, evens, odds, bits, scale);
      } else {
        d0 = addChunk<T>(d0, w0, u, v, evens, odds, bits, scale);
        d1 = addChunk<T>(d1, w1, u, v, evens, odds, bits, scale);
      }
    }
  }
  const ab = sum4(a0, a1, b0, b1);
  const cd = sum4(c0, c1, d0, d1);
  v128.store64_lane(sums, ab, 0);
  v128.store64_lane(sums, ab, 1, 16);
  v128.store64_lane(sums, cd, 0, 32);
  v128.store64_lane(sums, cd, 1, 48);
}
