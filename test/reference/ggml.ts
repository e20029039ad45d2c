/**
 * ggml's block types, literally: what the numbers of a block are. Written from the layouts of ggml-common.h; arithmetic is
 * f32, in the order of ggml's dequantize_row_….
 */
export type BlockType = keyof typeof BLOCKS;

/** Numbers and bytes of a block, and where its f16 are. */
export const BLOCKS = {
  Q4_0: { columns: 32, bytes: 18, halves: [0] },
  Q4_1: { columns: 32, bytes: 20, halves: [0, 2] },
  Q5_0: { columns: 32, bytes: 22, halves: [0] },
  Q5_1: { columns: 32, bytes: 24, halves: [0, 2] },
  Q8_0: { columns: 32, bytes: 34, halves: [0] },
  IQ4_NL: { columns: 32, bytes: 18, halves: [0] },
  MXFP4: { columns: 32, bytes: 17, halves: [] },
  Q2_K: { columns: 256, bytes: 84, halves: [80, 82] },
  Q3_K: { columns: 256, bytes: 110, halves: [108] },
  Q4_K: { columns: 256, bytes: 144, halves: [0, 2] },
  Q5_K: { columns: 256, bytes: 176, halves: [0, 2] },
  Q6_K: { columns: 256, bytes: 210, halves: [208] },
  IQ4_XS: { columns: 256, bytes: 136, halves: [0] },
} as const;

/** A number of a block: (d · S) · q − dm · M. */
export interface Number32 {
  readonly q: number;
  /** d · S, exact in f32. */
  readonly scale: number;
  /** dm · M, exact in f32. */
  readonly minimum: number;
}

const NL = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
const E2M1 = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];
const fround = Math.fround;

/** Number i of the block that begins at byte `at` of `b`. */
export function numberOf(b: Uint8Array, at: number, type: BlockType, i: number): Number32 {
  const byte = (offset: number) => b[at + offset]!;
  const signed = (offset: number) => (byte(offset) << 24) >> 24;
  const half = (offset: number) => new DataView(b.buffer, b.byteOffset).getFloat16(at + offset, true);
  const nibble = (offset: number) => (byte(offset + (i % 16)) >> (4 * Math.floor(i / 16))) & 15;
  const fifth = (offset: number) => ((byte(offset + (i >> 3)) >> (i & 7)) & 1) << 4;
  const plain = (scale: number, q: number, minimum = 0): Number32 => ({ q, scale, minimum });
  const pairs = (offset: number) =>
    (byte(offset + 32 * Math.floor(i / 128) + (i % 32)) >> (2 * Math.floor((i % 128) / 32))) & 3;
  switch (type) {
    case "Q4_0":
      return plain(half(0), nibble(2) - 8);
    case "Q4_1":
      return plain(half(0), nibble(4), -half(2));
    case "Q5_0":
      return plain(half(0), (nibble(6) | fifth(2)) - 16);
    case "Q5_1":
      return plain(half(0), nibble(8) | fifth(4), -half(2));
    case "Q8_0":
      return plain(half(0), signed(2 + i));
    case "IQ4_NL":
      return plain(half(0), NL[nibble(2)]!);
    case "MXFP4":
      return plain(2 ** (byte(0) - 128), E2M1[nibble(1)]!);
    case "Q2_K": {
      const s = byte(i >> 4);
      return plain(half(80) * (s & 15), pairs(16), half(82) * (s >> 4));
    }
    case "Q3_K": {
      const bit = (byte(i % 32) >> Math.floor(i / 32)) & 1;
      const j = i >> 4;
      const low = (byte(96 + (j % 8)) >> (4 * Math.floor(j / 8))) & 15;
      const high = (byte(96 + 8 + (j % 4)) >> (2 * Math.floor(j / 4))) & 3;
      return plain(half(108) * ((low | (high << 4)) - 32), pairs(32) - (bit ? 0 : 4));
    }
    case "Q4_K":
    case "Q5_K": {
      const j = i >> 5;
      const sc = (k: number) => byte(4 + k);
      const S = j < 4 ? sc(j) & 63 : (sc(j + 4) & 15) | ((sc(j - 4) >> 6) << 4);
      const M = j < 4 ? sc(j + 4) & 63 : (sc(j + 4) >> 4) | ((sc(j) >> 6) << 4);
      const qs = type === "Q4_K" ? 16 : 48;
      const q = (byte(qs + 32 * Math.floor(i / 64) + (i % 32)) >> (4 * (Math.floor(i / 32) % 2))) & 15;
      const more = type === "Q5_K" ? ((byte(16 + (i % 32)) >> Math.floor(i / 32)) & 1) << 4 : 0;
      return plain(half(0) * S, q | more, half(2) * M);
    }
    case "Q6_K": {
      const [n, r] = [Math.floor(i / 128), i % 128];
      const low = (byte(64 * n + (r % 64)) >> (4 * Math.floor(r / 64))) & 15;
      const high = (byte(128 + 32 * n + (r % 32)) >> (2 * Math.floor(r / 32))) & 3;
      return plain(half(208) * signed(192 + (i >> 4)), (low | (high << 4)) - 32);
    }
    case "IQ4_XS": {
      const j = i >> 5;
      const low = (byte(4 + (j >> 1)) >> (4 * (j % 2))) & 15;
      const high = ((byte(2) | (byte(3) << 8)) >> (2 * j)) & 3;
      const q = NL[(byte(8 + 16 * j + (i % 16)) >> (4 * Math.floor((i % 32) / 16))) & 15]!;
      return plain(half(0) * ((low | (high << 4)) - 32), q);
    }
  }
}

/** What a number is worth, in f32. */
export function worth({ q, scale, minimum }: Number32): number {
  return fround(fround(scale * q) - minimum);
}

/** Every number of whole blocks. */
export function numbersOf(bytes: Uint8Array, type: BlockType): Number32[] {
  const { columns, bytes: size } = BLOCKS[type];
  return Array.from({ length: (bytes.length / size) * columns }, (_, i) =>
    numberOf(bytes, Math.floor(i / columns) * size, type, i % columns),
  );
}

/** Random blocks whose scales are finite and of moderate size. */
export function randomBlocks(below: (count: number) => number, count: number, type: BlockType): Uint8Array {
  const { bytes: size, halves } = BLOCKS[type];
  const bytes = Uint8Array.from({ length: count * size }, () => below(256));
  for (let at = 0; at < bytes.length; at += size) {
    for (const half of halves) bytes[at + half + 1]! &= 0xbf; // below 2
    if (type === "MXFP4") bytes[at] = 120 + below(10);
  }
  return bytes;
}
