import {
  Angles,
  Attention,
  Cast,
  Clamp,
  Clip,
  Elementwise,
  Embed,
  Format,
  Gather,
  Matmul,
  Norm,
  Offset,
  Op,
  Quantize,
  Rope,
  Rows,
  Size,
} from "../../assembly/op.ts";
import type { DType } from "../dtype.ts";
import { CACHE_FORMATS, type CacheLayout } from "./cache.ts";
import type { Operation, Program } from "./program.ts";
import { FORMATS, packedRowBytes } from "./weights.ts";

/** One record, ready to be written, and what `inspect` says of it. */
export interface PlannedRecord {
  readonly op: Op;
  readonly words: Uint32Array;
  /** What it computes, with names and shapes. */
  readonly text: string;
  /** For one row: bytes of weights and of cache that it reads, and floating-point operations. */
  readonly weightBytes: number;
  readonly cacheBytes: number;
  readonly flops: number;
}

/** Where things are, for the operations of one bank. */
export interface Addresses {
  buffer(name: string): number;
  weight(name: string): { readonly address: number; readonly bytes: number; readonly dtype: DType };
  /** Angles of the step's rows, the turns that they are made from, ALiBi's slopes (0: none), and attention's scratch. */
  readonly angles: number;
  readonly turns: number;
  readonly slopes: number;
  readonly scratch: number;
  /** MaxSlices areas of WorkBytes. */
  readonly work: number;
}

/** What the buffer of quantised activations holds: which buffer's numbers, for which format. */
export interface Quantized {
  x?: string;
  dtype?: DType;
}

const ELEMENTWISE = { siluMul: Op.SiluMul, gelu: Op.Gelu, geluTanh: Op.GeluTanh } as const;
/** The buffer of quantised activations. */
const QUANTIZED = "quantized";
/** Buffers of the rows that want logits; the others have a row for every row of the step. */
export const LOGITS_BUFFERS: ReadonlySet<string> = new Set(["last", "logits"]);

const float = new Float32Array(1);
const floatBits = new Uint32Array(float.buffer);
function bits(value: number): number {
  float[0] = value;
  return floatBits[0] as number;
}

function record(
  op: Op,
  rows: Rows,
  fields: Readonly<Record<number, number>>,
  text: string,
  cost: { weightBytes?: number; cacheBytes?: number; flops: number },
): PlannedRecord {
  const words = new Uint32Array(Size.RecordBytes / 4);
  words[0] = op;
  words[1] = rows;
  for (const [field, value] of Object.entries(fields)) words[Number(field)] = value;
  return { op, words, text, weightBytes: cost.weightBytes ?? 0, cacheBytes: cost.cacheBytes ?? 0, flops: cost.flops };
}

/** The record that makes the rotary angles of a step; one at the begin of every segment that attends. */
export function anglesRecord(program: Program, cache: CacheLayout, at: Addresses): PlannedRecord[] {
  if (program.positions.kind !== "rope") return [];
  const pairs = program.attention.rotaryDim / 2;
  const fields = {
    [Angles.out]: at.angles,
    [Angles.turns]: at.turns,
    [Angles.pairs]: pairs,
    [Angles.clamp]: cache.clamp,
    [Angles.limit]: cache.limit,
  };
  return [
    record(Op.Angles, Rows.All, fields, `angles[2,2,${pairs}] of the position and the fixed one`, {
      flops: 160 * pairs,
    }),
  ];
}

/**
 * The records of one operation. `layerOffset`: where the layer's cache begins in a session slot, in bytes. `quantized`
 * goes from operation to operation, so that matmuls of one x share its quantised form.
 */
export function lower(
  operation: Operation,
  program: Program,
  cache: CacheLayout,
  layerOffset: number,
  at: Addresses,
  quantized: Quantized,
): PlannedRecord[] {
  const records = lowerOne(operation, program, cache, layerOffset, at, quantized);
  const written = "y" in operation ? operation.y : operation.x;
  if (written === quantized.x) quantized.x = "";
  return records;
}

