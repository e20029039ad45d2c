import { activationBytes, activationSteps, blockColumns, isQuantized } from "../../assembly/layout.ts";
import { Elementwise, Embed, Gather, Matmul, Norm, Op, Quantize, Span } from "../../assembly/op.ts";
import type { MemoryDType } from "../base/dtype.ts";
import { LOGITS_BUFFERS, PLANNED } from "../models/buffers.ts";
import type { Operation, Program } from "../models/program.ts";
import type { LoweredLayer } from "./cache.ts";
import { lowerAttention } from "./lower_attention.ts";
import { type Addresses, bits, type PlannedRecord, record } from "./record.ts";
import { FORMATS, packedRowBytes } from "./weights.ts";

/** What the buffer of quantised activations holds: which buffer's numbers, of how many bytes per block and steps. */
export interface Quantized {
  x?: string;
  as?: string;
}

const ELEMENTWISE = {
  ...{ siluMul: Op.SiluMul, geluTanhMul: Op.GeluTanhMul, gelu: Op.Gelu, geluTanh: Op.GeluTanh },
  ...{ scale: Op.Scale, clip: Op.Clip, softCap: Op.SoftCap },
} as const;

/** f32 values per row of every buffer. */
export type Widths = Readonly<Record<string, number>>;

type Of<Name extends Operation["op"]> = Extract<Operation, { op: Name }>;

/** What is known where an operation becomes records. */
interface Lowering {
  readonly widths: Widths;
  readonly at: Addresses;
  readonly quantized: Quantized;
}

/**
 * The records of one operation. `layer`: undefined for those before and after the layers. `quantized` goes from operation
 * to operation, so that matmuls of one x share its quantised form.
 */
export function lower(operation: Operation, layer: LoweredLayer | undefined, lowering: Lowering): PlannedRecord[] {
  const records = lowerOne(operation, layer, lowering);
  const { quantized } = lowering;
  if (operation.y === quantized.x) quantized.x = "";
  return records;
}

function lowerOne(operation: Operation, layer: LoweredLayer | undefined, lowering: Lowering): PlannedRecord[] {
  switch (operation.op) {
    case "embed":
      return [lowerEmbed(operation, lowering)];
    case "gather":
      return [lowerGather(operation, lowering)];
    case "rmsNorm":
    case "layerNorm":
      return [lowerNorm(operation, lowering)];
    case "matmul":
      return lowerMatmul(operation, lowering);
    case "attention": {
      return lowerAttention(operation, layer as LoweredLayer, lowering.at);
    }
    default:
      return [lowerElementwise(operation, lowering)];
  }
}

/** A buffer as `inspect` prints it. */
function shaped(buffer: string, widths: Widths): string {
  return `${buffer}[${widths[buffer]}]`;
}

/** The rows of a step that a buffer has. */
function spanOf(buffer: string): Span {
  return LOGITS_BUFFERS.has(buffer) ? Span.Logits : Span.All;
}

function lowerEmbed({ y, table }: Of<"embed">, { widths, at }: Lowering): PlannedRecord {
  const { address, dtype } = at.weight(table);
  const dim = widths[y] as number;
  const fields = {
    [Embed.y]: at.buffer(y),
    [Embed.table]: address,
    [Embed.dim]: dim,
    [Embed.format]: FORMATS[dtype],
    [Embed.work]: at.work,
  };
  const cost = { weightBytes: packedRowBytes(dim, dtype), flops: 0 };
  return record(Op.Embed, Span.All, fields, `${shaped(y, widths)} = ${table}[token]`, cost);
}

function lowerGather({ y, x }: Of<"gather">, { widths, at }: Lowering): PlannedRecord {
  const fields = { [Gather.y]: at.buffer(y), [Gather.x]: at.buffer(x), [Gather.dim]: widths[x] as number };
  return record(Op.Gather, Span.Logits, fields, `${shaped(y, widths)} = ${x} of the rows that want logits`, {
    flops: 0,
  });
}

function lowerNorm(operation: Of<"rmsNorm"> | Of<"layerNorm">, { widths, at }: Lowering): PlannedRecord {
  const { op, y, x, eps } = operation;
  const { groups = 1, residual } = op === "rmsNorm" ? operation : {};
  const width = widths[x] as number;
  const weight = at.weight(operation.weight);
  const bias = op === "layerNorm" && operation.bias ? at.weight(operation.bias) : undefined;
  const fields = {
    [Norm.y]: at.buffer(y),
    [Norm.x]: at.buffer(x),
    [Norm.weight]: weight.address,
    [Norm.bias]: bias?.address ?? 0,
    [Norm.dim]: width / groups,
    [Norm.eps]: bits(eps),
    [Norm.groups]: groups,
    [Norm.residual]: residual ? at.buffer(residual) : 0,
  };
  const grouped = groups > 1 ? ` by ${groups} heads` : "";
  const more = residual ? ` + ${residual}` : "";
  const text = `${shaped(y, widths)} = ${op}(${x}${grouped}) · ${operation.weight}${more}`;
  const cost = { weightBytes: weight.bytes + (bias?.bytes ?? 0), flops: 5 * width };
  return record(op === "rmsNorm" ? Op.RmsNorm : Op.LayerNorm, spanOf(x), fields, text, cost);
}

