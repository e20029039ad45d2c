import { Size } from "../../assembly/layout.ts";
import { CacheFormat, Clamp, Offset } from "../../assembly/op.ts";
import type { CacheDType } from "../dtype.ts";
import { mismatch, OptionError } from "../errors.ts";
import { align } from "../machine/arena.ts";
import type { AttentionShape } from "./program.ts";

/** Λ-attention and the baselines that the same machinery gives: which keys a query meets, and at what distance. */
export const POLICIES = ["lambda", "full", "window", "sinks", "lambda-only", "ceiling-only"] as const;
export type PolicyName = (typeof POLICIES)[number];

export interface PolicyOptions {
  /** `lambda` unless told. */
  readonly attention?: PolicyName | undefined;
  /** First tokens that every query attends: 10, with `sinks` 4. */
  readonly nGlobal?: number | undefined;
  /** Most recent tokens that a query attends, itself included: min(trained length, 4096), with `sinks` 4 less. */
  readonly nLocal?: number | undefined;
  /** The distance ceiling, nLocal unless told. */
  readonly limit?: number | undefined;
  /** The longest text in tokens under `full` and `ceiling-only`, whose cache grows with it. */
  readonly maxPositions?: number | undefined;
}

/** A policy with every number decided. Infinity: no bound. */
export interface Policy {
  readonly attention: PolicyName;
  readonly nGlobal: number;
  readonly nLocal: number;
  readonly limit: number;
  readonly maxPositions: number;
}

const LARGEST = 2 ** 31;

function whole(name: string, value: number, min: number): number {
  if (Number.isInteger(value) && value >= min && value <= LARGEST) return value;
  throw new OptionError(mismatch(name, `a whole number from ${min} to ${LARGEST}`, value));
}

/**
 * Decides every number of a policy for a model trained at `trainedLength` tokens (and with a sliding window, if any).
 * Numbers that the policy does not use are accepted and ignored, so that one set of flags serves them all.
 */
export function resolvePolicy(options: PolicyOptions, trainedLength: number, slidingWindow = Infinity): Policy {
  const attention = options.attention ?? "lambda";
  if (!POLICIES.includes(attention)) {
    throw new OptionError(mismatch("attention", `one of ${POLICIES.join(", ")}`, attention));
  }
  const unbounded = attention === "full" || attention === "ceiling-only";
  const span = Math.min(trainedLength, slidingWindow, 4096);
  const pins = attention === "lambda" || attention === "sinks" || attention === "lambda-only";
  const nGlobal = pins ? whole("nGlobal", options.nGlobal ?? (attention === "sinks" ? 4 : 10), 0) : 0;
  const local = attention === "sinks" ? Math.max(1, span - 4) : span;
  const nLocal = unbounded ? Infinity : whole("nLocal", options.nLocal ?? local, 1);
  let limit = Infinity;
  if (attention === "lambda") limit = whole("limit", options.limit ?? nLocal, 1);
  if (attention === "ceiling-only") limit = whole("limit", options.limit ?? options.nLocal ?? span, 1);
  if (attention === "lambda" && limit < nLocal)
    throw new OptionError(mismatch("limit", `nLocal (${nLocal}) or more`, limit));
  const maxPositions = unbounded ? whole("maxPositions", options.maxPositions ?? trainedLength, 1) : Infinity;
  return { attention, nGlobal, nLocal, limit, maxPositions };
}

export const CACHE_FORMATS: Readonly<Record<CacheDType, CacheFormat>> = {
  f32: CacheFormat.F32,
  bf16: CacheFormat.Bf16,
  int8: CacheFormat.Int8,
};

/** Bytes of one head's key or value: its numbers, and with int8 an f32 for each ScaleBlock of them (CacheFormat). */
export function headBytes(dtype: CacheDType, headDim: number): number {
  if (dtype === "int8") return 4 * (Math.ceil(headDim / 4) + Math.ceil(headDim / Size.ScaleBlock));
  return headDim * (dtype === "bf16" ? 2 : 4);
}

/** The parts of one layer's cache; byte offsets from the layer's begin, Offset.Unused where the policy has no such part. */
export interface CacheLayout {
  readonly dtype: CacheDType;
  /** Bytes of one head's key or value. */
  readonly headBytes: number;
  /** Slots of the ring: nLocal, or maxPositions where nothing is forgotten. */
  readonly ring: number;
  readonly pinned: number;
  readonly clamp: Clamp;
  /** The fixed distance, or position, that clamped queries are rotated by; 0 where nothing is clamped. */
  readonly limit: number;
  readonly parts: Readonly<Record<CachePart, number>>;
  /** Bytes of keys and values and their scales, alignment not counted. */
  readonly valueBytes: number;
  /** Bytes that the layer takes in a slot. */
  readonly bytes: number;
}

export const CACHE_PARTS = ["kRing", "kRingUnrotated", "vRing", "kPinned", "kPinnedUnrotated", "vPinned"] as const;
export type CachePart = (typeof CACHE_PARTS)[number];

/**
 * Lays out one layer's cache: kvHeads · headDim · (2 · nLocal + 3 · nGlobal) values with RoPE, 2 · nGlobal with ALiBi;
 * `ceiling-only` keeps every key unrotated as well.
 */
export function cacheLayout(policy: Policy, shape: AttentionShape, dtype: CacheDType = "f32"): CacheLayout {
  const ring = policy.nLocal === Infinity ? policy.maxPositions : policy.nLocal;
  const pinned = policy.nGlobal;
  const rotates = shape.rotaryDim > 0;
  const bytesOfHead = headBytes(dtype, shape.headDim);
  const width = shape.kvHeads * bytesOfHead;
  const sizes: Record<CachePart, number> = {
    kRing: ring * width,
    kRingUnrotated: rotates && policy.attention === "ceiling-only" ? ring * width : 0,
    vRing: ring * width,
    kPinned: pinned * width,
    kPinnedUnrotated: rotates ? pinned * width : 0,
    vPinned: pinned * width,
  };
  let end = 0;
  const parts = Object.fromEntries(
    CACHE_PARTS.map((part) => {
      const offset = sizes[part] ? end : Offset.Unused;
      end += align(sizes[part]);
      return [part, offset];
    }),
  ) as Record<CachePart, number>;
  const valueBytes = CACHE_PARTS.reduce((sum, part) => sum + sizes[part], 0);
  const common = { dtype, headBytes: bytesOfHead, ring, pinned, parts, valueBytes, bytes: end };
  if (policy.attention === "sinks") return { ...common, clamp: Clamp.Sinks, limit: pinned + ring - 1 };
  const clamp = policy.limit === Infinity ? Clamp.None : Clamp.Distance;
  return { ...common, clamp, limit: clamp === Clamp.None ? 0 : policy.limit };
}
