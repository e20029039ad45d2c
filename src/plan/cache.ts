import { CacheFormat, Size } from "../../assembly/layout.ts";
import { Code } from "../../assembly/layout_codes.ts";
import { Offset } from "../../assembly/op.ts";
import { Clamp } from "../../assembly/op_positions.ts";
import type { CacheDType } from "../base/dtype.ts";
import { mismatch, OptionError } from "../base/errors.ts";
import { align } from "../machine/arena.ts";
import { codeBlock, codeWidth, meanBytes, RUN_BYTES } from "../machine/code_sizes.ts";
import type { AttentionOperation } from "../models/program.ts";
import { isLogged, type Middle } from "./middle.ts";
import type { Policy } from "./policy.ts";

/** The kernels' number of each cache format. */
export const CACHE_FORMATS: Readonly<Record<CacheDType, CacheFormat>> = {
  f32: CacheFormat.F32,
  bf16: CacheFormat.Bf16,
  int8: CacheFormat.Int8,
};

/** The dtypes of their numbers in safetensors; a head's int8 numbers and their scales are bytes. */
export const CACHE_TENSORS = { f32: "F32", bf16: "BF16", int8: "U8" } as const;

/** Bytes of one head's key or value: its numbers, and with int8 an f32 for each ScaleBlock of them (CacheFormat). */
export function headBytes(dtype: CacheDType, headDim: number): number {
  if (dtype === "int8") return 4 * (Math.ceil(headDim / 4) + Math.ceil(headDim / Size.ScaleBlock));
  return headDim * (dtype === "bf16" ? 2 : 4);
}

/**
 * Bytes that a layer keeps of each token that middle ones are chosen from: codes and a share of their mean, key and value.
 * Those are in memory; with a log all of it is in there too, and key and value are there alone.
 */
export function recallBytes(
  { shape }: Pick<AttentionOperation, "shape">,
  { headBytes, middle }: Pick<CacheLayout, "headBytes" | "middle">,
): { readonly memory: number; readonly log: number } {
  const coded = shape.kvHeads * (codeWidth(shape.headDim) + meanBytes(shape.headDim) / codeBlock(shape.headDim));
  const all = coded + shape.kvHeads * 2 * headBytes;
  return middle && isLogged(middle) ? { memory: coded, log: all } : { memory: all, log: 0 };
}

/**
 * The parts of one layer's cache; byte offsets relative to the layer's start, Offset.Unused where the policy has no
 * such part.
 */
export interface CacheLayout {
  readonly dtype: CacheDType;
  /** Bytes of one head's key or value. */
  readonly headBytes: number;
  /** Slots of the ring: nLocal, or maxPositions under a policy that forgets nothing. */
  readonly ring: number;
  readonly pinned: number;
  readonly clamp: Clamp;
  /** The fixed distance, or position, that clamped queries are rotated by; 0 if none are. */
  readonly limit: number;
  /** Undefined if the layer attends to no middle tokens. */
  readonly middle: Middle | undefined;
  /** Places of the ring that middle keys and values are in; 0 if it attends to none. */
  readonly recallPlaces: number;
  /** Blocks of keys that codes are kept of; 0 if none. */
  readonly codeBlocks: number;
  readonly parts: Readonly<Record<CachePart, number>>;
  readonly shapes: Readonly<Record<CachePart, PartShape>>;
  /** Bytes of keys and values and their scales, without alignment. */
  readonly valueBytes: number;
  /** Bytes that the layer takes in a session slot. */
  readonly bytes: number;
}

/** An operation's layer, its cache, and the byte offset in a session slot where that begins. */
export interface LoweredLayer {
  readonly layer: number;
  readonly cache: CacheLayout;
  readonly offset: number;
}

/** The parts that a layer's cache may have. */
export const CACHE_PARTS = [
  "kRing",
  "kRingUnrotated",
  "vRing",
  "kPinned",
  "kPinnedUnrotated",
  "vPinned",
  "kvRecall",
  "means",
  "codes",
  "runs",
] as const;
/** A part of a layer's cache. */
export type CachePart = (typeof CACHE_PARTS)[number];

/** Those of a block of tokens, not of one. */
export const CODED_PARTS: ReadonlySet<CachePart> = new Set<CachePart>(["means", "codes"]);

/** What a part is: one head after the other, each with `places` of `bytes`; in a snapshot, a tensor of that dtype and shape. */
export interface PartShape {
  readonly heads: number;
  readonly places: number;
  readonly bytes: number;
  readonly dtype: (typeof CACHE_TENSORS)[CacheDType] | "I32";
  readonly shape: readonly number[];
}