/** The matmul, and before it, unless it is there already, the record that makes whole numbers of its x. */
function lowerMatmul(operation: Of<"matmul">, { widths, at, quantized }: Lowering): PlannedRecord[] {
  const { y, x, residual } = operation;
  const weight = at.weight(operation.weight);
  const bias = operation.bias ? at.weight(operation.bias) : undefined;
  const n = widths[y] as number;
  const k = widths[x] as number;
  const format = FORMATS[weight.dtype];
  const whole = isQuantized(format);
  const fields = {
    [Matmul.y]: at.buffer(y),
    [Matmul.x]: at.buffer(whole ? PLANNED.quantized : x),
    [Matmul.weight]: weight.address,
    [Matmul.bias]: bias?.address ?? 0,
    [Matmul.residual]: residual ? at.buffer(residual) : 0,
    [Matmul.n]: n,
    [Matmul.k]: k,
    [Matmul.format]: format,
    [Matmul.work]: at.work,
  };
  const more = `${bias ? " + bias" : ""}${residual ? ` + ${residual}` : ""}`;
  const text = `${shaped(y, widths)} = ${x} · ${operation.weight}[${n},${k}]ᵀ ${weight.dtype}${more}`;
  const cost = { weightBytes: weight.bytes + (bias?.bytes ?? 0), flops: 2 * n * k };
  const matmul = record(Op.Matmul, spanOf(y), fields, text, cost);
  const as = `${activationBytes(format)} ${activationSteps(format)}`;
  if (!whole || (quantized.x === x && quantized.as === as)) return [matmul];
  Object.assign(quantized, { x, as });
  const numbers = {
    [Quantize.y]: at.buffer(PLANNED.quantized),
    [Quantize.x]: at.buffer(x),
    [Quantize.k]: k,
    [Quantize.format]: format,
  };
  const how = `${x}[${k}] in whole numbers for ${weight.dtype}`;
  return [record(Op.Quantize, spanOf(x), numbers, how, { flops: 4 * k }), matmul];
}

function lowerElementwise(operation: Of<keyof typeof ELEMENTWISE>, { widths, at }: Lowering): PlannedRecord {
  const { op, y, a } = operation;
  const n = widths[y] as number;
  const fields = {
    [Elementwise.y]: at.buffer(y),
    [Elementwise.a]: at.buffer(a),
    [Elementwise.b]: at.buffer("b" in operation ? operation.b : a),
    [Elementwise.n]: n,
    [Elementwise.factor]: "factor" in operation ? bits(operation.factor) : 0,
  };
  const second = "b" in operation ? `, ${operation.b}` : "factor" in operation ? `, ${operation.factor}` : "";
  const flops = op === "scale" || op === "clip" ? 2 * n : 30 * n;
  return record(ELEMENTWISE[op], spanOf(y), fields, `${shaped(y, widths)} = ${op}(${a}${second})`, { flops });
}

/** The buffer that quantised matmuls need beside the model's own: f32 values per row, enough for any x. */
export function quantizedBuffer(program: Program, dtypeOf: (weight: string) => MemoryDType): Record<string, number> {
  const operations = [...program.layers.flat(), ...program.head];
  const widths = operations.map((operation) => {
    const format = operation.op === "matmul" ? FORMATS[dtypeOf(operation.weight)] : undefined;
    if (operation.op !== "matmul" || format === undefined || !isQuantized(format)) return 0;
    const blocks = Math.ceil((program.buffers[operation.x] as number) / blockColumns(format));
    return (blocks * activationBytes(format)) / 4;
  });
  const width = Math.max(...widths);
  return width ? { [PLANNED.quantized]: width } : {};
}

/** Marks the matmuls that the next one does not wait for: threads go on without meeting. */
export function runAhead(records: readonly PlannedRecord[]): void {
  for (const [i, { op, words }] of records.entries()) {
    const next = records[i + 1];
    if (op !== Op.Matmul || next?.op !== Op.Matmul) continue;
    const written = [words[Matmul.y], next.words[Matmul.y]];
    const touched = [Matmul.x, Matmul.residual].flatMap((field) => [words[field], next.words[field]]);
    if (written[0] === written[1] || written.some((buffer) => touched.includes(buffer))) continue;
    words[1] = (words[1] as number) | Span.OnTheSide;
  }
}
