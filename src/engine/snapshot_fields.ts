import { ModelError, mismatch } from "../base/errors.ts";
import type { TensorInfo } from "../formats/safetensors.ts";
import { STORED_LENGTH, storedState } from "../grammar/stored.ts";
import type { FormatState } from "./state.ts";
import { kept, type TurnStarts, type Window } from "./turn_starts.ts";

/** What errors about snapshots call them. */
export const NAME = "snapshot";

/** A tensor of a snapshot. */
export interface Field {
  readonly name: string;
  readonly dtype: "F32" | "BF16" | "I32" | "I64" | "U8" | "U64";
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** Copies a field of so many values out of a snapshot. */
export type Reader = (name: string, dtype: Field["dtype"], length: number) => Uint8Array<ArrayBuffer>;

/** The bytes of a tensor. Throws ModelError if it is absent or of another shape. */
export function sameShape(
  field: Omit<Field, "bytes">,
  tensor: TensorInfo | undefined,
  snapshot: Uint8Array,
): Uint8Array {
  const expected = `${field.dtype} [${field.shape}]`;
  const found = tensor ? `${tensor.dtype} [${tensor.shape}]` : "none";
  if (!tensor || expected !== found) throw new ModelError(mismatch(`${NAME}: ${field.name}`, expected, found));
  return snapshot.subarray(tensor.begin, tensor.end);
}

/** Throws ModelError where a snapshot is of something else. */
export function expectSame(field: string, expected: string, found: string): void {
  if (expected !== found) throw new ModelError(mismatch(`${NAME}: ${field}`, expected, found));
}

/** Whole numbers as a tensor. */
export function bigInts(name: string, values: readonly number[]): Field {
  return { name, dtype: "I64", shape: [values.length], bytes: bytesOf(BigInt64Array.from(values.map(BigInt))) };
}

/** What bigInts has written. */
export function integers(bytes: Uint8Array): number[] {
  return [...new BigInt64Array(bytes.buffer as ArrayBuffer)].map(Number);
}

/** So many bytes: a text, then zeros. */
export function padded(text: string, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes.set(new TextEncoder().encode(text).subarray(0, length));
  return bytes;
}

/** A text without the zeros behind it. */
export function ascii(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes).replace(/\0+$/, "");
}

/** The bytes of numbers. */
export function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** How far a text has come in its format, of one size; none where it has ended. */
export function formatFields({ hash, position, state: { numbers } }: FormatState): Field[] {
  if (numbers.length === 0) return [];
  const padding = new Array<number>(STORED_LENGTH - numbers.length).fill(0);
  return [
    { name: "format_hash", dtype: "U64", shape: [1], bytes: bytesOf(BigUint64Array.of(hash)) },
    bigInts("format", [position, numbers.length, ...numbers, ...padding]),
  ];
}

/** What formatFields has written. */
export function readFormat(read: Reader): FormatState {
  const hash = new BigUint64Array(read("format_hash", "U64", 1).buffer)[0] ?? 0n;
  const [position = 0, length = 0, ...numbers] = integers(read("format", "I64", 2 + STORED_LENGTH));
  return { hash, position, state: storedState(Int32Array.from(numbers.slice(0, Math.max(0, length)))) };
}

/** In a snapshot: a bit for each place of the window's ring. */
export function turnFields(starts: TurnStarts, position: number, nLocal: number): Field[] {
  if (!starts) return [];
  const bytes = new Uint8Array(Math.ceil(nLocal / 8));
  for (const start of kept(starts, position, nLocal)) {
    const place = start % nLocal;
    bytes[place >> 3] = (bytes[place >> 3] as number) | (1 << (place & 7));
  }
  return [{ name: "turn_starts", dtype: "U8", shape: [bytes.length], bytes }];
}

/** What turnFields has written. Throws ModelError if it is of no session at this position. */
export function readTurnStarts(read: Reader, { origin, position, nLocal }: Window): readonly number[] {
  const bytes = read("turn_starts", "U8", Math.ceil(nLocal / 8));
  const starts: number[] = [];
  for (let start = Math.max(origin, position - nLocal + 1); start < position; start++) {
    const place = start % nLocal;
    if (((bytes[place >> 3] as number) >> (place & 7)) & 1) starts.push(start);
  }
  const bits = bytes.reduce((sum, byte) => sum + (byte.toString(2).match(/1/g)?.length ?? 0), 0);
  if (bits === starts.length) return starts;
  throw new ModelError(mismatch(`${NAME}: turn_starts`, `places of the last ${nLocal} tokens`, "others"));
}
