import { rowAt } from "./format_f";
import { Bf16, F16, halves, loadHalves } from "./half";
import { blockColumns, Format, isQuantized, sourceBytes } from "./layout";
import { packBlock } from "./quantize";
import { keep, loadFloats } from "./simd";

/** Four stored numbers at `p`, as f32. May read up to 12 bytes past the numbers that exist. */
function read(p: usize, format: Format): v128 {
  if (format == Format.F32) return v128.load(p);
  return format == Format.Bf16 ? loadHalves<Bf16>(p) : loadHalves<F16>(p);
}

/**
 * The lowest lane whose number is not finite, or rounds to infinity in the target format; 4 if all are fine. f16
 * patterns beyond the finite numbers read as 65536 and more.
 */
function firstBad(v: v128, source: Format, target: Format): i32 {
  let bound: f32 = Infinity;
  if (source == Format.F16 || target == Format.F16) bound = 65520;
  else if (target == Format.Bf16) bound = 3.3961775292304957e38;
  return ctz(~i32x4.bitmask(f32x4.lt(f32x4.abs(v), f32x4.splat(bound))) | 16);
}

/**
 * Rows `firstRow` to `firstRow + rows` of a matrix [n, k] from row-major numbers at `src` into the packed matrix `dst`.
 * Zeros in the chunk or block beyond k; rows beyond n stay as they are. scratch: 128 bytes.
 * Returns the index, in src, of the first number that is not finite (or not in the target's range), −1 if there is none.
 * src may be read up to 12 bytes beyond its end.
 */
export function pack(
  dst: usize,
  src: usize,
  firstRow: i32,
  rows: i32,
  k: i32,
  source: Format,
  target: Format,
  columns: usize,
  scratch: usize,
): i32 {
  const width = <usize>sourceBytes(source);
  for (let r = 0; r < rows; r++) {
    const p = src + <usize>r * <usize>k * width;
    const bad = isQuantized(target)
      ? quantizeRow(dst, p, firstRow + r, k, source, target, columns, scratch)
      : packRow(dst, p, firstRow + r, k, source, target);
    if (bad >= 0) return r * k + bad;
  }
  return -1;
}

/** One row in the layout of matmul_f.ts, rounded to nearest even if the target is narrower. */
function packRow(dst: usize, p: usize, row: i32, k: i32, source: Format, target: Format): i32 {
  const width = <usize>sourceBytes(source);
  const perChunk = <i32>blockColumns(target);
  let q = rowAt(dst, row, k, target);
  const exponent = i16x8.splat(target == Format.Bf16 ? 0x7f80 : 0x7c00);
  for (let i = 0; i < k; i += perChunk) {
    if (source == target && width == 2 && i + 8 <= k) {
      // As stored, if all are finite: 0, 4, 1, 5 …
      const v = v128.load(p);
      if (!v128.any_true(i16x8.eq(v128.and(v, exponent), exponent))) {
        v128.store(q, v128.shuffle<u16>(v, v, 0, 4, 1, 5, 2, 6, 3, 7));
        q += 64;
        p += 16;
        continue;
      }
    }
    const low = keep(read(p, source), k - i);
    let bad = firstBad(low, source, target);
    if (bad < 4) return i + bad;
    if (target == Format.F32) {
      v128.store(q, low);
    } else {
      let high = f32x4.splat(0);
      if (i + 4 < k) {
        high = keep(read(p + 4 * width, source), k - i - 4);
        bad = firstBad(high, source, target);
        if (bad < 4) return i + 4 + bad;
      }
      const pairs =
        target == Format.Bf16
          ? v128.or(halves<Bf16>(low), i32x4.shl(halves<Bf16>(high), 16))
          : v128.or(halves<F16>(low), i32x4.shl(halves<F16>(high), 16));
      v128.store(q, pairs);
    }
    q += 64;
    p += <usize>perChunk * width;
  }
  return -1;
}

/** One row, each number times its column's factor, quantised as quantize.ts describes. */
function quantizeRow(
  dst: usize,
  p: usize,
  row: i32,
  k: i32,
  source: Format,
  target: Format,
  columns: usize,
  scratch: usize,
): i32 {
  const width = <usize>sourceBytes(source);
  for (let begin = 0; begin < k; begin += 32) {
    for (let i = 0; i < 32; i += 4) {
      const at = begin + i;
      let v = f32x4.splat(0);
      if (at < k) {
        v = keep(read(p + <usize>at * width, source), k - at);
        if (columns) v = f32x4.mul(v, loadFloats(columns + ((<usize>at) << 2), k - at));
        // Scales are bf16: a block without one there has none here.
        const bad = firstBad(v, source, Format.Bf16);
        if (bad < 4) return at + bad;
      }
      v128.store(scratch + ((<usize>i) << 2), v);
    }
    packBlock(dst, scratch, row, begin >> 5, k, target);
  }
  return -1;
}

/** dst[count] = src[count] as f32; returns as pack does. dst may be written up to 12 bytes beyond its end. */
export function expand(dst: usize, src: usize, count: i32, source: Format): i32 {
  const width = <usize>sourceBytes(source);
  for (let i = 0; i < count; i += 4) {
    const v = keep(read(src + <usize>i * width, source), count - i);
    const bad = firstBad(v, source, Format.F32);
    if (bad < 4) return i + bad;
    v128.store(dst + ((<usize>i) << 2), v);
  }
  return -1;
}

/** The index of the first of `count` f32 numbers that is not finite; −1 if there is none. */
export function firstNonFinite(p: usize, count: i32): i32 {
  for (let i = 0; i < count; i++) {
    if (!isFinite(load<f32>(p + ((<usize>i) << 2)))) return i;
  }
  return -1;
}
