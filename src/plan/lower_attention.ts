import { Angles, Attention, Cast, Clamp, Offset, Op, Rope, Rows } from "../../assembly/op.ts";
import type { AttentionOperation } from "../models/program.ts";
import { CACHE_FORMATS, type CacheLayout } from "./cache.ts";
import { type Addresses, type AngleKey, bits, type PlannedRecord, record } from "./record.ts";

/** The angles that a layer's attention rotates by: those of its clamp, and of the distance that middle keys are met at. */
export function anglesOf({ positions }: AttentionOperation, cache: CacheLayout): AngleKey[] {
  if (positions.kind !== "rope") return [];
  const { clamp, limit, middle } = cache;
  const own = { positions, clamp, limit };
  return middle ? [own, { positions, clamp: Clamp.Distance, limit: middle.middleDistance }] : [own];
}

/** The record that makes angles of the step's rows from the turns at `turns`. */
export function anglesRecord({ positions, clamp, limit }: AngleKey, turns: number, out: number): PlannedRecord {
  const pairs = positions.inverseFrequencies.length;
  const fields = {
    [Angles.out]: out,
    [Angles.turns]: turns,
    [Angles.pairs]: pairs,
    [Angles.clamp]: clamp,
    [Angles.limit]: limit,
  };
  const fixed = clamp === Clamp.None ? "" : ` and ${limit}${clamp === Clamp.Sinks ? " after the first" : ""}`;
  const text = `angles[2,2,${pairs}] of the position${fixed}`;
  return record(Op.Angles, Rows.All, fields, text, { flops: 160 * pairs });
}

