import { blocksOf } from "./format_q";
import { activationBytes, blockBytes, Format, panelRows } from "./layout";
import { largestLane, loadFloats, mulAdd, sum } from "./simd";

/** Blocks whose largest magnitude does not exceed this are zeros. */
const SMALLEST: f32 = 7.8886090522101181e-31; // 2^-100

/**
 * Block `block` of a row of activations x[k] as integers: nearest even of v · 127 / max|v|, zeros beyond k. y: 32
 * numbers per block, i16 for Q8 and i8 otherwise; then for each block the f32 scale max|v| / 127 (NaN if a number of x
 * is not finite); then for each block the number that its sums start with (correction).
 */
export function quantizeBlock(y: usize, x: usize, block: u32, k: u32, format: Format): void {
  const blocks = blocksOf(k);
  const count = <i32>(k - (block << 5));
  const p = x + ((<usize>block) << 7);
  const wide = format == Format.Q8;
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
  let numbersSum = i32x4.extract_lane(total, 0) + i32x4.extract_lane(total, 1);
  numbersSum += i32x4.extract_lane(total, 2) + i32x4.extract_lane(total, 3);
  store<i32>(scales + ((<usize>(blocks + block)) << 2), correction(numbersSum, format));
}

/**
 * The number that the sums of a block start with, which cancels the offset of the weights' integers: an i32, or with
 * Q4, whose sums are pairs of i16, half of it in each. No sum overflows: what one half has too much, its numbers have
 * too little.
 */
function correction(sum: i32, format: Format): i32 {
  if (format != Format.Q4) return -offsetOf(format) * sum;
  const half = (-offsetOf(format) / 2) * sum;
  return (half << 16) | (half & 0xffff);
}

/** Bytes of a row of quantised activations. */
export function quantizedRowBytes(k: u32, format: Format): usize {
  return blocksOf(k) * <usize>activationBytes(format);
}

/** What is added to a format's integers where they are stored. */
function offsetOf(format: Format): i32 {
  return format == Format.Q8 ? 0 : format == Format.Q7 ? 64 : 8;
}

/** Where block `block` of row `row` of a packed matrix [n, k] starts: its panel's block. */
function blockAt(w: usize, row: u32, block: u32, k: u32, format: Format): usize {
  return w + (<usize>(row / <u32>panelRows(format)) * blocksOf(k) + block) * <usize>blockBytes(format);
}

/** Where the bf16 scale of a row is in a block: row i of eight next to row i + 4. */
function scaleAt(block: usize, row: u32): usize {
  return block + ((row & 8) << 1) + ((row & 3) << 2) + ((row & 4) >> 1);
}

/**
 * Packs block `block` of row `row` of a packed matrix [n, k], from the f32 numbers v[32] (zeros beyond k).
 * Q8 and Q7: nearest even of x · most / max|x|, most 127 or 63, scale max|x| / most.
 * Q4: steps of least squared error, nearest even from −8 to 7, the largest magnitude on the side of −8.
 */
export function packBlock(w: usize, v: usize, row: u32, block: u32, k: u32, format: Format): void {
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
  const at = blockAt(w, row, block, k, format);
  const bits = reinterpret<u32>(scale);
  store<u16>(scaleAt(at, row), <u16>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16));
  const place = at + 32 + ((row & 12) << 2);
  const inRow = row & 3;
  const inverses = f32x4.splat(inverse);
  for (let i: u32 = 0; i < 32; i += 4) {
    const q = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(v + ((<usize>i) << 2)), inverses)));
    if (format == Format.Q4) {
      const nibbles = i32x4.add(i32x4.max_s(i32x4.min_s(q, i32x4.splat(7)), i32x4.splat(-8)), i32x4.splat(8));
      const byte = place + <usize>((i >> 3) << 6) + (inRow << 2);
      const narrow = i16x8.narrow_i32x4_s(nibbles, nibbles);
      const four = i32x4.extract_lane(i8x16.narrow_i16x8_u(narrow, narrow), 0);
      store<u32>(byte, i & 4 ? load<u32>(byte) | (four << 4) : four);
    } else {
      const shifted = format == Format.Q7 ? i32x4.add(q, i32x4.splat(64)) : q;
      const narrow = i16x8.narrow_i32x4_s(shifted, shifted);
      const four = i32x4.extract_lane(i8x16.narrow_i16x8_s(narrow, narrow), 0);
      const byte = place + <usize>((i >> 2) << 6);
      if (format == Format.Q7) {
        store<u32>(byte + (inRow << 2), four);
      } else {
        store<u16>(byte + (inRow << 1), <u16>four);
        store<u16>(byte + (inRow << 1), <u16>(four >>> 16), 8);
      }
    }
  }
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

/** y[32] = block `block` of row `row` of a packed matrix [n, k], as f32. */
export function unpackBlock(y: usize, w: usize, row: u32, block: u32, k: u32, format: Format): void {
  const at = blockAt(w, row, block, k, format);
  const scale = f32x4.splat(reinterpret<f32>((<u32>load<u16>(scaleAt(at, row))) << 16));
  const place = at + 32 + ((row & 12) << 2);
  const inRow = row & 3;
  for (let i: u32 = 0; i < 32; i += 4) {
    let four: u32;
    if (format == Format.Q4) {
      four = load<u32>(place + <usize>((i >> 3) << 6) + (inRow << 2));
      four = (i & 4 ? four >>> 4 : four) & 0x0f0f0f0f;
    } else if (format == Format.Q7) {
      four = load<u32>(place + <usize>((i >> 2) << 6) + (inRow << 2));
    } else {
      const byte = place + <usize>((i >> 2) << 6) + (inRow << 1);
      four = <u32>load<u16>(byte) | ((<u32>load<u16>(byte, 8)) << 16);
    }
    const q = i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(i32x4.splat(four)));
    const numbers = f32x4.convert_i32x4_s(i32x4.sub(q, i32x4.splat(offsetOf(format))));
    v128.store(y + ((<usize>i) << 2), f32x4.mul(numbers, scale));
  }
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
