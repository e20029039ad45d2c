import { Attention, Cast, Offset, Op, Span } from "../../assembly/op.ts";
import { Angles, Clamp, Rope, Temper } from "../../assembly/op_positions.ts";
import { codeBlock, codeWidth, meanBytes } from "../machine/code_sizes.ts";
import { chosenBuffer, PLANNED } from "../models/buffers.ts";
import type { AttentionOperation } from "../models/program.ts";
import { CACHE_FORMATS, type CacheLayout, type LoweredLayer } from "./cache.ts";
import { headsThatLook, isLogged } from "./middle.ts";
import { type Addresses, type AngleKey, bits, type PlannedRecord, record } from "./record.ts";

/** The angles that a layer's attention rotates by: those of its clamp, and of the distance that middle keys are met at. */
export function anglesOf({ positions }: AttentionOperation, cache: CacheLayout): AngleKey[] {
  if (positions.kind !== "rope") return [];
  const { clamp, limit, middle } = cache;
  const own = { positions, clamp, limit };
  return middle ? [own, { positions, clamp: Clamp.Distance, limit: middle.recallDistance }] : [own];
}

/** The record that makes angles of the step's rows from the turns at `turns`. */
export function anglesRecord({ positions, clamp, limit }: AngleKey, turns: number, out: number): PlannedRecord {
  const { inverseFrequencies, factor = 1, factors } = positions;
  const pairs = inverseFrequencies.length;
  const fields = {
    [Angles.out]: out,
    [Angles.turns]: turns,
    [Angles.pairs]: pairs,
    [Angles.clamp]: clamp,
    [Angles.limit]: limit,
    [Angles.factor]: bits(factor),
    // Queries rotated by a fixed distance meet unrotated keys, which have no factor.
    [Angles.fixedFactor]: bits(clamp === Clamp.Distance ? factor * factor : factor),
  };
  const fixed = clamp === Clamp.None ? "" : ` and ${limit}${clamp === Clamp.Sinks ? " after the first" : ""}`;
  const scaled = `${factors ? `, by ${factors} factors` : ""}${factor === 1 ? "" : `, times ${factor}`}`;
  const text = `angles[2,2,${pairs}] of the position${fixed}${scaled}`;
  return record(Op.Angles, Span.All, fields, text, { flops: 160 * pairs });
}

