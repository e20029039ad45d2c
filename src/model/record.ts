import { Size } from "../../assembly/layout.ts";
import type { Op, Rows } from "../../assembly/op.ts";
import type { DType } from "../dtype.ts";

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

const float = new Float32Array(1);
const floatBits = new Uint32Array(float.buffer);
/** The bits of an f32 operand. */
export function bits(value: number): number {
  float[0] = value;
  return floatBits[0] as number;
}

export function record(
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
