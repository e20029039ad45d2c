/** The types of GGUF: those of tensors, by ggml's number, and those of metadata. */
import { shortest } from "../base/decimal.ts";

/** A type of tensors: its name, and how many numbers are stored together in how many bytes. */
export interface GgmlType {
  readonly name: string;
  readonly block: number;
  readonly bytes: number;
}

const type = (name: string, block: number, bytes: number): GgmlType => ({ name, block, bytes });

/** Every type that ggml knows, whether it is computed with here or not. see: ggml.c type_traits */
export const GGML_TYPES: ReadonlyMap<number, GgmlType> = new Map([
  [0, type("F32", 1, 4)],
  [1, type("F16", 1, 2)],
  [2, type("Q4_0", 32, 18)],
  [3, type("Q4_1", 32, 20)],
  [6, type("Q5_0", 32, 22)],
  [7, type("Q5_1", 32, 24)],
  [8, type("Q8_0", 32, 34)],
  [9, type("Q8_1", 32, 36)],
  [10, type("Q2_K", 256, 84)],
  [11, type("Q3_K", 256, 110)],
  [12, type("Q4_K", 256, 144)],
  [13, type("Q5_K", 256, 176)],
  [14, type("Q6_K", 256, 210)],
  [15, type("Q8_K", 256, 292)],
  [16, type("IQ2_XXS", 256, 66)],
  [17, type("IQ2_XS", 256, 74)],
  [18, type("IQ3_XXS", 256, 98)],
  [19, type("IQ1_S", 256, 50)],
  [20, type("IQ4_NL", 32, 18)],
  [21, type("IQ3_S", 256, 110)],
  [22, type("IQ2_S", 256, 82)],
  [23, type("IQ4_XS", 256, 136)],
  [24, type("I8", 1, 1)],
  [25, type("I16", 1, 2)],
  [26, type("I32", 1, 4)],
  [27, type("I64", 1, 8)],
  [28, type("F64", 1, 8)],
  [29, type("IQ1_M", 256, 56)],
  [30, type("BF16", 1, 2)],
  [34, type("TQ1_0", 256, 54)],
  [35, type("TQ2_0", 256, 66)],
  [39, type("MXFP4", 32, 17)],
  [40, type("NVFP4", 64, 36)],
  [41, type("Q1_0", 128, 18)],
  [42, type("Q2_0", 64, 18)],
]);

/** An array of numbers in metadata. */
export type NumberArray =
  | Uint8Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>
  | BigUint64Array<ArrayBuffer>
  | BigInt64Array<ArrayBuffer>;

/** A type of numbers in metadata: its name, bytes, and how one and many of them are read. */
export interface NumberType {
  readonly name: string;
  readonly bytes: number;
  readonly Many: new (count: number) => NumberArray;
  one(view: DataView, at: number): number | bigint | boolean;
}

/** An integer of 64 bits, as a number where that is exact. */
const whole = (value: bigint) => (BigInt(Number(value)) === value && isSafe(value) ? Number(value) : value);
const isSafe = (value: bigint) => Number.isSafeInteger(Number(value));

/** The types of numbers, by their number; beside them there are strings (8) and arrays (9). */
export const NUMBER_TYPES: ReadonlyMap<number, NumberType> = new Map<number, NumberType>([
  [0, { name: "u8", bytes: 1, Many: Uint8Array, one: (view, at) => view.getUint8(at) }],
  [1, { name: "i8", bytes: 1, Many: Int8Array, one: (view, at) => view.getInt8(at) }],
  [2, { name: "u16", bytes: 2, Many: Uint16Array, one: (view, at) => view.getUint16(at, true) }],
  [3, { name: "i16", bytes: 2, Many: Int16Array, one: (view, at) => view.getInt16(at, true) }],
  [4, { name: "u32", bytes: 4, Many: Uint32Array, one: (view, at) => view.getUint32(at, true) }],
  [5, { name: "i32", bytes: 4, Many: Int32Array, one: (view, at) => view.getInt32(at, true) }],
  [6, { name: "f32", bytes: 4, Many: Float32Array, one: (view, at) => shortest(view.getFloat32(at, true)) }],
  [7, { name: "bool", bytes: 1, Many: Uint8Array, one: (view, at) => view.getUint8(at) !== 0 }],
  [10, { name: "u64", bytes: 8, Many: BigUint64Array, one: (view, at) => whole(view.getBigUint64(at, true)) }],
  [11, { name: "i64", bytes: 8, Many: BigInt64Array, one: (view, at) => whole(view.getBigInt64(at, true)) }],
  [12, { name: "f64", bytes: 8, Many: Float64Array, one: (view, at) => view.getFloat64(at, true) }],
]);
/** The type of strings in metadata. */
export const STRING = 8;
/** The type of arrays in metadata. */
export const ARRAY = 9;
