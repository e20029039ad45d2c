/**
 * 8-bit codes of keys, by which middle keys are chosen: the codeBlock keys of a block share a power of two, so that sums of
 * products of codes are whole numbers that f32 holds exactly, whatever the order of additions. see: docs/RECALL.md
 *
 * In a session's slot: `means` [kvHeads, codeBlocks, meanBytes], of each block the mean of its codes, rounded, the f32 power
 * of two, and the i32 sum of the mean's numbers; `codes` [kvHeads, codeBlocks, codeBlock, codeWidth]. Block b of a session
 * has the tokens from codeBlock · b on and is in place b mod codeBlocks. Codes end with zeros.
 */
import { pinnedOf } from "./attention_keys";
import { Int8, inHead, load4, loadRest, scaleOf } from "./cache_format";
import { Pairs, quadDots } from "./dots";
import { Bf16 } from "./half";
import { CacheFormat, Row } from "./layout";
import { Code } from "./layout_codes";
import { Attention } from "./op";
import { word } from "./record";
import { largestLane } from "./simd";

/** The exponent bits of the least power of two, 2^-120: its inverse is finite too. */
const LEAST_EXPONENT: u32 = 7;

/** Bytes of the codes of a key or a query. */
export function codeWidth(headDim: u32): u32 {
  return (headDim + (Code.Align - 1)) & ~(Code.Align - 1);
}

/** Keys of a block: more in wide heads, whose means cost more, and hide less of each key. */
export function codeBlock(headDim: u32): u32 {
  return headDim > <u32>Code.NarrowHead ? Code.WideBlock : Code.Block;
}

/** Bytes of a block's mean, its power of two and its sum. */
export function meanBytes(headDim: u32): u32 {
  return codeWidth(headDim) + Code.PowerBytes;
}

/** Where the mean of the block in a place is. */
export function meanAt(record: usize, slot: usize, kvHead: u32, place: u32): usize {
  const number = kvHead * word(record, Attention.codeBlocks) + place;
  return slot + word(record, Attention.means) + number * meanBytes(word(record, Attention.headDim));
}

/** Where the codes of its first key are. */
export function codesAt(record: usize, slot: usize, kvHead: u32, place: u32): usize {
  const headDim = word(record, Attention.headDim);
  const number = (kvHead * word(record, Attention.codeBlocks) + place) * codeBlock(headDim);
  return slot + word(record, Attention.codes) + number * codeWidth(headDim);
}

/** The power of two that a block's codes are times. */
export function powerOf(mean: usize, headDim: u32): f32 {
  return load<f32>(mean + codeWidth(headDim));
}

/** The largest code of so many bits. */
function largestOf(bits: u32): i32 {
  return (1 << bits) - 1;
}

/** The least power of two, from 2^-120 on, of which largestOf(bits) times is no less than `largest`; 1 if that is 0 or not finite. */
function powerFor(largest: f32, bits: u32): f32 {
  if (!(largest > 0) || largest == Infinity) return 1;
  // Of a number from 2^e to 2^(e+1): 2^(e−bits+1), or twice that.
  const exponent = max<u32>((reinterpret<u32>(largest) >> 23) & 255, LEAST_EXPONENT + bits - 1) - (bits - 1);
  const power = reinterpret<f32>(exponent << 23);
  return <f32>largestOf(bits) * power < largest ? 2 * power : power;
}

/** i32x4: the codes of four numbers; of one that is none, 0. */
function coded(x: v128, inverse: f32, bits: u32): v128 {
  const whole = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(x, f32x4.splat(inverse))));
  return i32x4.max_s(i32x4.min_s(whole, i32x4.splat(largestOf(bits))), i32x4.splat(-largestOf(bits)));
}

/** Stores four numbers from −128 to 127 as bytes. */
function storeBytes(to: usize, x: v128): void {
  const shorts = i16x8.narrow_i32x4_s(x, x);
  v128.store32_lane(to, i8x16.narrow_i16x8_s(shorts, shorts), 0);
}

