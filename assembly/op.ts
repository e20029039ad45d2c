/**
 * The contract between TypeScript, which builds programs, and the kernels, which execute them.
 *
 * A program is a list of records of RECORD_BYTES each, ended by Op.End. A record is 32-bit words: word 0 is the Op, word 1
 * the Span of rows that it works on, the others its operands, at the word offsets that the enum of the same name gives.
 * Operands are byte addresses in the memory of the record's bank unless the comment says otherwise; `rows` is the number
 * of rows of the span. Buffers of activations are f32 and row-major.
 *
 * This file is imported by the AssemblyScript compiler and by TypeScript: enums of plain numbers only.
 */
export enum Op {
  End,
  Angles,
  Embed,
  Gather,
  RmsNorm,
  LayerNorm,
  Quantize,
  Matmul,
  Rope,
  Temper,
  /** what an Attention after it attends to in the middle: its operands, of which chosen is written; Follow: after Choose */
  Choose,
  Follow,
  Attention,
  Cast,
  Store,
  Seal,
  SiluMul,
  Gelu,
  GeluTanh,
  GeluTanhMul,
  Scale,
  Clip,
  SoftCap,
  Pack,
  Read,
  Nll,
  Observe,
  Tap,
}

/**
 * The rows that a record works on: the number of a span {first, count} in the step's table (layout.ts: Step.spans), in the
 * low byte of word 1, which may have the bit OnTheSide too. Row r of a span is row r of every buffer that the record reads
 * or writes.
 */
export enum Span {
  /** every row of the step */
  All,
  /** the rows that want logits, as Gather has put them together: 0 to their number */
  Logits,
  /** the next record does not need what this one writes, so that the threads do not meet between them */
  OnTheSide = 256,
}

/** y[rows, dim] = table[token]; table is a packed matrix. */
export enum Embed {
  y = 2,
  table,
  dim,
  /** Format of the table */
  format,
  /** MaxSlices areas of WorkBytes */
  work,
}

/** y[logits rows, dim] = x[the rows that want logits, dim]. */
export enum Gather {
  y = 2,
  x,
  dim,
}

/** y[rows, groups, dim] = (x − mean) / sqrt(mean square + eps) · weight[dim] + bias or residual; RmsNorm has no mean. */
export enum Norm {
  y = 2,
  x,
  weight,
  /** LayerNorm: 0: none */
  bias,
  dim,
  /** f32 */
  eps,
  /** RmsNorm: heads of a row, each normed by itself; 1: the row */
  groups,
  /** RmsNorm: [rows, groups, dim], which may be y; 0: none */
  residual,
}

/** y[rows] = x[rows, k] in whole numbers, as a quantised Matmul takes it: quantize.ts. */
export enum Quantize {
  y = 2,
  x,
  k,
  /** Format of the matrix, a quantised one */
  format,
}

/** y[rows, n] = x[rows, k] · weightᵀ[n, k] + bias[n] + residual[rows, n]; weight is a packed matrix. */
export enum Matmul {
  y = 2,
  /** f32, or quantised for a quantised format */
  x,
  weight,
  /** 0: none */
  bias,
  /** 0: none; may be y */
  residual,
  n,
  k,
  /** Format of the weight */
  format,
  /** MaxSlices areas of WorkBytes */
  work,
}

/**
 * out[rows, heads, headDim] = Λ-attention of q over the session's cache and the step's own keys (design: Attention); with
 * Op.Choose and Op.Follow, before that, the middle keys that it meets; with Op.Store, the step's keys and values into the cache;
 * with Op.Seal, after that, the codes of the blocks that it has filled, and what was chosen. These ops share their operands.
 * Addresses marked "slot" are byte offsets from the row's session slot; UNUSED where the policy has no such part.
 */
