/** Number formats of weights: how many bytes a value takes, and what safetensors calls it. */
export const DTYPES = ["f32", "bf16", "f16"] as const;
export type DType = (typeof DTYPES)[number];

export const DTYPE_BYTES: Readonly<Record<DType, number>> = { f32: 4, bf16: 2, f16: 2 };

/** The safetensors names of the formats in which a weight may be stored. */
export const STORED_DTYPES: Readonly<Record<string, DType>> = { F32: "f32", BF16: "bf16", F16: "f16" };

/** Formats of keys and values in a session's cache. */
export const CACHE_DTYPES = ["f32", "bf16", "int8"] as const;
export type CacheDType = (typeof CACHE_DTYPES)[number];
