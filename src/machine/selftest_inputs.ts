/** What the self-test computes with. */
import { CacheFormat, Format, Source, sourceBytes } from "../../assembly/layout.ts";
import type { CacheDType, DType, KEPT as KEPT_DTYPES, MemoryDType } from "../base/dtype.ts";

/** Formats of floats that packing reads. */
export const STORED = [Format.F32, Format.Bf16, Format.F16] as const;
/** Formats that it makes of them, each a part of the test. */
export const MATRICES: Readonly<Record<DType, Format>> = {
  ...{ f32: Format.F32, bf16: Format.Bf16, f16: Format.F16 },
  ...{ q8: Format.Q8, q7: Format.Q7, q4: Format.Q4 },
};

/** Formats of caches, each a part of the test. */
export const CACHES: Readonly<Record<`cache ${CacheDType}`, CacheFormat>> = {
  "cache f32": CacheFormat.F32,
  "cache bf16": CacheFormat.Bf16,
  "cache int8": CacheFormat.Int8,
};

/**
 * What is tested on its own, as a model may not use it: formats of matrices and of caches, middle tokens. "common" is what
 * every model uses.
 */
export type Part = "common" | MemoryDType | keyof typeof CACHES | "recall";

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
  numbers ??= makeNumbers();
  return numbers;
}

let numbers: ReturnType<typeof makeNumbers> | undefined;

function makeNumbers() {
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

/** All of these formats, each a part of the test. */
export const KEPT: Readonly<Record<(typeof KEPT_DTYPES)[number], Kept>> = {
  q8_0: { format: Format.Q8_0, source: Source.Q8_0, halves: [0] },
  q6_k: { format: Format.Q6_K, source: Source.Q6_K, halves: [208] },
  q5_0: { format: Format.Q5_0, source: Source.Q5_0, halves: [0] },
  q5_k: { format: Format.Q5_K, source: Source.Q5_K, halves: [0, 2] },
  q4_0: { format: Format.Q4_0, source: Source.Q4_0, halves: [0] },
  q4_k: { format: Format.Q4_K, source: Source.Q4_K, halves: [0, 2] },
  q2_k: { format: Format.Q2_K, source: Source.Q2_K, halves: [80, 82] },
};

/** The entry of a table by part that a part has, if any. */
export function entryOf<T>(table: Readonly<Record<string, T>>, part: Part): T | undefined {
  return table[part];
}

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
