import { halfAt } from "./half";
import { Source, SourceColumns, sourceColumns } from "./layout";
import { Stretch, setFactors, setPlain } from "./stretch";

/**
 * The blocks of ggml's types, as stretches of 32 columns. Where bits are: ggml/src/ggml-common.h and ggml-quants.c of
 * llama.cpp (dequantize_row_…). d, dm and m are f16. All arithmetic is exact but that of stretchValues, which has ggml's
 * order.
 */

/**
 * Columns 32 · part … of the block at p. False if one of its scales is not finite, or MXFP4's too large for its numbers:
 * then the stretch is not to be used.
 */
export function readBlock(stretch: usize, p: usize, part: u32, source: Source): bool {
  return sourceColumns(source) == SourceColumns.Block
    ? readSmall(stretch, p, source)
    : readSuper(stretch, p, <usize>part, source);
}

/** Types of 32 columns. */
function readSmall(stretch: usize, p: usize, source: Source): bool {
  if (source == Source.MXFP4) {
    const e = <u32>load<u8>(p);
    // 2^(e − 128)
    setPlain(stretch, reinterpret<f32>(e < 2 ? (e + 1) << 21 : (e - 1) << 23));
    storeNibbles(stretch, p + 1, 0, table(source));
    return e <= 252;
  }
  setPlain(stretch, halfAt(p));
  let finite = isFiniteHalf(p);
  switch (source) {
    case Source.Q8_0:
      v128.store(stretch, v128.load(p + 2));
      v128.store(stretch, v128.load(p + 18), 16);
      break;
    case Source.Q4_0:
    case Source.IQ4_NL:
      storeNibbles(stretch, p + 2, 0, table(source));
      break;
    case Source.Q5_0:
      storeNibbles(stretch, p + 6, p + 2, table(source));
      v128.store(stretch, i8x16.sub(v128.load(stretch), i8x16.splat(16)));
      v128.store(stretch, i8x16.sub(v128.load(stretch, 16), i8x16.splat(16)), 16);
      break;
    default: // Q4_1, Q5_1: + m is − (−m) · 1
      finite = finite && isFiniteHalf(p + 2);
      store<f32>(stretch, -halfAt(p + 2), Stretch.dm);
      setFactors(stretch, 1, 1, 1, 1);
      if (source == Source.Q4_1) storeNibbles(stretch, p + 4, 0, table(source));
      else storeNibbles(stretch, p + 8, p + 4, table(source));
  }
  return finite;
}