/** Rotations of query and key, keys and values in the cache's format, Λ-attention, and the step's own into the cache. */
export function lowerAttention(
  operation: AttentionOperation,
  cache: CacheLayout,
  layerOffset: number,
  at: Addresses,
): PlannedRecord[] {
  const { heads, kvHeads, headDim, scale } = operation.shape;
  const [own, ofMiddle] = anglesOf(operation, cache);
  const records: PlannedRecord[] = [];
  const rotate = (angles: AngleKey, y: string, x: string, count: number, fixed?: number): void => {
    const { inverseFrequencies, interleaved } = angles.positions;
    const rotaryDim = 2 * inverseFrequencies.length;
    const fields = {
      [Rope.y]: at.buffer(y),
      [Rope.x]: at.buffer(x),
      [Rope.angles]: at.angles(angles),
      [Rope.heads]: count,
      [Rope.headDim]: headDim,
      [Rope.rotaryDim]: rotaryDim,
      [Rope.interleaved]: interleaved ? 1 : 0,
      [Rope.fixed]: fixed === undefined ? 0 : 1,
    };
    const text = `${y}[${count},${headDim}] = ${x} rotated by ${fixed ?? "its position"}`;
    records.push(record(Op.Rope, Rows.All, fields, text, { flops: 3 * count * rotaryDim }));
  };
  const fixed = own !== undefined && cache.clamp !== Clamp.None;
  const { middle } = cache;
  if (own) rotate(own, "qRotated", operation.q, heads);
  if (fixed) rotate(own, "qFixed", operation.q, heads, own.limit);
  if (ofMiddle) rotate(ofMiddle, "qMiddle", operation.q, heads, ofMiddle.limit);
  if (own) rotate(own, "kRotated", operation.k, kvHeads);
  const q = own ? "qRotated" : operation.q;
  const format = { format: CACHE_FORMATS[cache.dtype], headBytes: cache.headBytes };
  /** The buffer of keys or values x as they are cached: a cast one, or with f32 x itself. */
  const cached = (y: string, x: string): number => {
    if (cache.dtype === "f32") return at.buffer(x);
    const fields = {
      [Cast.y]: at.buffer(y),
      [Cast.x]: at.buffer(x),
      [Cast.kvHeads]: kvHeads,
      [Cast.headDim]: headDim,
      [Cast.format]: format.format,
      [Cast.headBytes]: format.headBytes,
    };
    const text = `${y}[${kvHeads},${headDim}] = ${x} in ${cache.dtype}`;
    records.push(record(Op.Cast, Rows.All, fields, text, { flops: 4 * kvHeads * headDim }));
    return at.buffer(y);
  };
  const k = cached("kCached", own ? "kRotated" : operation.k);
  const part = (name: keyof CacheLayout["parts"]): number =>
    cache.parts[name] === Offset.Unused ? Offset.Unused : layerOffset + cache.parts[name];
  const fields = {
    [Attention.out]: at.buffer(operation.y),
    [Attention.q]: at.buffer(q),
    [Attention.qFixed]: at.buffer(fixed ? "qFixed" : q),
    [Attention.k]: k,
    [Attention.kUnrotated]: takesUnrotated(operation, cache) ? cached("kUnrotatedCached", operation.k) : k,
    [Attention.v]: cached("vCached", operation.v),
    [Attention.kRing]: part("kRing"),
    [Attention.kRingUnrotated]: part("kRingUnrotated"),
    [Attention.vRing]: part("vRing"),
    [Attention.kPinned]: part("kPinned"),
    [Attention.kPinnedUnrotated]: part("kPinnedUnrotated"),
    [Attention.vPinned]: part("vPinned"),
    [Attention.heads]: heads,
    [Attention.kvHeads]: kvHeads,
    [Attention.headDim]: headDim,
    [Attention.scale]: bits(scale),
    [Attention.slopes]: at.slopes(operation.positions),
    [Attention.nGlobal]: cache.pinned,
    [Attention.nLocal]: cache.ring,
    [Attention.clamp]: cache.clamp,
    [Attention.limit]: cache.limit,
    [Attention.scratch]: at.scratch,
    [Attention.format]: format.format,
    [Attention.headBytes]: format.headBytes,
    ...(middle && {
      [Attention.middleK]: middle.middleK,
      [Attention.maxMiddle]: middle.maxMiddle,
      [Attention.middleDistance]: middle.middleDistance,
      [Attention.qMiddle]: at.buffer(ofMiddle ? "qMiddle" : q),
      [Attention.kvMiddle]: part("kvMiddle"),
      [Attention.chosen]: at.buffer("chosen"),
    }),
  };
  const keys = cache.pinned + cache.ring;
  const { middleK, maxMiddle } = middle ?? { middleK: 0, maxMiddle: 0 };
  const more = middle ? ` and the best ${middleK} of ${maxMiddle}` : "";
  const shape = `${operation.y}[${heads},${headDim}]`;
  records.push(
    record(Op.Attention, Rows.All, fields, `${shape} = attention over ${keys} keys of ${kvHeads} heads${more}`, {
      cacheBytes: ((2 * keys + maxMiddle) * kvHeads + middleK * heads) * cache.headBytes,
      flops: (4 * keys + 2 * (maxMiddle + middleK)) * heads * headDim,
    }),
    record(Op.Store, Rows.All, fields, `cache = ${operation.k}, ${operation.v}[${kvHeads},${headDim}]`, { flops: 0 }),
  );
  return records;
}

/** Whether attention needs unrotated keys beside the rotated ones. */
function takesUnrotated({ positions }: AttentionOperation, { parts, middle }: CacheLayout): boolean {
  const kept = parts.kRingUnrotated !== Offset.Unused || parts.kPinnedUnrotated !== Offset.Unused;
  return kept || (middle !== undefined && positions.kind === "rope");
}

/** The buffers that attention of a layer needs beside the model's own: f32 values per row. */
export function attentionBuffers(operation: AttentionOperation, cache: CacheLayout): Record<string, number> {
  const { heads, kvHeads, headDim } = operation.shape;
  const rotates = operation.positions.kind === "rope";
  const buffers: Record<string, number> = {};
  if (rotates) {
    Object.assign(buffers, { qRotated: heads * headDim, kRotated: kvHeads * headDim });
    if (cache.clamp !== Clamp.None) buffers.qFixed = heads * headDim;
    if (cache.middle) buffers.qMiddle = heads * headDim;
  }
  if (cache.middle) buffers.chosen = 2 * heads * cache.middle.middleK;
  if (cache.dtype !== "f32") {
    const width = Math.ceil((kvHeads * cache.headBytes) / 4);
    Object.assign(buffers, { kCached: width, vCached: width });
    if (takesUnrotated(operation, cache)) buffers.kUnrotatedCached = width;
  }
  return buffers;
}
