import { rowAt } from "./format_f";
import { readBlock } from "./ggml";
import { Bf16, F16, halves, loadHalves } from "./half";
import { blockColumns, Format, isQuantized, Source, SourceColumns, sourceBytes, sourceColumns } from "./layout";
import { storeStretch } from "./panel_q";
import { packBlock } from "./quantize";
import { keep, loadFloats } from "./simd";
import { stretchValues } from "./stretch";

/** Four stored numbers at `p`, as f32. May read up to 12 bytes past the numbers that exist. */
function read(p: usize, source: Source): v128 {
  if (source == Source.F32) return v128.load(p);
  return source == Source.Bf16 ? loadHalves<Bf16>(p) : loadHalves<F16>(p);
}

/**
 * The lowest lane whose number is not finite, or rounds to infinity in the target format; 4 if all are fine. f16
 * patterns beyond the finite numbers read as 65536 and more.
 */
function firstBad(v: v128, source: Source, target: Format): i32 {
  let bound: f32 = Infinity;
  if (source == Source.F16 || target == Format.F16) bound = 65520;
  else if (target == Format.Bf16) bound = 3.3961775292304957e38;
  return ctz(~i32x4.bitmask(f32x4.lt(f32x4.abs(v), f32x4.splat(bound))) | 16);
}

/**
 * `rows` rows of a matrix [n, k], from row-major numbers or blocks at `src`, into the packed matrix `dst`: as its rows
 * `firstRow` and those after it, or as those that u32[rows] at `places` says. Zeros in the chunk or block beyond k; other
 * rows stay as they are. scratch: 192 bytes.
 * Returns the index, in src, of the first number that is not finite (or not in the target's range), −1 if there is none;
 * of a block whose scales are not finite the first number. src may be read up to 12 bytes beyond its end.
 */
export function pack(
  dst: usize,
  src: usize,
  firstRow: i32,
  places: usize,
  rows: i32,
  k: i32,
  source: Source,
  target: Format,
  columns: usize,
  scratch: usize,
): i32 {
  const stride = <usize>(k / <i32>sourceColumns(source)) * <usize>sourceBytes(source);
  for (let r = 0; r < rows; r++) {
    const p = src + <usize>r * stride;
    const row = places ? load<i32>(places + ((<usize>r) << 2)) : firstRow + r;
    let bad: i32;
    if (sourceColumns(source) > SourceColumns.One) bad = packBlocks(dst, p, row, k, source, target, columns, scratch);
    else if (isQuantized(target)) bad = quantizeRow(dst, p, row, k, source, target, columns, scratch);
    else bad = packRow(rowAt(dst, row, k, target), p, k, source, target);
    if (bad >= 0) return r * k + bad;
  }
  return -1;
}

/** One row of ggml's blocks: its numbers as they are if the target keeps them. */
function packBlocks(
  dst: usize,
  p: usize,
  row: i32,
  k: i32,
  source: Source,
  target: Format,
  columns: usize,
  scratch: usize,
): i32 {
  const parts = <i32>sourceColumns(source) >> 5;
  const stretch = scratch + 128;
  // Numbers of MXFP4 are small whole numbers times a power of two.
  const kept = target >= Format.Q8_0 || (source == Source.MXFP4 && target == Format.Q8 && !columns);
  for (let block = 0; block << 5 < k; block++) {
    const begin = block << 5;
    const part = block % parts;
    if (!readBlock(stretch, p, part, source)) return begin - (part << 5);
    if (part == parts - 1) p += <usize>sourceBytes(source);
    let bad = -1;
    if (kept) {
      if (!storeStretch(dst, stretch, row, block, k, target)) bad = 0;
    } else {
      stretchValues(scratch, stretch);
      if (isQuantized(target)) {
        bad = quantize32(dst, scratch, row, begin, k, Source.F32, target, columns, scratch);
      } else {
        const chunk = <usize>(begin / <i32>blockColumns(target));
        bad = packRow(rowAt(dst, row, k, target) + (chunk << 6), scratch, 32, Source.F32, target);
      }
    }
    if (bad >= 0) return begin + bad;
  }
  return -1;
}

