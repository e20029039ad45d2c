/** Operands of the records that know positions: a part of the contract in op.ts, which says how to read it. */

/** out[rows, 2, 2, pairs]: cos then sin of every angle, of the row's position, then of the fixed one, times a factor each. */
export enum Angles {
  out = 2,
  /** u64[pairs]: turns per position, in units of 2^-64 */
  turns,
  pairs,
  /** Clamp: the fixed position is `limit`, with Clamp.Sinks that many after the session's first */
  clamp,
  limit,
  /** f32: factor of cos and sin of the row's position */
  factor,
  /** f32: that of the fixed position */
  fixedFactor,
}

/** y[rows, heads, headDim] = x rotated by the angles of each row, or by those of the fixed position. */
export enum Rope {
  y = 2,
  x,
  angles,
  heads,
  headDim,
  rotaryDim,
  /** 1: pairs are neighbours (GPT-J); 0: pairs are half the rotary dimensions apart (LLaMA) */
  interleaved,
  /** 1: rotate by the fixed position */
  fixed,
}

/**
 * y[rows, dim] = x · (1 + beta · ln(1 + ⌊n / original⌋)), where n is how many tokens of its session are before the row, at
 * most `limit` unless nothing is clamped.
 */
export enum Temper {
  y = 2,
  /** may be y */
  x,
  dim,
  /** f32 */
  beta,
  original,
  /** Clamp */
  clamp,
  limit,
}

/** Which pairs are clamped, and to what distance. d = p − j, n = p − origin. */
export enum Clamp {
  /** none */
  None,
  /** d ≥ limit: to limit, with the unrotated key */
  Distance,
  /** pinned keys once n ≥ limit: to limit − (j − origin), with the key rotated at j (StreamingLLM) */
  Sinks,
}
