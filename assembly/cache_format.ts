import { CacheFormat, Size } from "./layout";

import { loadFloats } from "./simd";

/** The type arguments for CacheFormat.F32, Bf16 and Int8: f32, Bf16 and this. */
export type Int8 = i8;

/**
 * Four numbers at `p` as f32, exact; `scale`: theirs, if the format has scales. Int8 may read 4 bytes more: scales
 * follow.
 */
export function load4<T>(p: usize, scale: v128): v128 {
  if (isFloat<T>()) return v128.load(p);
  // A vector shift is slow in JavaScriptCore, a swizzle in V8.
  if (sizeof<T>() == 2) return v128.shuffle<u16>(i32x4.splat(0), v128.load64_zero(p), 0, 8, 1, 9, 2, 10, 3, 11);
  return f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(v128.load_ext<i8>(p))), scale);
}

/** As load4, for `count` (1 to 3) numbers; the other lanes are 0; reads nothing beyond them. */
export function loadRest<T>(p: usize, count: u32, scale: v128): v128 {
  if (isFloat<T>()) return loadFloats(p, count);
  const shift = sizeof<T>() == 2 ? 16 : 0;
  let words = i32x4.splat((<i32>load<T>(p)) << shift);
  if (count > 1) words = i32x4.replace_lane(words, 1, (<i32>load<T>(p, sizeof<T>())) << shift);
  if (count > 2) words = i32x4.replace_lane(words, 2, (<i32>load<T>(p, 2 * sizeof<T>())) << shift);
  words = v128.and(words, i32x4.gt_s(i32x4.splat(count), i32x4(0, 1, 2, 3)));
  return sizeof<T>() == 2 ? words : f32x4.mul(f32x4.convert_i32x4_s(words), scale);
}

/** The offset in a head of the numbers that byte p of a query is multiplied by. */
export function inHead<T>(p: usize): usize {
  return isFloat<T>() ? p : (p >> 2) * sizeof<T>();
}

/**
 * The scale, in every lane, of the number that byte p of a query is multiplied by, in the head at `head`; without
 * scales any value.
 */
export function scaleOf<T>(head: usize, headDim: u32, p: usize): v128 {
  if (sizeof<T>() > 1) return i32x4.splat(0);
  return v128.load32_splat(head + ((headDim + 3) & ~3) + ((p / (4 * Size.ScaleBlock)) << 2));
}

/**
 * The heads y[heads, headBytes] = x[heads, headDim], rounded to nearest even. NaN and infinities stay, or become NaN.
 */
export function castHeads(y: usize, x: usize, heads: u32, headDim: u32, headBytes: u32, format: CacheFormat): void {
  for (let head: u32 = 0; head < heads; head++) {
    if (format == CacheFormat.Int8) castInt8(y, x, headDim);
    else castBf16(y, x, headDim);
    x += headDim << 2;
    y += headBytes;
  }
}

function castBf16(y: usize, x: usize, n: u32): void {
  for (let d: u32 = 0; d < n; d++) {
    const value = load<f32>(x + (d << 2));
    const bits = reinterpret<u32>(value);
    // Rounding would turn some NaN into 0.
    const rounded = isNaN(value) ? 0x7fc0 : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    store<u16>(y + (d << 1), rounded);
  }
}

function castInt8(y: usize, x: usize, n: u32): void {
  for (let d = n; d & 3; d++) store<i8>(y + d, 0); // so that a cache has the same bytes, whatever was here before
  for (let d: u32 = 0; d < n; d += Size.ScaleBlock) {
    const count = min<u32>(Size.ScaleBlock, n - d);
    const from = x + (d << 2);
    let largest: f32 = 0;
    for (let i: u32 = 0; i < count; i++) largest = max(largest, abs(load<f32>(from + (i << 2))));
    for (let i: u32 = 0; i < count; i++) {
      const number = nearest((load<f32>(from + (i << 2)) / largest) * 127);
      // Only a block of zeros, or one that is not finite, has no inverse; its scale says which.
      store<i8>(y + d + i, isNaN(number) ? 0 : <i32>number);
    }
    store<f32>(y + ((n + 3) & ~3) + ((d / Size.ScaleBlock) << 2), largest / 127);
  }
}
