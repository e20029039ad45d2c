import { Bf16, F16, loadHalves, storeHalves } from "./half";
import { Format } from "./op";

/** Four stored numbers at `p`, as f32. May read up to 12 bytes more than the numbers that exist. */
function read(p: usize, format: Format): v128 {
  if (format == Format.F32) return v128.load(p);
  return format == Format.Bf16 ? loadHalves<Bf16>(p) : loadHalves<F16>(p);
}

/** The first `count` (1 to 4) lanes; the others 0. */
function keep(v: v128, count: i32): v128 {
  if (count >= 4) return v;
  return v128.and(v, i32x4.gt_s(i32x4.splat(count), i32x4(0, 1, 2, 3)));
}

/**
 * The lowest lane whose number is not finite, or rounds to infinity in the target format; 4 if all are fine. What f16 has
 * beyond its finite numbers is read as 65536 and more.
 */
function firstBad(v: v128, source: Format, target: Format): i32 {
  let bound: f32 = Infinity;
  if (source == Format.F16 || target == Format.F16) bound = 65520;
  else if (target == Format.Bf16) bound = 3.3961775292304957e38;
  return ctz(~i32x4.bitmask(f32x4.lt(f32x4.abs(v), f32x4.splat(bound))) | 16);
}

/**
 * Rows `firstRow` to `firstRow + rows` of a matrix [n, k] from row-major numbers at `src` into the packed matrix `dst`,
 * rounded to nearest even where the target is narrower. Zeros in the chunk beyond k; rows beyond n stay as they are.
 * Returns the index, in src, of the first number that is not finite (or not in the target's range), −1 if there is none.
 * src may be read up to 12 bytes beyond its end.
 */
export function pack(dst: usize, src: usize, firstRow: i32, rows: i32, k: i32, source: Format, target: Format): i32 {
  const width: usize = source == Format.F32 ? 4 : 2;
  const perChunk = target == Format.F32 ? 4 : 8;
  const panelBytes = (<usize>((k + perChunk - 1) / perChunk)) << 6;
  for (let r = 0; r < rows; r++) {
    const row = firstRow + r;
    let q = dst + <usize>(row >> 2) * panelBytes + ((<usize>(row & 3)) << 4);
    let p = src + <usize>r * <usize>k * width;
    for (let i = 0; i < k; i += 4) {
      const v = keep(read(p, source), k - i);
      const bad = firstBad(v, source, target);
      if (bad < 4) return r * k + i + bad;
      if (target == Format.F32) {
        v128.store(q, v);
        q += 64;
      } else {
        if (!(i & 4)) v128.store(q, i32x4.splat(0));
        const half = q + (i & 4 ? 8 : 0);
        if (target == Format.Bf16) storeHalves<Bf16>(half, v);
        else storeHalves<F16>(half, v);
        if (i & 4) q += 64;
      }
      p += 4 * width;
    }
  }
  return -1;
}

/** dst[count] = src[count] as f32; returns as pack does. dst may be written up to 12 bytes beyond its end. */
export function expand(dst: usize, src: usize, count: i32, source: Format): i32 {
  const width: usize = source == Format.F32 ? 4 : 2;
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