/** Rotations of query and key, keys and values in the cache's format, Λ-attention, and the step's own into the cache. */
export function lowerAttention(
  operation: AttentionOperation,
  { layer, cache, offset }: LoweredLayer,
  at: Addresses,
): PlannedRecord[] {
  const { heads, kvHeads, headDim, scale, softCap = 0 } = operation.shape;
  const { middle } = cache;
  const [own, ofRecall] = anglesOf(operation, cache);
  const fixed = own !== undefined && cache.clamp !== Clamp.None;
  const looking = middle ? headsThatLook(middle, layer, heads) : 0;
  const records: PlannedRecord[] = [];
  const rotate = (angles: AngleKey, y: string, x: string, count: number, fixed?: number) =>
    void records.push(rotation(angles, at, { y, x, heads: count, headDim, fixed }));
  if (own?.positions.temperature) records.push(temper(operation, own.positions.temperature, cache, at));
  if (own) rotate(own, PLANNED.qRotated, operation.q, heads);
  if (fixed) rotate(own, PLANNED.qFixed, operation.q, heads, own.limit);
  if (ofRecall) rotate(ofRecall, PLANNED.qRecall, operation.q, heads, ofRecall.limit);
  if (own) rotate(own, PLANNED.kRotated, operation.k, kvHeads);
  /** The buffer of keys or values x as they are cached: a cast one, or with f32 x itself. */
  const cached = (y: string, x: string): number => {
    if (cache.dtype === "f32") return at.buffer(x);
    records.push(cast(y, x, operation.shape, cache, at));
    return at.buffer(y);
  };
  const q = own ? PLANNED.qRotated : operation.q;
  const k = cached(PLANNED.kCached, own ? PLANNED.kRotated : operation.k);
  const fields = {
    [Attention.out]: at.buffer(operation.y),
    [Attention.q]: at.buffer(q),
    [Attention.qFixed]: at.buffer(fixed ? PLANNED.qFixed : q),
    [Attention.k]: k,
    [Attention.kUnrotated]: takesUnrotated(operation, cache) ? cached(PLANNED.kUnrotatedCached, operation.k) : k,
    [Attention.v]: cached(PLANNED.vCached, operation.v),
    [Attention.heads]: heads,
    [Attention.kvHeads]: kvHeads,
    [Attention.headDim]: headDim,
    [Attention.scale]: bits(scale),
    [Attention.softCap]: bits(softCap),
    [Attention.slopes]: at.slopes(operation.positions),
    [Attention.scratch]: at.scratch,
    ...cacheFields(cache, offset),
    ...(middle && {
      [Attention.qRecall]: at.buffer(ofRecall ? PLANNED.qRecall : q),
      [Attention.chosen]: at.buffer(chosenBuffer(layer)),
      [Attention.recallWork]: at.recallWork,
      [Attention.gathered]: isLogged(middle) ? at.buffer(PLANNED.gathered) : 0,
      [Attention.gates]: at.gates(layer),
    }),
  };
  const keys = cache.pinned + cache.ring;
  const more = middle ? ` and the best ${middle.recall} of ${middle.recallTokens}` : "";
  const shape = `${operation.y}[${heads},${headDim}]`;
  const looked = lookedAt(cache, headDim);
  if (middle) {
    const text = `chosen.${layer}[${heads},${middle.recall}] of ${middle.recallTokens} keys`;
    const cost = { cacheBytes: kvHeads * looked.bytes, flops: 2 * looked.codes * looking * headDim };
    records.push(
      record(Op.Choose, Span.All, fields, text, cost),
      record(Op.Follow, Span.All, fields, `chosen.${layer} at the distances of tokens before`, { flops: 0 }),
    );
  }
  records.push(
    record(Op.Attention, Span.All, fields, `${shape} = attention over ${keys} keys of ${kvHeads} heads${more}`, {
      cacheBytes: 2 * (keys * kvHeads + looked.chosen * looking) * cache.headBytes,
      flops: 4 * (keys * heads + looked.chosen * looking) * headDim,
    }),
    record(Op.Store, Span.All, fields, `cache = ${operation.k}, ${operation.v}[${kvHeads},${headDim}]`, { flops: 0 }),
  );
  if (middle) {
    const text = `codes of ${operation.k}[${kvHeads},${headDim}], and chosen.${layer} for later steps`;
    records.push(record(Op.Seal, Span.All, fields, text, { flops: 0 }));
  }
  return records;
}

/** What a head looks at to choose its middle keys, at most: codes of means and keys, their bytes, and the keys that it chooses. */
function lookedAt({ middle, codeBlocks }: CacheLayout, headDim: number) {
  if (!middle) return { codes: 0, bytes: 0, chosen: 0 };
  const keys = codeBlock(headDim) * Math.min(middle.recallBlocks + 2, codeBlocks);
  const bytes = codeBlocks * meanBytes(headDim) + keys * codeWidth(headDim);
  return { codes: codeBlocks + keys, bytes, chosen: middle.recall };
}

/** q times what its position says; a clamp of distances bounds the position too, so that far queries are as near ones. */
function temper(
  { q, shape }: AttentionOperation,
  { beta, original }: { readonly beta: number; readonly original: number },
  { clamp, limit }: CacheLayout,
  at: Addresses,
): PlannedRecord {
  const dim = shape.heads * shape.headDim;
  const fields = {
    [Temper.y]: at.buffer(q),
    [Temper.x]: at.buffer(q),
    [Temper.dim]: dim,
    [Temper.beta]: bits(beta),
    [Temper.original]: original,
    [Temper.clamp]: clamp,
    [Temper.limit]: limit,
  };
  const n = clamp === Clamp.None ? "n" : `min(n, ${limit})`;
  const text = `${q}[${dim}] times 1 + ${beta} · ln(1 + ⌊${n} / ${original}⌋) after n tokens`;
  return record(Op.Temper, Span.All, fields, text, { flops: dim });
}

/** y[heads, headDim] = x rotated by its position, or by the fixed one of these angles. */
function rotation(
  angles: AngleKey,
  at: Addresses,
  { y, x, heads, headDim, fixed }: { y: string; x: string; heads: number; headDim: number; fixed: number | undefined },
): PlannedRecord {
  const { inverseFrequencies, interleaved } = angles.positions;
  const rotaryDim = 2 * inverseFrequencies.length;
  const fields = {
    [Rope.y]: at.buffer(y),
    [Rope.x]: at.buffer(x),
    [Rope.angles]: at.angles(angles),
    [Rope.heads]: heads,
    [Rope.headDim]: headDim,
    [Rope.rotaryDim]: rotaryDim,
    [Rope.interleaved]: interleaved ? 1 : 0,
    [Rope.fixed]: fixed === undefined ? 0 : 1,
  };
  const text = `${y}[${heads},${headDim}] = ${x} rotated by ${fixed ?? "its position"}`;
  return record(Op.Rope, Span.All, fields, text, { flops: 3 * heads * rotaryDim });
}

