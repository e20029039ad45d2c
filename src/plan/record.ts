import { Size } from "../../assembly/layout.ts";
import type { Op, Span } from "../../assembly/op.ts";
import type { Clamp } from "../../assembly/op_positions.ts";
import type { MemoryDType } from "../base/dtype.ts";
import type { Positions, Rope } from "../models/positions.ts";

/** One record, ready to be written, and what `inspect` prints about it. */
export interface PlannedRecord {
  readonly op: Op;
  readonly words: Uint32Array;
  /** What it computes, with names and shapes. */
  readonly text: string;
  /** Per row: bytes of weights and of cache that it reads, and floating-point operations. */
  readonly weightBytes: number;
  readonly cacheBytes: number;
  readonly flops: number;
}

/** What the angles of a step depend on: the frequencies, and the fixed position that clamped queries are rotated by. */
export interface AngleKey {
  readonly positions: Rope;
  readonly clamp: Clamp;
  /** As Angles.limit; 0 with Clamp.None. */
  readonly limit: number;
}

/** The addresses of one bank, as its operations need them. */
export interface Addresses {
  buffer(name: string): number;
  weight(name: string): { readonly address: number; readonly bytes: number; readonly dtype: MemoryDType };
  /** Angles of the step's rows, computed once for every distinct key. */
  angles(key: AngleKey): number;
  /** ALiBi's slopes; 0 if there are none. */
  slopes(positions: Positions): number;
  /** Where the gates of a layer's heads are (Attention.gates); 0 if it attends to no middle keys. */
  gates(layer: number): number;
  /** Attention's scratch: MaxSlices areas of ScratchBytes; and of choosingBytes, where there are middle tokens. */
  readonly scratch: number;
  readonly recallWork: number;
  /** MaxSlices areas of WorkBytes. */
  readonly work: number;
}

const float = new Float32Array(1);
const floatBits = new Uint32Array(float.buffer);
/** The bits of an f32 operand. */
export function bits(value: number): number {
  float[0] = value;
  return floatBits[0] as number;
}

/** Makes a record from its operands by word offset; `text` and costs are for `inspect`. */
export function record(
  op: Op,
  rows: Span,
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
