import { activationBytes, blockColumns, isQuantized } from "../../assembly/layout.ts";
import { Clip, Elementwise, Embed, Gather, Matmul, Norm, Op, Quantize, Rows } from "../../assembly/op.ts";
import type { DType } from "../base/dtype.ts";
import type { Operation, Program } from "../models/program.ts";
import type { CacheLayout } from "./cache.ts";
import { lowerAttention } from "./lower_attention.ts";
import { type Addresses, bits, type PlannedRecord, record } from "./record.ts";
import { FORMATS, packedRowBytes } from "./weights.ts";

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

/** f32 values per row of every buffer. */
export type Widths = Readonly<Record<string, number>>;

/** The cache of an operation's layer, and the byte offset in a session slot where it begins. */
export interface LoweredLayer {
  readonly cache: CacheLayout;
  readonly offset: number;
}

/**
 * The records of one operation. `layer`: undefined for those before and after the layers. `quantized` goes from operation to operation, so that matmuls of one x share its quantised form.
 */
export function lower(
  operation: Operation,
  widths: Widths,
  layer: LoweredLayer | undefined,
  at: Addresses,
  quantized: Quantized,
): PlannedRecord[] {
  const records = lowerOne(operation, widths, layer, at, quantized);
  const written = "y" in operation ? operation.y : operation.x;
  if (written === quantized.x) quantized.x = "";
  return records;
}

function lowerOne(
  operation: Operation,
  widths: Widths,
  layer: LoweredLayer | undefined,
  at: Addresses,
  quantized: Quantized,
): PlannedRecord[] {
  const width = (buffer: string): number => widths[buffer] as number;
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
      const whole = isQuantized(format);
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
    case "attention": {
      const { cache, offset } = layer as LoweredLayer;
      return lowerAttention(operation, cache, offset, at);
    }
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

/** The buffer that quantised matmuls need beside the model's own: f32 values per row, enough for any x. */
export function quantizedBuffer(program: Program, dtypeOf: (weight: string) => DType): Record<string, number> {
  const operations = [...program.layers.flat(), ...program.head];
  const widths = operations.map((operation) => {
    const format = operation.op === "matmul" ? FORMATS[dtypeOf(operation.weight)] : undefined;
    if (operation.op !== "matmul" || format === undefined || !isQuantized(format)) return 0;
    const blocks = Math.ceil((program.buffers[operation.x] as number) / blockColumns(format));
    return (blocks * activationBytes(format)) / 4;
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