/** The numbers of a head from d on, four or as many as there are. */
function numbers<T>(head: usize, d: u32, headDim: u32): v128 {
  const p = (<usize>d) << 2;
  const scale = scaleOf<T>(head, headDim, p);
  const at = head + inHead<T>(p);
  return headDim - d < 4 ? loadRest<T>(at, headDim - d, scale) : load4<T>(at, scale);
}

/**
 * The codes of a query x[headDim] at `area`: i16[codeWidth], and at Code.Bytes as u8[codeWidth] with Code.Shift added. Their
 * power of two says nothing: it is the same for all keys.
 */
export function codeQuery(area: usize, x: usize, headDim: u32): void {
  let largest = f32x4.splat(0);
  for (let d: u32 = 0; d < headDim; d += 4) largest = f32x4.pmax(largest, f32x4.abs(numbers<f32>(x, d, headDim)));
  const inverse: f32 = <f32>1 / powerFor(largestLane(largest), Code.QueryBits);
  memory.fill(area, 0, codeWidth(headDim) << 1);
  memory.fill(area + Code.Bytes, 0, codeWidth(headDim));
  for (let d: u32 = 0; d < headDim; d += 4) {
    const code = coded(numbers<f32>(x, d, headDim), inverse, Code.QueryBits);
    v128.store64_lane(area + (d << 1), i16x8.narrow_i32x4_s(code, code), 0);
    storeBytes(area + Code.Bytes + d, i32x4.add(code, i32x4.splat(Code.Shift)));
  }
}

/** f32x4: q · k of a query's codes i16[width] and of four keys i8[width], one after the other. */
export function dotKeys(q: usize, k: usize, width: u32): v128 {
  let a = i32x4.splat(0);
  let b = i32x4.splat(0);
  let c = i32x4.splat(0);
  let d = i32x4.splat(0);
  for (const end = q + (width << 1); q < end; q += 16) {
    const x = v128.load(q);
    a = i32x4.add(a, i32x4.dot_i16x8_s(x, v128.load8x8_s(k)));
    b = i32x4.add(b, i32x4.dot_i16x8_s(x, v128.load8x8_s(k + width)));
    c = i32x4.add(c, i32x4.dot_i16x8_s(x, v128.load8x8_s(k + 2 * width)));
    d = i32x4.add(d, i32x4.dot_i16x8_s(x, v128.load8x8_s(k + 3 * width)));
    k += 8;
  }
  return f32x4.convert_i32x4_s(sums(a, b, c, d));
}

/** f32x4: 2^e · q · m of a query's codes at `area` and of four means, which begin `stride` bytes apart. */
export function dotMeans(area: usize, mean: usize, stride: usize, width: u32): v128 {
  let a = i32x4.splat(0);
  let b = i32x4.splat(0);
  let c = i32x4.splat(0);
  let d = i32x4.splat(0);
  const ones = i16x8.splat(1);
  let q = area + Code.Bytes;
  for (const end = q + width; q < end; q += 16) {
    const x = v128.load(q);
    a = quadDots<Pairs>(a, v128.load(mean), x, ones);
    b = quadDots<Pairs>(b, v128.load(mean + stride), x, ones);
    c = quadDots<Pairs>(c, v128.load(mean + 2 * stride), x, ones);
    d = quadDots<Pairs>(d, v128.load(mean + 3 * stride), x, ones);
    mean += 16;
  }
  // Behind each mean: its power of two, and the sum of its numbers, by which what was added to the query's is taken out.
  const first = v128.load64_lane(mean + stride, v128.load64_zero(mean), 1);
  const last = v128.load64_lane(mean + 3 * stride, v128.load64_zero(mean + 2 * stride), 1);
  const added = i32x4.mul(v128.shuffle<i32>(first, last, 1, 3, 5, 7), i32x4.splat(Code.Shift));
  const products = f32x4.convert_i32x4_s(i32x4.sub(sums(a, b, c, d), added));
  return f32x4.mul(products, v128.shuffle<f32>(first, last, 0, 2, 4, 6));
}

