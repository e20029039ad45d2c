import { blocksOf } from "./format_q";
import { activationBytes, blockBytes, Format, Numbers, numbersOf } from "./layout";
import { storeStretch } from "./panel_q";
import { largestLane, loadFloats, mulAdd, sum } from "./simd";
import { Stretch } from "./stretch";

/** Blocks whose largest magnitude does not exceed this are zeros. */
const SMALLEST: f32 = 7.8886090522101181e-31; // 2^-100

/**
 * Block `block` of a row of activations x[k] as integers: nearest even of v · 127 / max|v|, zeros beyond k. y: 32
 * numbers per block, i16 for Numbers.Bytes and i8 otherwise; then for each block the f32 scale max|v| / 127 (NaN if a
 * number of x is not finite); then for each block two i16: the sum of its columns 4j and 4j + 1, and that of the others.
 */
export function quantizeBlock(y: usize, x: usize, block: u32, k: u32, format: Format): void {
  const blocks = blocksOf(k);
  const count = <i32>(k - (block << 5));
  const p = x + ((<usize>block) << 7);
  const wide = numbersOf(format) == Numbers.Bytes;
  let largest = f32x4.splat(0);
  let strange = f32x4.splat(0);
  for (let i = 0; i < 32 && i < count; i += 4) {
    const v = loadFloats(p + ((<usize>i) << 2), count - i);
    largest = f32x4.pmax(largest, f32x4.abs(v));
    strange = v128.or(strange, f32x4.ne(v, v));
  }
  const most = largestLane(largest);
  const inverse = f32x4.splat(most > SMALLEST ? <f32>127 / most : 0);
  let numbers = y + ((<usize>block) << (wide ? 6 : 5));
  let total = i32x4.splat(0);
  for (let i = 0; i < 32; i += 4) {
    let q = i32x4.splat(0);
    if (i < count) {
      const v = loadFloats(p + ((<usize>i) << 2), count - i);
      q = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v, inverse)));
    }
    total = i32x4.add(total, q);
    const pairs = i16x8.narrow_i32x4_s(q, q);
    if (wide) {
      v128.store64_lane(numbers, pairs, 0);
      numbers += 8;
    } else {
      v128.store32_lane(numbers, i8x16.narrow_i16x8_s(pairs, pairs), 0);
      numbers += 4;
    }
  }
  const scales = y + ((<usize>blocks) << (wide ? 6 : 5));
  const scale: f32 = v128.any_true(strange) ? NaN : most > SMALLEST ? most / 127 : 0;
  store<f32>(scales + ((<usize>block) << 2), scale);
  const sums = scales + ((<usize>(blocks + block)) << 2);
  store<i16>(sums, <i16>(i32x4.extract_lane(total, 0) + i32x4.extract_lane(total, 1)));
  store<i16>(sums, <i16>(i32x4.extract_lane(total, 2) + i32x4.extract_lane(total, 3)), 2);
}

/** Bytes of a row of quantised activations. */
export function quantizedRowBytes(k: u32, format: Format): usize {
  return blocksOf(k) * <usize>activationBytes(format);
}

/**
 * Packs block `block` of row `row` of a packed matrix [n, k], from the f32 numbers v[32] (zeros beyond k). stretch: a
 * work area.
 * Q8 and Q7: nearest even of x · most / max|x|, most 127 or 63, scale max|x| / most.
 * Q4: steps of least squared error, nearest even from −8 to 7, the largest magnitude on the side of −8.
 */
export function packBlock(w: usize, v: usize, row: u32, block: u32, k: u32, format: Format, stretch: usize): void {
  let least = f32x4.splat(0);
  let largest = f32x4.splat(0);
  for (let i: usize = 0; i < 128; i += 16) {
    least = f32x4.pmin(least, v128.load(v + i));
    largest = f32x4.pmax(largest, v128.load(v + i));
  }
  const low = largestLane(f32x4.neg(least));
  const high = largestLane(largest);
  const most = max<f32>(low, high);
  let scale: f32 = 0;
  let inverse: f32 = 0;
  if (most > SMALLEST) {
    const end = format == Format.Q4 && low < high ? -most : most;
    const steps: f32 = format == Format.Q4 ? bestSteps(v, end) : format == Format.Q8 ? 127 : 63;
    scale = end / steps;
    inverse = steps / end;
  }
  const bits = reinterpret<u32>(scale);
  store<u32>(stretch, (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000, Stretch.d);
  const inverses = f32x4.splat(inverse);
  for (let i: usize = 0; i < 32; i += 4) {
    let q = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(v + (i << 2)), inverses)));
    if (format == Format.Q4) q = i32x4.max_s(i32x4.min_s(q, i32x4.splat(7)), i32x4.splat(-8));
    const pairs = i16x8.narrow_i32x4_s(q, q);
    v128.store32_lane(stretch + i, i8x16.narrow_i16x8_s(pairs, pairs), 0);
  }
  storeStretch(w, stretch, row, block, k, format);
}

/**
 * The number of steps that represents the largest magnitude, negated: 8 makes it -8 itself, more clips it, fewer leave
 * room on the other side. The one with the least squared error among 9, 8.75 … 6; the first of equals.
 */
function bestSteps(v: usize, most: f32): f32 {
  const unit = f32x4.splat(<f32>1 / most);
  let best: f32 = 8;
  let least: f32 = Infinity;
  for (let steps: f32 = 9; steps >= 6; steps -= 0.25) {
    const many = f32x4.splat(steps);
    const step = f32x4.splat(<f32>1 / steps);
    let total = f32x4.splat(0);
    for (let at: usize = 0; at < 128; at += 16) {
      const x = f32x4.mul(v128.load(v + at), unit);
      const q = f32x4.pmin(f32x4.pmax(f32x4.nearest(f32x4.mul(x, many)), f32x4.splat(-8)), f32x4.splat(7));
      const error = f32x4.sub(x, f32x4.mul(q, step));
      total = mulAdd(total, error, error);
    }
    const squares = sum(total);
    if (squares < least) {
      least = squares;
      best = steps;
    }
  }
  return best;
}

/** The first of `blocks` blocks of packed panels that packBlock cannot have produced; −1 if there is none. */
export function firstBadBlock(p: usize, blocks: u32, format: Format): i32 {
  const bytes = <usize>blockBytes(format);
  for (let block: u32 = 0; block < blocks; block++) {
    let bad = i32x4.splat(0);
    for (let i: usize = 0; i < 32; i += 16) {
      // bf16 numbers whose exponent is all ones are not finite.
      const exponents = v128.and(v128.load(p + i), i16x8.splat(0x7f80));
      bad = v128.or(bad, i16x8.eq(exponents, i16x8.splat(0x7f80)));
    }
    // Q7's integers must stay below 128: the relaxed instructions are exact only for those.
    if (format == Format.Q7) {
      for (let i: usize = 32; i < bytes; i += 16) bad = v128.or(bad, i8x16.lt_s(v128.load(p + i), i8x16.splat(0)));
    }
    if (v128.any_true(bad)) return block;
    p += bytes;
  }
  return -1;
}
