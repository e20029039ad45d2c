/** Number formats in which weights are stored in a checkpoint. */
export const STORED = ["f32", "bf16", "f16"] as const;
/** A number format of a stored weight. */
export type StoredDType = (typeof STORED)[number];

/** Quantised formats: blocks of 32 integers of 8, 7 or 4 bits with a scale each. */
export const QUANTIZED = ["q8", "q7", "q4"] as const;
/** A quantised format. */
export type QuantizedDType = (typeof QUANTIZED)[number];

/** Formats that a model's matrices can be asked for in. */
export const DTYPES = [...STORED, ...QUANTIZED] as const;
/** One of DTYPES. */
export type DType = (typeof DTYPES)[number];

/**
 * Formats that keep the numbers of ggml's block types: the integers of a block, its scale and, where it has one, its
 * minimum. Types of which there are many have one of their own name, others one that can hold theirs.
 */
export const KEPT = ["q8_0", "q6_k", "q5_0", "q5_k", "q4_0", "q4_k", "q2_k"] as const;
/** A format that a matrix has in memory. */
export type MemoryDType = DType | (typeof KEPT)[number];

/** ggml's block types, each with the format that keeps its numbers. */
export const BLOCK_DTYPES: Readonly<Record<string, MemoryDType>> = {
  Q4_0: "q4_0",
  Q4_1: "q4_k",
  Q5_0: "q5_0",
  Q5_1: "q5_k",
  Q8_0: "q8_0",
  IQ4_NL: "q8_0",
  MXFP4: "q8",
  Q2_K: "q2_k",
  Q3_K: "q6_k",
  Q4_K: "q4_k",
  Q5_K: "q5_k",
  Q6_K: "q6_k",
  IQ4_XS: "q6_k",
};

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