/** What the nibbles of a type stand for, less the fifth bits. */
function table(source: Source): v128 {
  if (source == Source.IQ4_NL || source == Source.IQ4_XS) {
    return i8x16(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
  }
  if (source == Source.MXFP4) return i8x16(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
  const plain = i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return source == Source.Q4_0 ? i8x16.sub(plain, i8x16.splat(8)) : plain;
}

/** 16 bytes of nibbles, the lower halves first, and where `fifths` is, the fifth bits in its 32 bits. */
function storeNibbles(stretch: usize, p: usize, fifths: usize, numbers: v128): void {
  const bytes = v128.load(p);
  let low = i8x16.swizzle(numbers, v128.and(bytes, i8x16.splat(15)));
  let high = i8x16.swizzle(numbers, i8x16.shr_u(bytes, 4));
  if (fifths) {
    const bits = v128.load32_splat(fifths);
    const one = i64x2.splat(0x8040201008040201);
    const first = v128.and(v128.shuffle<u8>(bits, bits, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1), one);
    const last = v128.and(v128.shuffle<u8>(bits, bits, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3), one);
    low = v128.or(low, v128.and(i8x16.eq(first, one), i8x16.splat(16)));
    high = v128.or(high, v128.and(i8x16.eq(last, one), i8x16.splat(16)));
  }
  v128.store(stretch, low);
  v128.store(stretch, high, 16);
}

/** Types of 256 columns. */
function readSuper(stretch: usize, p: usize, part: usize, source: Source): bool {
  switch (source) {
    case Source.Q4_K:
    case Source.Q5_K:
      return readMinimums(stretch, p, part, source);
    case Source.Q6_K:
      return readSix(stretch, p, part);
    case Source.IQ4_XS: {
      const low = load<u8>(p + (part >> 1), 4) >> ((<u8>(part & 1)) << 2);
      const high = load<u16>(p, 2) >> <u16>(part << 1);
      const scale = ((<i32>low & 15) | ((<i32>high & 3) << 4)) - 32;
      setPlain(stretch, halfAt(p));
      setFactors(stretch, scale, scale, 0, 0);
      storeNibbles(stretch, p + 8 + (part << 4), 0, table(source));
      return isFiniteHalf(p);
    }
    default: // Q2_K, Q3_K
      return source == Source.Q2_K ? readTwo(stretch, p, part) : readThree(stretch, p, part);
  }
}

/** Q4_K and Q5_K: scales and minimums of 6 bits, nibbles of two parts in 32 bytes, and fifth bits of all in 32 others. */
function readMinimums(stretch: usize, p: usize, part: usize, source: Source): bool {
  setPlain(stretch, halfAt(p));
  store<f32>(stretch, halfAt(p + 2), Stretch.dm);
  const at = p + 4 + part;
  let s = <i32>load<u8>(at);
  let m = <i32>load<u8>(at, 4);
  if (part < 4) {
    s &= 63;
    m &= 63;
  } else {
    const both = m;
    m = (both >> 4) | ((s >> 6) << 4);
    s = (both & 15) | ((<i32>(load<u8>(at - 4) >> 6)) << 4);
  }
  setFactors(stretch, s, s, m, m);
  const fives = source == Source.Q5_K;
  const q = p + (fives ? 48 : 16) + ((part >> 1) << 5);
  for (let i: usize = 0; i < 32; i += 16) {
    const bytes = v128.load(q + i);
    let numbers = part & 1 ? i8x16.shr_u(bytes, 4) : v128.and(bytes, i8x16.splat(15));
    if (fives) numbers = v128.or(numbers, i8x16.shl(upperBits(p + 16 + i, <i32>part, 1), 4));
    v128.store(stretch + i, numbers);
  }
  return isFiniteHalf(p) && isFiniteHalf(p + 2);
}

/** `count` bits of each of the 16 bytes at p, from bit `first` on. */
function upperBits(p: usize, first: i32, count: i32): v128 {
  return v128.and(i8x16.shr_u(v128.load(p), first), i8x16.splat(<i8>(((<u32>1) << count) - 1)));
}

/** Q6_K: i8 scales of 16 columns, nibbles and pairs of upper bits. */
function readSix(stretch: usize, p: usize, part: usize): bool {
  setPlain(stretch, halfAt(p + 208));
  setFactors(stretch, load<i8>(p + (part << 1), 192), load<i8>(p + (part << 1), 193), 0, 0);
  const n = part >> 2;
  const low = p + (n << 6) + ((part & 1) << 5);
  const high = p + 128 + (n << 5);
  const shift = <i32>(part & 3);
  for (let i: usize = 0; i < 32; i += 16) {
    const numbers = upperBits(low + i, (shift >> 1) << 2, 4);
    const both = v128.or(numbers, i8x16.shl(upperBits(high + i, shift << 1, 2), 4));
    v128.store(stretch + i, i8x16.sub(both, i8x16.splat(32)));
  }
  return isFiniteHalf(p + 208);
}

/** Q2_K: scales and minimums of 4 bits for 16 columns, pairs of bits. */
function readTwo(stretch: usize, p: usize, part: usize): bool {
  setPlain(stretch, halfAt(p + 80));
  store<f32>(stretch, halfAt(p + 82), Stretch.dm);
  const a = <i32>load<u8>(p + (part << 1));
  const b = <i32>load<u8>(p + (part << 1), 1);
  setFactors(stretch, a & 15, b & 15, a >> 4, b >> 4);
  const q = p + 16 + ((part >> 2) << 5);
  for (let i: usize = 0; i < 32; i += 16) v128.store(stretch + i, upperBits(q + i, (<i32>(part & 3)) << 1, 2));
  return isFiniteHalf(p + 80) && isFiniteHalf(p + 82);
}

/** Q3_K: scales of 6 bits for 16 columns, pairs of bits and one more, whose absence is −4. */
function readThree(stretch: usize, p: usize, part: usize): bool {
  setPlain(stretch, halfAt(p + 108));
  const j = (<i32>part) << 1;
  setFactors(stretch, scaleOfThree(p + 96, j), scaleOfThree(p + 96, j + 1), 0, 0);
  const q = p + 32 + ((part >> 2) << 5);
  for (let i: usize = 0; i < 32; i += 16) {
    const pairs = upperBits(q + i, (<i32>(part & 3)) << 1, 2);
    const both = v128.or(pairs, i8x16.shl(upperBits(p + i, <i32>part, 1), 2));
    v128.store(stretch + i, i8x16.sub(both, i8x16.splat(4)));
  }
  return isFiniteHalf(p + 108);
}

function scaleOfThree(p: usize, j: i32): i32 {
  const low = (<i32>load<u8>(p + (j & 7)) >> ((j >> 3) << 2)) & 15;
  const high = (<i32>load<u8>(p + (j & 3), 8) >> ((j >> 2) << 1)) & 3;
  return (low | (high << 4)) - 32;
}

function isFiniteHalf(p: usize): bool {
  return (load<u16>(p) & 0x7c00) != 0x7c00;
}