/** i32x4: the sum of each one's lanes. */
function sums(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 1, 4, 5), v128.shuffle<i32>(a, b, 2, 3, 6, 7));
  const cd = i32x4.add(v128.shuffle<i32>(c, d, 0, 1, 4, 5), v128.shuffle<i32>(c, d, 2, 3, 6, 7));
  return i32x4.add(v128.shuffle<i32>(ab, cd, 0, 2, 4, 6), v128.shuffle<i32>(ab, cd, 1, 3, 5, 7));
}

/** Once a row is the last of a block, and the step's keys are in the cache: the codes of the block. */
export function sealRow(record: usize, row: usize): void {
  const number = load<u64>(row, Row.position) - load<u64>(row, Row.origin);
  const last = codeBlock(word(record, Attention.headDim)) - 1;
  if (!word(record, Attention.recall) || (number & last) != last) return;
  const format = word(record, Attention.format);
  for (let kvHead: u32 = 0; kvHead < word(record, Attention.kvHeads); kvHead++) {
    if (format == CacheFormat.F32) seal<f32>(record, row, kvHead, number);
    else if (format == CacheFormat.Bf16) seal<Bf16>(record, row, kvHead, number);
    else seal<Int8>(record, row, kvHead, number);
  }
}

/** `number`: of the block's last token in its session. */
function seal<T>(record: usize, row: usize, kvHead: u32, number: u64): void {
  const slot = <usize>load<u32>(row, Row.slot);
  const headDim = word(record, Attention.headDim);
  const nGlobal = <u64>pinnedOf(record, row);
  const block = codeBlock(headDim);
  const place = <u32>((number / block) % <u64>word(record, Attention.codeBlocks));
  const mean = meanAt(record, slot, kvHead, place);
  const codes = codesAt(record, slot, kvHead, place);
  const width = codeWidth(headDim);
  let largest = f32x4.splat(0);
  for (let t: u32 = 0; t < block; t++) {
    const key = keyAt(record, row, slot, kvHead, t);
    for (let d: u32 = 0; d < headDim; d += 4) largest = f32x4.pmax(largest, f32x4.abs(numbers<T>(key, d, headDim)));
  }
  const power = powerFor(largestLane(largest), Code.KeyBits);
  const inverse: f32 = <f32>1 / power;
  memory.fill(codes, 0, block * width);
  memory.fill(mean, 0, meanBytes(headDim));
  store<f32>(mean + width, power);
  let sum = i32x4.splat(0);
  for (let d: u32 = 0; d < headDim; d += 4) {
    let column = i32x4.splat(0);
    for (let t: u32 = 0; t < block; t++) {
      const code = coded(numbers<T>(keyAt(record, row, slot, kvHead, t), d, headDim), inverse, Code.KeyBits);
      storeBytes(codes + t * width + d, code);
      // Pinned keys are attended anyway.
      if (number - (block - 1) + t >= nGlobal) column = i32x4.add(column, code);
    }
    const means = coded(f32x4.convert_i32x4_s(column), <f32>1 / <f32>block, Code.KeyBits);
    storeBytes(mean + d, means);
    sum = i32x4.add(sum, means);
  }
  store<i32>(mean + width, i32x4.extract_lane(sums(sum, sum, sum, sum), 0), 4);
}

/** Where the unrotated key of a block's token t is, of which `row` is the last. */
function keyAt(record: usize, row: usize, slot: usize, kvHead: u32, t: u32): usize {
  const places = word(record, Attention.recallPlaces);
  const position = load<u64>(row, Row.position) - (codeBlock(word(record, Attention.headDim)) - 1) + t;
  const place = kvHead * places + <u32>(position % <u64>places);
  return slot + word(record, Attention.kvRecall) + place * word(record, Attention.headBytes);
}