/** `count` numbers of a row in the layout of matmul_f.ts from q on, rounded to nearest even if the target is narrower. */
function packRow(q: usize, p: usize, count: i32, source: Source, target: Format): i32 {
  const width = <usize>sourceBytes(source);
  const perChunk = <i32>blockColumns(target);
  const exponent = i16x8.splat(target == Format.Bf16 ? 0x7f80 : 0x7c00);
  for (let i = 0; i < count; i += perChunk) {
    if (<i32>source == <i32>target && width == 2 && i + 8 <= count) {
      // As stored, if all are finite: 0, 4, 1, 5 …
      const v = v128.load(p);
      if (!v128.any_true(i16x8.eq(v128.and(v, exponent), exponent))) {
        v128.store(q, v128.shuffle<u16>(v, v, 0, 4, 1, 5, 2, 6, 3, 7));
        q += 64;
        p += 16;
        continue;
      }
    }
    const low = keep(read(p, source), count - i);
    let bad = firstBad(low, source, target);
    if (bad < 4) return i + bad;
    if (target == Format.F32) {
      v128.store(q, low);
    } else {
      let high = f32x4.splat(0);
      if (i + 4 < count) {
        high = keep(read(p + 4 * width, source), count - i - 4);
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
  source: Source,
  target: Format,
  columns: usize,
  scratch: usize,
): i32 {
  const bytes = (<usize>sourceBytes(source)) << 5;
  for (let begin = 0; begin < k; begin += 32) {
    const bad = quantize32(dst, p, row, begin, k, source, target, columns, scratch);
    if (bad >= 0) return begin + bad;
    p += bytes;
  }
  return -1;
}

/** Columns `begin` … of a row, whose numbers are at p, which may be the scratch itself. */
function quantize32(
  dst: usize,
  p: usize,
  row: i32,
  begin: i32,
  k: i32,
  source: Source,
  target: Format,
  columns: usize,
  scratch: usize,
): i32 {
  const width = <usize>sourceBytes(source);
  for (let i = 0; i < 32; i += 4) {
    const at = begin + i;
    let v = f32x4.splat(0);
    if (at < k) {
      v = keep(read(p + <usize>i * width, source), k - at);
      if (columns) v = f32x4.mul(v, loadFloats(columns + ((<usize>at) << 2), k - at));
      // Scales are bf16: a block without one there has none here.
      const bad = firstBad(v, source, Format.Bf16);
      if (bad < 4) return i + bad;
    }
    v128.store(scratch + ((<usize>i) << 2), v);
  }
  packBlock(dst, scratch, row, begin >> 5, k, target, scratch + 128);
  return -1;
}

/**
 * dst[count] = src[count] as f32; returns as pack does. Blocks are whole. dst may be written up to 12 bytes beyond its
 * end.
 */
export function expand(dst: usize, src: usize, count: i32, source: Source): i32 {
  const width = <usize>sourceBytes(source);
  const together = <i32>sourceColumns(source);
  if (together > 1) {
    for (let i = 0; i < count; i += 32) {
      const y = dst + ((<usize>i) << 2);
      if (!readBlock(y, src + <usize>(i / together) * width, (i % together) >> 5, source)) return i - (i % together);
      stretchValues(y, y);
    }
    return -1;
  }
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
  let i = 0;
  for (let q = p; i + 16 <= count; i += 16, q += 64) {
    const a = f32x4.add(nought(q), nought(q + 16));
    const b = f32x4.add(nought(q + 32), nought(q + 48));
    const all = f32x4.add(a, b);
    if (v128.any_true(f32x4.ne(all, all))) break;
  }
  for (; i < count; i++) {
    if (!isFinite(load<f32>(p + ((<usize>i) << 2)))) return i;
  }
  return -1;
}

/** 0 · x of four numbers: 0 for every finite one, NaN for the others. */
function nought(p: usize): v128 {
  return f32x4.mul(v128.load(p), f32x4.splat(0));
}
