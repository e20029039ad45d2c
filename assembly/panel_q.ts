import { factorAt, storeFactor } from "./factor";
import { blocksOf } from "./format_q";
import { blockBytes, Format, Numbers, numbersOf, PanelRows, Scales, scaleBytes, scalesOf } from "./layout";
import { Stretch, setFactors, setPlain } from "./stretch";

/** One row of a block of a panel, written and read; format_q.ts says what is where. Rows share no byte. */

/** Where block `block` of row `row` of a packed matrix [n, k] is: its panel's block. */
function blockAt(w: usize, row: u32, block: u32, k: u32, format: Format): usize {
  return w + (<usize>(row / <u32>PanelRows.Quantized) * blocksOf(k) + block) * <usize>blockBytes(format);
}

/** Where a factor of 16 bits of a row is in a block: row i of eight next to row i + 4. */
function placeOfFactor(block: usize, row: u32): usize {
  return block + ((row & 8) << 1) + ((row & 3) << 2) + ((row & 4) >> 1);
}

/** What is added to a format's integers where they are stored. */
function offsetOf(format: Format): u32 {
  if (format == Format.Q7) return 0x40404040;
  if (format == Format.Q5_0) return 0x10101010;
  return format == Format.Q4 || format == Format.Q4_0 ? 0x08080808 : 0;
}

/**
 * Writes 32 columns of a row; false if its factors are too large. The code that makes a stretch checks that the format can
 * hold its integers.
 */
export function storeStretch(w: usize, stretch: usize, row: u32, block: u32, k: u32, format: Format): bool {
  const at = blockAt(w, row, block, k, format);
  storeNumbers(at + <usize>scaleBytes(format), stretch, row, numbersOf(format), offsetOf(format));
  return storeScales(at, stretch, row & 15, scalesOf(format));
}

/** Reads them. */
export function loadStretch(stretch: usize, w: usize, row: u32, block: u32, k: u32, format: Format): void {
  const at = blockAt(w, row, block, k, format);
  loadScales(stretch, at, row & 15, scalesOf(format));
  loadNumbers(stretch, at + <usize>scaleBytes(format), row, numbersOf(format), offsetOf(format));
}

function storeScales(at: usize, stretch: usize, row: u32, scales: Scales): bool {
  const d = placeOfFactor(at, row);
  if (scales == Scales.Bf16) {
    store<u16>(d, load<u16>(stretch, Stretch.d + 2));
    return true;
  }
  if (!storeFactor(d, load<f32>(stretch, Stretch.d))) return false;
  if (scales == Scales.F16) return true;
  let factors = at + row + 32;
  if (scales != Scales.Sixteens) {
    if (!storeFactor(d + 32, load<f32>(stretch, Stretch.dm))) return false;
    factors += 32;
  }
  store<u8>(factors, load<u8>(stretch, Stretch.S));
  if (scales == Scales.Minimums) {
    store<u8>(factors, load<u8>(stretch, Stretch.M), 16);
    return true;
  }
  store<u8>(factors, load<u8>(stretch, Stretch.S + 4), 16);
  if (scales == Scales.Sixteens) return true;
  store<u8>(factors, load<u8>(stretch, Stretch.M), 32);
  store<u8>(factors, load<u8>(stretch, Stretch.M + 4), 48);
  return true;
}

function loadScales(stretch: usize, at: usize, row: u32, scales: Scales): void {
  const d = placeOfFactor(at, row);
  if (scales == Scales.Bf16) {
    setPlain(stretch, reinterpret<f32>((<u32>load<u16>(d)) << 16));
    return;
  }
  setPlain(stretch, factorAt(d));
  if (scales == Scales.F16) return;
  let p = at + row + 32;
  if (scales == Scales.Sixteens) {
    setFactors(stretch, load<i8>(p), load<i8>(p, 16), 0, 0);
    return;
  }
  store<f32>(stretch, factorAt(d + 32), Stretch.dm);
  p += 32;
  if (scales == Scales.Minimums) setFactors(stretch, load<u8>(p), load<u8>(p), load<u8>(p, 16), load<u8>(p, 16));
  else setFactors(stretch, load<u8>(p), load<u8>(p, 16), load<u8>(p, 32), load<u8>(p, 48));
}

function storeNumbers(at: usize, q: usize, row: u32, numbers: Numbers, offset: u32): void {
  const inRow = <usize>(row & 3);
  const group = (<usize>(row & 12)) << 2;
  const place = at + group + (inRow << (numbers == Numbers.Bytes ? 1 : 2));
  if (numbers == Numbers.Bytes) {
    for (let i: usize = 0; i < 8; i++) {
      store<u16>(place + (i << 6), load<u16>(q + (i << 2)));
      store<u16>(place + (i << 6), load<u16>(q + (i << 2), 2), 8);
    }
  } else if (numbers == Numbers.Sevens) {
    for (let i: usize = 0; i < 8; i++) store<u32>(place + (i << 6), bytesPlus(load<u32>(q + (i << 2)), offset));
  } else {
    let fifths: u32 = 0;
    for (let i: usize = 0; i < 4; i++) {
      const low = bytesPlus(load<u32>(q + (i << 3)), offset);
      const high = bytesPlus(load<u32>(q + (i << 3), 4), offset);
      store<u32>(place + (i << 6), (low & 0x0f0f0f0f) | ((high & 0x0f0f0f0f) << 4));
      fifths |= (((low & 0x10101010) >> 1) | ((high & 0x10101010) << 3)) >>> <u32>i;
    }
    if (numbers == Numbers.Fives) store<u32>(at + 256 + group + (inRow << 2), fifths);
  }
}

/** Four bytes plus four bytes, without carries. */
function bytesPlus(a: u32, b: u32): u32 {
  return ((a & 0x7f7f7f7f) + (b & 0x7f7f7f7f)) ^ ((a ^ b) & 0x80808080);
}

function loadNumbers(q: usize, at: usize, row: u32, numbers: Numbers, offset: u32): void {
  const inRow = <usize>(row & 3);
  const group = (<usize>(row & 12)) << 2;
  const place = at + group + (inRow << (numbers == Numbers.Bytes ? 1 : 2));
  if (numbers == Numbers.Bytes) {
    for (let i: usize = 0; i < 8; i++) {
      store<u16>(q + (i << 2), load<u16>(place + (i << 6)));
      store<u16>(q + (i << 2), load<u16>(place + (i << 6), 8), 2);
    }
    return;
  }
  if (numbers == Numbers.Sevens) {
    for (let i: usize = 0; i < 8; i++) store<u32>(q + (i << 2), load<u32>(place + (i << 6)));
  } else {
    const fifths = numbers == Numbers.Fives ? load<u32>(at + 256 + group + (inRow << 2)) : 0;
    for (let i: usize = 0; i < 4; i++) {
      const both = load<u32>(place + (i << 6));
      const bits = fifths << (<u32>i);
      store<u32>(q + (i << 3), (both & 0x0f0f0f0f) | ((bits & 0x08080808) << 1));
      store<u32>(q + (i << 3), ((both >>> 4) & 0x0f0f0f0f) | ((bits & 0x80808080) >>> 3), 4);
    }
  }
  const offsets = i32x4.splat(offset);
  v128.store(q, i8x16.sub(v128.load(q), offsets));
  v128.store(q, i8x16.sub(v128.load(q, 16), offsets), 16);
}
