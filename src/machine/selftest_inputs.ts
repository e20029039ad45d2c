/** What the self-test computes with. */
import { Format, Source, sourceBytes } from "../../assembly/layout.ts";

/** Formats of floats that packing reads. */
export const STORED = [Format.F32, Format.Bf16, Format.F16] as const;
/** Formats that it makes of them. */
export const FORMATS = [...STORED, Format.Q8, Format.Q7, Format.Q4] as const;

/**
 * Every remainder that a kernel treats on its own, of widths (heads · headDim: 33, 38, 43, 48) and of heads; groups of query
 * heads; a ring across blocks of keys, one shorter than the step; a ceiling below the ring's length, above it, and far off.
 */
export const SHAPES = [
  { heads: 3, kvHeads: 1, headDim: 11, rotaryDim: 10, nGlobal: 5, nLocal: 70, limit: 40, unrotated: true },
  { heads: 2, kvHeads: 2, headDim: 19, rotaryDim: 6, nGlobal: 7, nLocal: 2, limit: 9, unrotated: false },
  { heads: 1, kvHeads: 1, headDim: 43, rotaryDim: 42, nGlobal: 1, nLocal: 5, limit: 5, unrotated: true },
  { heads: 4, kvHeads: 2, headDim: 12, rotaryDim: 12, nGlobal: 4, nLocal: 9, limit: 10000, unrotated: true },
] as const;
/** Heads of an attention, and what of a cache it has. */
export type Shape = (typeof SHAPES)[number];

/**
 * Inputs: a few decades of magnitude around 1, both signs, and in every eighth place something extreme; then the same
 * small, and so small that the eps of a norm decides.
 */
export function someNumbers() {
  const extremes = [0, -0, 65504, -65504, 6e-8, -6e-8, 1e-30, 90];
  let state = 1;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    if (state >>> 29 === 0) return extremes[(state >>> 20) & 7] as number;
    return Math.fround(((state & 0xffff) - 32768) / 2 ** ((state >>> 16) & 15));
  };
  const plain = Float32Array.from({ length: 1021 }, next);
  return { plain, small: plain.map((value) => value * 2 ** -13), tiny: plain.map((value) => value * 2 ** -24) };
}

/** A format that keeps ggml's blocks, a type that it can be made of, and where the f16 of its blocks are. */
export interface Kept {
  readonly format: Format;
  readonly source: Source;
  readonly halves: readonly number[];
}

/** All of these formats. */
export const KEPT: readonly Kept[] = [
  { format: Format.Q8_0, source: Source.Q8_0, halves: [0] },
  { format: Format.Q6_K, source: Source.Q6_K, halves: [208] },
  { format: Format.Q5_0, source: Source.Q5_0, halves: [0] },
  { format: Format.Q5_K, source: Source.Q5_K, halves: [0, 2] },
  { format: Format.Q4_0, source: Source.Q4_0, halves: [0] },
  { format: Format.Q4_K, source: Source.Q4_K, halves: [0, 2] },
  { format: Format.Q2_K, source: Source.Q2_K, halves: [80, 82] },
];

/** Blocks of bytes of all values; the f16 are finite. */
export function someBlocks(count: number, { source, halves }: Kept): Uint8Array {
  const blockBytes = sourceBytes(source);
  let state = 1;
  const bytes = new Uint8Array(count * blockBytes).map(() => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
  for (const half of halves) {
    for (let at = half + 1; at < bytes.length; at += blockBytes) bytes[at] = (bytes[at] as number) & 0xbf;
  }
  return bytes;
}
