import { Angles, Attention, Cast, Clamp, Offset, Op, Rope, Rows } from "../../assembly/op.ts";
import { CACHE_FORMATS, type CacheLayout } from "./cache.ts";
import type { Operation, Program } from "./program.ts";
import { type Addresses, bits, type PlannedRecord, record } from "./record.ts";

/** The records that make the rotary angles of a step, at the begin of every segment that attends; `cache`: any layer's. */
export function anglesRecords(program: Program, cache: CacheLayout, at: Addresses): PlannedRecord[] {
  if (program.positions.kind !== "rope") return [];
  const pairs = program.attention.rotaryDim / 2;
  const angles = (out: number, clamp: Clamp, limit: number, fixed: string): PlannedRecord => {
    const fields = {
      [Angles.out]: out,
      [Angles.turns]: at.turns,
      [Angles.pairs]: pairs,
      [Angles.clamp]: clamp,
      [Angles.limit]: limit,
    };
    return record(Op.Angles, Rows.All, fields, `angles[2,2,${pairs}] of the position and ${fixed}`, {
      flops: 160 * pairs,
    });
  };
  const records = [angles(at.angles, cache.clamp, cache.limit, "the fixed one")];
  const distance = cache.middle?.middleDistance;
  if (distance) records.push(angles(at.buffer("anglesMiddle"), Clamp.Distance, distance, "that of middle keys"));
  return records;
}

/** Rotations of query and key, keys and values in the cache's format, Λ-attention, and the step's own into the cache. */
export function lowerAttention(
  operation: Extract<Operation, { op: "attention" }>,
  program: Program,
  cache: CacheLayout,
  layerOffset: number,
  at: Addresses,
): PlannedRecord[] {
  const { heads, kvHeads, headDim, rotaryDim, scale } = program.attention;
  const { positions } = program;
  const rotates = positions.kind === "rope";
  const records: PlannedRecord[] = [];
  const rotate = (y: string, x: string, count: number, fixed?: number, angles = at.angles): void => {
    const fields = {
      [Rope.y]: at.buffer(y),
      [Rope.x]: at.buffer(x),
      [Rope.angles]: angles,
      [Rope.heads]: count,
      [Rope.headDim]: headDim,
      [Rope.rotaryDim]: rotaryDim,
      [Rope.interleaved]: rotates && positions.interleaved ? 1 : 0,
      [Rope.fixed]: fixed === undefined ? 0 : 1,
    };
    const text = `${y}[${count},${headDim}] = ${x} rotated by ${fixed ?? "its position"}`;
    records.push(record(Op.Rope, Rows.All, fields, text, { flops: 3 * count * rotaryDim }));
  };
  const fixed = rotates && cache.clamp !== Clamp.None;
  const { middle } = cache;
  if (rotates) rotate("qRotated", operation.q, heads);
  if (fixed) rotate("qFixed", operation.q, heads, cache.limit);
  if (rotates && middle) rotate("qMiddle", operation.q, heads, middle.middleDistance, at.buffer("anglesMiddle"));
  if (rotates) rotate("kRotated", operation.k, kvHeads);
  const q = rotates ? "qRotated" : operation.q;
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
  const k = cached("kCached", rotates ? "kRotated" : operation.k);
  const part = (name: keyof CacheLayout["parts"]): number =>
    cache.parts[name] === Offset.Unused ? Offset.Unused : layerOffset + cache.parts[name];
  const fields = {
    [Attention.out]: at.buffer(operation.y),
    [Attention.q]: at.buffer(q),
    [Attention.qFixed]: at.buffer(fixed ? "qFixed" : q),
    [Attention.k]: k,
    [Attention.kUnrotated]: takesUnrotated(program, cache) ? cached("kUnrotatedCached", operation.k) : k,
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
    [Attention.slopes]: at.slopes,
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
      [Attention.qMiddle]: at.buffer(rotates ? "qMiddle" : q),
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
function takesUnrotated({ positions }: Program, { parts, middle }: CacheLayout): boolean {
  const kept = parts.kRingUnrotated !== Offset.Unused || parts.kPinnedUnrotated !== Offset.Unused;
  return kept || (middle !== undefined && positions.kind === "rope");
}

/** The buffers that attention needs beside the model's own: f32 values per row. `cache`: that of the layer with most parts. */
export function attentionBuffers(program: Program, cache: CacheLayout): Record<string, number> {
  const { heads, kvHeads, headDim, rotaryDim } = program.attention;
  const buffers: Record<string, number> = {};
  if (program.positions.kind === "rope") {
    Object.assign(buffers, { qRotated: heads * headDim, kRotated: kvHeads * headDim });
    if (cache.clamp !== Clamp.None) buffers.qFixed = heads * headDim;
    if (cache.middle) Object.assign(buffers, { qMiddle: heads * headDim, anglesMiddle: 2 * rotaryDim });
  }
  if (cache.middle) buffers.chosen = 2 * heads * cache.middle.middleK;
  if (cache.dtype !== "f32") {
    const width = Math.ceil((kvHeads * cache.headBytes) / 4);
    Object.assign(buffers, { kCached: width, vCached: width });
    if (takesUnrotated(program, cache)) buffers.kUnrotatedCached = width;
  }
  return buffers;
}
