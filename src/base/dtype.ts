/** Number formats in which weights are stored in a checkpoint. */
export const STORED = ["f32", "bf16", "f16"] as const;
/** A number format of a stored weight. */
export type StoredDType = (typeof STORED)[number];

/** Quantised formats: blocks of 32 integers of 8, 7 or 4 bits with a scale each. */
export const QUANTIZED = ["q8", "q7", "q4"] as const;
/** A quantised format. */
export type QuantizedDType = (typeof QUANTIZED)[number];

/** Formats that matrices can have in memory. */
export const DTYPES = [...STORED, ...QUANTIZED] as const;
/** A format of matrices in memory. */
export type DType = (typeof DTYPES)[number];

/** Bytes per value of a stored format. */
export const DTYPE_BYTES: Readonly<Record<StoredDType, number>> = { f32: 4, bf16: 2, f16: 2 };

/** The safetensors dtypes that a weight may be stored in, each with the format that it is read as. */
export const STORED_DTYPES: Readonly<Record<string, StoredDType>> = {
  F32: "f32",
  BF16: "bf16",
  F16: "f16",
  F64: "f32",
};

/** Formats of keys and values in a session's cache. */
export const CACHE_DTYPES = ["f32", "bf16", "int8"] as const;
/** A format of keys and values. */
export type CacheDType = (typeof CACHE_DTYPES)[number];