function lowerOne(
  operation: Operation,
  program: Program,
  cache: CacheLayout,
  layerOffset: number,
  at: Addresses,
  quantized: Quantized,
): PlannedRecord[] {
  const width = (buffer: string): number => program.buffers[buffer] as number;
  const rowsOf = (buffer: string): Rows => (LOGITS_BUFFERS.has(buffer) ? Rows.Logits : Rows.All);
  const shape = (buffer: string): string => `${buffer}[${width(buffer)}]`;
  switch (operation.op) {
    case "embed": {
      const { address, dtype } = at.weight(operation.table);
      const dim = width(operation.y);
      const fields = {
        [Embed.y]: at.buffer(operation.y),
        [Embed.table]: address,
        [Embed.dim]: dim,
        [Embed.format]: FORMATS[dtype],
        [Embed.work]: at.work,
      };
      const weightBytes = packedRowBytes(dim, dtype);
      return [
        record(Op.Embed, Rows.All, fields, `${shape(operation.y)} = ${operation.table}[token]`, {
          weightBytes,
          flops: 0,
        }),
      ];
    }
    case "gather": {
      const dim = width(operation.x);
      const fields = { [Gather.y]: at.buffer(operation.y), [Gather.x]: at.buffer(operation.x), [Gather.dim]: dim };
      const text = `${shape(operation.y)} = ${operation.x} of the rows that want logits`;
      return [record(Op.Gather, Rows.Logits, fields, text, { flops: 0 })];
    }
    case "rmsNorm":
    case "layerNorm": {
      const dim = width(operation.x);
      const weight = at.weight(operation.weight);
      const bias = operation.op === "layerNorm" && operation.bias ? at.weight(operation.bias) : undefined;
      const fields = {
        [Norm.y]: at.buffer(operation.y),
        [Norm.x]: at.buffer(operation.x),
        [Norm.weight]: weight.address,
        [Norm.bias]: bias?.address ?? 0,
        [Norm.dim]: dim,
        [Norm.eps]: bits(operation.eps),
      };
      const op = operation.op === "rmsNorm" ? Op.RmsNorm : Op.LayerNorm;
      const text = `${shape(operation.y)} = ${operation.op}(${operation.x}) · ${operation.weight}`;
      const weightBytes = weight.bytes + (bias?.bytes ?? 0);
      return [record(op, rowsOf(operation.x), fields, text, { weightBytes, flops: 5 * dim })];
    }
    case "matmul": {
      const weight = at.weight(operation.weight);
      const bias = operation.bias ? at.weight(operation.bias) : undefined;
      const n = width(operation.y);
      const k = width(operation.x);
      const format = FORMATS[weight.dtype];
      const whole = format >= Format.Q8;
      const fields = {
        [Matmul.y]: at.buffer(operation.y),
        [Matmul.x]: at.buffer(whole ? QUANTIZED : operation.x),
        [Matmul.weight]: weight.address,
        [Matmul.bias]: bias?.address ?? 0,
        [Matmul.residual]: operation.residual ? at.buffer(operation.residual) : 0,
        [Matmul.n]: n,
        [Matmul.k]: k,
        [Matmul.format]: format,
        [Matmul.work]: at.work,
      };
      const more = `${bias ? " + bias" : ""}${operation.residual ? ` + ${operation.residual}` : ""}`;
      const text = `${shape(operation.y)} = ${operation.x} · ${operation.weight}[${n},${k}]ᵀ ${weight.dtype}${more}`;
      const weightBytes = weight.bytes + (bias?.bytes ?? 0);
      const matmul = record(Op.Matmul, rowsOf(operation.y), fields, text, { weightBytes, flops: 2 * n * k });
      if (!whole || (quantized.x === operation.x && quantized.dtype === weight.dtype)) return [matmul];
      Object.assign(quantized, { x: operation.x, dtype: weight.dtype });
      const numbers = {
        [Quantize.y]: at.buffer(QUANTIZED),
        [Quantize.x]: at.buffer(operation.x),
        [Quantize.k]: k,
        [Quantize.format]: format,
      };
      const how = `${operation.x}[${k}] in whole numbers for ${weight.dtype}`;
      return [record(Op.Quantize, rowsOf(operation.x), numbers, how, { flops: 4 * k }), matmul];
    }
    case "clip": {
      const dim = width(operation.x);
      const fields = { [Clip.x]: at.buffer(operation.x), [Clip.dim]: dim, [Clip.bound]: bits(operation.bound) };
      const text = `${shape(operation.x)} within ±${operation.bound}`;
      return [record(Op.Clip, Rows.All, fields, text, { flops: 2 * dim })];
    }
    case "attention":
      return attention(operation, program, cache, layerOffset, at);
    default: {
      const n = width(operation.y);
      const b = "b" in operation ? operation.b : operation.a;
      const fields = {
        [Elementwise.y]: at.buffer(operation.y),
        [Elementwise.a]: at.buffer(operation.a),
        [Elementwise.b]: at.buffer(b),
        [Elementwise.n]: n,
      };
      const args = "b" in operation ? `${operation.a}, ${operation.b}` : operation.a;
      const text = `${shape(operation.y)} = ${operation.op}(${args})`;
      return [record(ELEMENTWISE[operation.op], Rows.All, fields, text, { flops: 30 * n })];
    }
  }
}