/** y = keys or values x[kvHeads, headDim] in the cache's format. */
function cast(
  y: string,
  x: string,
  { kvHeads, headDim }: AttentionOperation["shape"],
  { dtype, headBytes }: CacheLayout,
  at: Addresses,
): PlannedRecord {
  const fields = {
    [Cast.y]: at.buffer(y),
    [Cast.x]: at.buffer(x),
    [Cast.kvHeads]: kvHeads,
    [Cast.headDim]: headDim,
    [Cast.format]: CACHE_FORMATS[dtype],
    [Cast.headBytes]: headBytes,
  };
  const text = `${y}[${kvHeads},${headDim}] = ${x} in ${dtype}`;
  return record(Op.Cast, Span.All, fields, text, { flops: 4 * kvHeads * headDim });
}

/** What attention has to know of a layer's cache. */
function cacheFields(cache: CacheLayout, layerOffset: number): Record<number, number> {
  const { middle } = cache;
  const part = (name: keyof CacheLayout["parts"]): number =>
    cache.parts[name] === Offset.Unused ? Offset.Unused : layerOffset + cache.parts[name];
  return {
    [Attention.kRing]: part("kRing"),
    [Attention.kRingUnrotated]: part("kRingUnrotated"),
    [Attention.vRing]: part("vRing"),
    [Attention.kPinned]: part("kPinned"),
    [Attention.kPinnedUnrotated]: part("kPinnedUnrotated"),
    [Attention.vPinned]: part("vPinned"),
    [Attention.nGlobal]: cache.pinned,
    [Attention.nLocal]: cache.ring,
    [Attention.clamp]: cache.clamp,
    [Attention.limit]: cache.limit,
    [Attention.format]: CACHE_FORMATS[cache.dtype],
    [Attention.headBytes]: cache.headBytes,
    ...(middle && {
      [Attention.recall]: middle.recall,
      [Attention.recallTokens]: middle.recallTokens,
      [Attention.recallPlaces]: cache.recallPlaces,
      [Attention.recallDistance]: middle.recallDistance,
      [Attention.kvRecall]: part("kvRecall"),
      [Attention.recallBlocks]: Math.min(middle.recallBlocks, 2 ** 32 - 1),
      ...{ [Attention.means]: part("means"), [Attention.codes]: part("codes"), [Attention.runs]: part("runs") },
      [Attention.codeBlocks]: cache.codeBlocks,
    }),
  };
}

/** Whether attention needs unrotated keys beside the rotated ones. */
function takesUnrotated({ positions }: AttentionOperation, { parts, middle }: CacheLayout): boolean {
  const kept = parts.kRingUnrotated !== Offset.Unused || parts.kPinnedUnrotated !== Offset.Unused;
  return kept || (middle !== undefined && positions.kind === "rope");
}

/** The buffers that attention of a layer needs beside the model's own: f32 values per row. */
export function attentionBuffers(
  operation: AttentionOperation,
  layer: number,
  cache: CacheLayout,
): Record<string, number> {
  const { heads, kvHeads, headDim } = operation.shape;
  const rotates = operation.positions.kind === "rope";
  const buffers: Record<string, number> = {};
  if (rotates) {
    Object.assign(buffers, { [PLANNED.qRotated]: heads * headDim, [PLANNED.kRotated]: kvHeads * headDim });
    if (cache.clamp !== Clamp.None) buffers[PLANNED.qFixed] = heads * headDim;
    if (cache.middle) buffers[PLANNED.qRecall] = heads * headDim;
  }
  if (cache.middle) {
    const entries = heads * cache.middle.recall;
    buffers[chosenBuffer(layer)] = 2 * entries;
    if (isLogged(cache.middle)) buffers[PLANNED.gathered] = (2 * entries * cache.headBytes) / 4;
  }
  if (cache.dtype !== "f32") {
    const width = Math.ceil((kvHeads * cache.headBytes) / 4);
    Object.assign(buffers, { [PLANNED.kCached]: width, [PLANNED.vCached]: width });
    if (takesUnrotated(operation, cache)) buffers[PLANNED.kUnrotatedCached] = width;
  }
  return buffers;
}