const NO_PART: PartShape = { heads: 0, places: 0, bytes: 0, dtype: "U8", shape: [] };

function eachPart<T>(of: (part: CachePart) => T): Record<CachePart, T> {
  return Object.fromEntries(CACHE_PARTS.map((part) => [part, of(part)])) as Record<CachePart, T>;
}

/** The cache of a layer without attention. */
export const NO_CACHE: CacheLayout = {
  ...{ dtype: "f32", headBytes: 0, ring: 0, pinned: 0, clamp: Clamp.None, limit: 0, middle: undefined },
  ...{ recallPlaces: 0, codeBlocks: 0 },
  parts: eachPart(() => Offset.Unused),
  shapes: eachPart(() => NO_PART),
  ...{ valueBytes: 0, bytes: 0 },
};

/**
 * Lays out the cache of a layer under its policy: kvHeads · headDim · (2 · nLocal + 3 · nGlobal) values with RoPE, 2 ·
 * nGlobal with ALiBi; `ceiling-only` also keeps every key unrotated, and a layer that attends to middle tokens keeps
 * the last nLocal + recallHeld unrotated keys and values, the codes of nLocal + recallTokens, and what its heads chose last.
 */
export function cacheLayout(
  policy: Policy,
  { shape, positions }: Pick<AttentionOperation, "shape" | "positions">,
  dtype: CacheDType = "f32",
): CacheLayout {
  const middle = policy.recall > 0 ? policy : undefined;
  if (middle && shape.headDim > Code.MostNumbers) {
    throw new OptionError(mismatch("recall", `0 with heads of more than ${Code.MostNumbers} numbers`, middle.recall));
  }
  const ring = policy.nLocal === Infinity ? policy.maxPositions : policy.nLocal;
  const pinned = policy.nGlobal;
  const rotates = positions.kind === "rope";
  const bytesOfHead = headBytes(dtype, shape.headDim);
  // Two more: the tokens that are kept may start within a block, and those that are taken back may have filled one.
  const codeBlocks = middle ? Math.ceil((ring + middle.recallTokens) / codeBlock(shape.headDim)) + 2 : 0;
  const recallPlaces = middle ? ring + middle.recallHeld : 0;
  const { heads, kvHeads, headDim } = shape;
  const numbers = dtype === "int8" ? bytesOfHead : headDim;
  const part = (heads: number, places: number, bytes: number, dtype: PartShape["dtype"], ...each: number[]) => {
    return { heads, places, bytes, dtype, shape: [heads, places, ...each] };
  };
  const kept = (places: number) => part(kvHeads, places, bytesOfHead, CACHE_TENSORS[dtype], numbers);
  const [mean, block, code] = [meanBytes(headDim), codeBlock(headDim), codeWidth(headDim)];
  const shapes: Record<CachePart, PartShape> = {
    kRing: kept(ring),
    kRingUnrotated: rotates && policy.attention === "ceiling-only" ? kept(ring) : NO_PART,
    vRing: kept(ring),
    kPinned: kept(pinned),
    kPinnedUnrotated: rotates ? kept(pinned) : NO_PART,
    vPinned: kept(pinned),
    kvRecall: { ...kept(recallPlaces), heads: 2 * kvHeads, shape: [2, kvHeads, recallPlaces, numbers] },
    means: part(kvHeads, codeBlocks, mean, "U8", mean),
    codes: part(kvHeads, codeBlocks, block * code, "U8", block, code),
    runs: middle ? part(heads, Code.RunPlaces, RUN_BYTES, "I32", Code.RunKeys) : NO_PART,
  };
  const sizeOf = (part: CachePart) => shapes[part].heads * shapes[part].places * shapes[part].bytes;
  let end = 0;
  const parts = eachPart((part) => {
    const offset = sizeOf(part) ? end : Offset.Unused;
    end += align(sizeOf(part));
    return offset;
  });
  const valueBytes = CACHE_PARTS.reduce((sum, part) => sum + sizeOf(part), 0);
  const sized = { dtype, headBytes: bytesOfHead, ring, pinned, middle, recallPlaces, codeBlocks };
  const common = { ...sized, parts, shapes, valueBytes, bytes: end };
  // Where no logit depends on a distance, nothing is clamped.
  if (positions.kind === "none") return { ...common, clamp: Clamp.None, limit: 0 };
  if (policy.attention === "sinks") return { ...common, clamp: Clamp.Sinks, limit: pinned + ring - 1 };
  const clamp = policy.limit === Infinity ? Clamp.None : Clamp.Distance;
  return { ...common, clamp, limit: clamp === Clamp.None ? 0 : policy.limit };
}