/** Rotations of query and key, keys and values in the cache's format, Λ-attention, and the step's own into the cache. */
function attention(
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
  const rotate = (y: string, x: string, count: number, fixed: boolean): void => {
    const fields = {
      [Rope.y]: at.buffer(y),
      [Rope.x]: at.buffer(x),
      [Rope.angles]: at.angles,
      [Rope.heads]: count,
      [Rope.headDim]: headDim,
      [Rope.rotaryDim]: rotaryDim,
      [Rope.interleaved]: rotates && positions.interleaved ? 1 : 0,
      [Rope.fixed]: fixed ? 1 : 0,
    };
    const text = `${y}[${count},${headDim}] = ${x} rotated by ${fixed ? cache.limit : "its position"}`;
    records.push(record(Op.Rope, Rows.All, fields, text, { flops: 3 * count * rotaryDim }));
  };
  const fixed = rotates && cache.clamp !== Clamp.None;
  if (rotates) rotate("qRotated", operation.q, heads, false);
  if (fixed) rotate("qFixed", operation.q, heads, true);
  if (rotates) rotate("kRotated", operation.k, kvHeads, false);
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
    [Attention.kUnrotated]: keepsUnrotated(cache) ? cached("kUnrotatedCached", operation.k) : k,
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
  };
  const keys = cache.pinned + cache.ring;
  const shape = `${operation.y}[${heads},${headDim}]`;
  records.push(
    record(Op.Attention, Rows.All, fields, `${shape} = attention over ${keys} keys of ${kvHeads} heads`, {
      cacheBytes: 2 * keys * kvHeads * cache.headBytes,
      flops: 4 * keys * heads * headDim,
    }),
    record(Op.Store, Rows.All, fields, `cache = ${operation.k}, ${operation.v}[${kvHeads},${headDim}]`, { flops: 0 }),
  );
  return records;
}

/** The buffer that quantised matmuls need beside the model's own: f32 values per row, enough for any x. */
export function quantizedBuffer(program: Program, dtypeOf: (weight: string) => DType): Record<string, number> {
  const operations = [...program.layers.flat(), ...program.head];
  const widths = operations.map((operation) => {
    if (operation.op !== "matmul" || FORMATS[dtypeOf(operation.weight)] < Format.Q8) return 0;
    return 18 * Math.ceil((program.buffers[operation.x] as number) / 32);
  });
  const width = Math.max(...widths);
  return width ? { [QUANTIZED]: width } : {};
}

/** Marks the matmuls that the next one does not wait for: threads go on without meeting. */
export function runAhead(records: readonly PlannedRecord[]): void {
  for (const [i, { op, words }] of records.entries()) {
    const next = records[i + 1];
    if (op !== Op.Matmul || next?.op !== Op.Matmul) continue;
    const written = [words[Matmul.y], next.words[Matmul.y]];
    const touched = [Matmul.x, Matmul.residual].flatMap((field) => [words[field], next.words[field]]);
    if (written[0] === written[1] || written.some((buffer) => touched.includes(buffer))) continue;
    words[1] = (words[1] as number) | Rows.OnTheSide;
  }
}

/** Whether the cache has unrotated keys beside the rotated ones. */
function keepsUnrotated({ parts }: CacheLayout): boolean {
  return parts.kRingUnrotated !== Offset.Unused || parts.kPinnedUnrotated !== Offset.Unused;
}

/** The buffers that attention needs beside the model's own: f32 values per row. */
export function attentionBuffers(program: Program, cache: CacheLayout): Record<string, number> {
  const { heads, kvHeads, headDim } = program.attention;
  const buffers: Record<string, number> = {};
  if (program.positions.kind === "rope") {
    Object.assign(buffers, { qRotated: heads * headDim, kRotated: kvHeads * headDim });
    if (cache.clamp !== Clamp.None) buffers.qFixed = heads * headDim;
  }
  if (cache.dtype !== "f32") {
    const width = Math.ceil((kvHeads * cache.headBytes) / 4);
    Object.assign(buffers, { kCached: width, vCached: width });
    if (keepsUnrotated(cache)) buffers.kUnrotatedCached = width;
  }
  return buffers;
}