export enum Attention {
  out = 2,
  /** [rows, heads, headDim], rotated by the row's position */
  q,
  /** [rows, heads, headDim], rotated by the fixed position; equal to q where nothing rotates */
  qFixed,
  /** [rows, kvHeads, headBytes], rotated by the row's position */
  k,
  /** [rows, kvHeads, headBytes], unrotated; equal to k where nothing rotates, or no part of the cache takes them */
  kUnrotated,
  /** [rows, kvHeads, headBytes] */
  v,
  /** slot: [kvHeads, nLocal, headBytes], position j in slot j mod nLocal */
  kRing,
  /** slot: as kRing, unrotated; UNUSED except under ceiling-only */
  kRingUnrotated,
  vRing,
  /** slot: [kvHeads, nGlobal, headBytes] */
  kPinned,
  /** slot: as kPinned, unrotated; UNUSED where nothing rotates */
  kPinnedUnrotated,
  vPinned,
  heads,
  kvHeads,
  headDim,
  /** f32: factor of every logit */
  scale,
  /** f32: every logit becomes softCap · tanh(logit / softCap); 0: none */
  softCap,
  /** f32[heads]: ALiBi slopes; 0: no bias */
  slopes,
  nGlobal,
  nLocal,
  /** Clamp */
  clamp,
  /** the distance ceiling (Clamp.Distance), or that of the oldest pinned key (Clamp.Sinks) */
  limit,
  /** MAX_SLICES areas of SCRATCH_BYTES */
  scratch,
  /** CacheFormat of keys and values, the step's own too */
  format,
  /** bytes of one head's key or value in that format */
  headBytes,
  /** how many middle keys a query attends at most: 0: none, and nothing below is read (recall.ts) */
  recall,
  /** those that lie at most this far behind the local keys are chosen from */
  recallTokens,
  /** how many keys kvRecall has places for */
  recallPlaces,
  /** the distance that they are met at */
  recallDistance,
  /** [rows, heads, headDim], rotated by recallDistance; equal to q where nothing rotates */
  qRecall,
  /** slot: [2, kvHeads, recallPlaces, headBytes], unrotated keys, then values; position j in place j mod recallPlaces */
  kvRecall,
  /**
   * [rows, heads, recall, 2]: what Op.Choose and Op.Follow have chosen, the largest product of codes first: that as f32, and
   * the distance p − j as u32; distance 0: no more. Attention puts weights in the place of products.
   */
  chosen,
  /** slot: [heads, Code.RunPlaces, Code.RunKeys], of a token its distances in `chosen`, the first ones */
  runs,
  /** how many blocks of keys are looked into; Code.MostBlocks at most, or all: 2^32 − 1 */
  recallBlocks,
  /**
   * f32[heads]: what one of Code.GateTokens middle keys loses of its weight if it does not run on, relative to that of all
   * pinned and local keys; Infinity: none is looked for
   */
  gates,
  /** slot: means and codes of codeBlocks blocks of keys (codes.ts) */
  means,
  codes,
  codeBlocks,
  /** MaxSlices areas, of choosingBytes (code_sizes.ts) each */
  recallWork,
  /**
   * [rows, heads, recall, 2, headBytes]: key and value of each entry of `chosen`; 0: kvRecall has all of them
   */
  gathered,
}

/** y[rows, kvHeads, headBytes] = the f32 keys or values x[rows, kvHeads, headDim] in the format of the cache. */
export enum Cast {
  y = 2,
  x,
  kvHeads,
  headDim,
  format,
  headBytes,
}

/**
 * y[rows, n] = f(a) (Gelu, GeluTanh), f(a) · b (SiluMul, GeluTanhMul), factor · a (Scale), min(max(a, −factor), factor)
 * (Clip) or factor · tanh(a / factor) (SoftCap). y may be a or b.
 */
export enum Elementwise {
  y = 2,
  a,
  b,
  n,
  /** f32 */
  factor,
}

/**
 * dst = `rows` rows of a matrix [n, k], packed, from row-major numbers or blocks at src, which may be read up to 12 bytes
 * beyond their end. Slice s notes in results[s] the index in src of its first number that is not finite, or
 * not in the target's range; −1 if there is none.
 */
export enum Pack {
  dst = 2,
  src,
  /** the first of them; they follow each other unless `places` says where they are */
  firstRow,
  rows,
  k,
  /** Source: what src has */
  source,
  /** Format of dst; those that keep the numbers of ggml's blocks can be made of these only */
  target,
  /** f32[k] that the columns are multiplied by, for quantised formats only; 0: none */
  columns,
  /** i32[MaxSlices] */
  results,
  /** MaxSlices areas of WorkBytes */
  work,
  /** u32[rows]: which row of the matrix each is; 0: none */
  places,
}

/** Reads memory and does nothing with it: how fast that goes is the roofline. results: u32[MaxSlices], a digest of each slice. */
export enum Read {
  src = 2,
  bytes,
  results,
}

/** out f64[logits rows, 2] = Σ exp(x − max x), max x − x[target]: an observer (design: A model is data). NaN both: see nll. */
export enum Nll {
  out = 2,
  /** f32[logits rows, n] */
  x,
  /** u32[logits rows], each below n */
  targets,
  n,
}

/**
 * What the softmax of an attention looks like, an observer: Attention's operands, of which `out` and the values are not
 * touched, and these, which come last in the record. Middle keys are not observed.
 */
export enum Observe {
  /** f32[rows, heads, 3]: entropy in nats, largest logit, share of the keys j with j − origin < sinks */
  statistics = 41,
  /** f32[heads, span], of the step's last row: the logit of the key at distance d = p − j, NaN where none is attended */
  logits,
  span,
  sinks,
}

/** y[rows, dim] = x[rows, dim]: an observer. */
export enum Tap {
  y = 2,
  x,
  dim,
}

/** An offset that no slot has. */
export enum Offset {
  Unused = -1,
}
