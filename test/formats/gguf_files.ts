/** GGUF files for tests, written literally: nothing is checked, so that anything may be wrong in them. */

/** A value with its type, by GGUF's number; an array is of one type. */
export type Typed =
  | { readonly type: number; readonly value: unknown }
  | { readonly array: number; readonly values: readonly unknown[] };

export const u32 = (value: number): Typed => ({ type: 4, value });
export const f32 = (value: number): Typed => ({ type: 6, value });
export const bool = (value: boolean): Typed => ({ type: 7, value });
export const text = (value: string): Typed => ({ type: 8, value });
export const texts = (...values: string[]): Typed => ({ array: 8, values });

export interface TestTensor {
  readonly name: string;
  /** ggml's order, the contiguous size first. */
  readonly sizes: readonly (number | bigint)[];
  readonly type: number;
  /** The right one by default. */
  readonly offset?: number;
  readonly data: Uint8Array;
}

export interface TestFile {
  readonly version?: number;
  readonly metadata: Readonly<Record<string, Typed>> | readonly (readonly [string, Typed])[];
  readonly tensors?: readonly TestTensor[];
  readonly alignment?: number;
  /** Counts that the header claims; the right ones by default. */
  readonly claims?: { readonly tensors?: bigint; readonly entries?: bigint };
}

const utf8 = new TextEncoder();
/** Bytes by type. */
const SIZES = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];

/** Collects bytes. */
class Writer {
  readonly parts: Uint8Array[] = [];

  raw(bytes: Uint8Array): void {
    this.parts.push(bytes);
  }

  number(type: number, value: unknown): void {
    const view = new DataView(new ArrayBuffer(8));
    if (type === 0 || type === 7) view.setUint8(0, Number(value));
    else if (type === 1) view.setInt8(0, Number(value));
    else if (type === 2) view.setUint16(0, Number(value), true);
    else if (type === 3) view.setInt16(0, Number(value), true);
    else if (type === 4) view.setUint32(0, Number(value), true);
    else if (type === 5) view.setInt32(0, Number(value), true);
    else if (type === 6) view.setFloat32(0, Number(value), true);
    else if (type === 10) view.setBigUint64(0, BigInt(value as number), true);
    else if (type === 11) view.setBigInt64(0, BigInt(value as number), true);
    else if (type === 12) view.setFloat64(0, Number(value), true);
    this.raw(new Uint8Array(view.buffer, 0, SIZES[type] ?? 0));
  }

  one(type: number, value: unknown): void {
    if (type === 8) this.text(value as string);
    else this.number(type, value);
  }

  text(value: string): void {
    const bytes = utf8.encode(value);
    this.number(10, bytes.length);
    this.raw(bytes);
  }
}

/** The bytes of a file. */
export function ggufFile({ version = 3, metadata, tensors = [], alignment = 32, claims = {} }: TestFile): Uint8Array {
  const writer = new Writer();
  const entries = Array.isArray(metadata) ? metadata : Object.entries(metadata as Record<string, Typed>);
  writer.raw(utf8.encode("GGUF"));
  writer.number(4, version);
  writer.number(10, claims.tensors ?? tensors.length);
  writer.number(10, claims.entries ?? entries.length);
  for (const [key, typed] of entries) {
    writer.text(key);
    if ("array" in typed) {
      writer.number(4, 9);
      writer.number(4, typed.array);
      writer.number(10, typed.values.length);
      for (const value of typed.values) writer.one(typed.array, value);
    } else {
      writer.number(4, typed.type);
      writer.one(typed.type, typed.value);
    }
  }
  let offset = 0;
  for (const tensor of tensors) {
    writer.text(tensor.name);
    writer.number(4, tensor.sizes.length);
    for (const size of tensor.sizes) writer.number(10, size);
    writer.number(4, tensor.type);
    writer.number(10, tensor.offset ?? offset);
    offset = padded(offset + tensor.data.length, alignment);
  }
  let size = Buffer.concat(writer.parts).length;
  for (const { data } of tensors) {
    writer.raw(new Uint8Array(padded(size, alignment) - size));
    writer.raw(data);
    size = padded(size, alignment) + data.length;
  }
  return new Uint8Array(Buffer.concat(writer.parts));
}

const padded = (size: number, alignment: number) => Math.ceil(size / alignment) * alignment;

/** A tensor of F32, in Hugging Face's order of sizes. */
export function f32Tensor(name: string, shape: readonly number[], values: readonly number[]): TestTensor {
  const data = new Uint8Array(new Float32Array(values).buffer);
  return { name, sizes: shape.toReversed(), type: 0, data };
}
