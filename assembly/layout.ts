/** What lies where in a bank, beside programs: the step, the row table, the control block, and sizes. See op.ts. */

/** The step: header words, then the row table. */
export enum Step {
  /** address of u32[rows that want logits]: their indices in the row table */
  gather,
  /** Tuning: what makes a machine quick and changes no result */
  tuning,
  /** Size.Spans pairs of words: a span's first row and its number of rows */
  spans,
}

/** Parts of Step.tuning. */
export enum Tuning {
  /** how many places of a matrix one thread reads at once: 1 to 4 */
  Streams = 7,
  /** products of 8-bit numbers are added by four: see dots.ts */
  Quads = 8,
}

/** Byte offsets in an entry of the row table. Rows of one session are neighbours, in the order of their positions. */
export enum Row {
  /** u32: id of the token */
  token = 0,
  /** u32: address of the session's slot */
  slot = 4,
  /** u32: index of the first row of the same session in this step */
  runStart = 8,
  /** u32: number of rows of the same session in this step */
  runRows = 12,
  /** u64: position of the token */
  position = 16,
  /** u64: position of the session's first token */
  origin = 24,
  /** u32: 1: the row attends no middle keys (Attention.middleK) */
  skipsMiddle = 32,
}

/** Byte offsets in the control block that threads meet at. */
export enum Control {
  /** u32: threads that have arrived at the barrier */
  arrived = 0,
  /** u32: barriers passed */
  generation = 4,
  /** u32: 1: every thread returns */
  abort = 8,
  /** u32: turns of the spin loop before a thread sleeps */
  spins = 12,
}

export enum Size {
  RecordBytes = 192,
  /** spans of a step's rows: those of the enum Span */
  Spans = 2,
  StepHeaderBytes = 24,
  RowBytes = 40,
  ControlBytes = 64,
  /** keys per block of attention; blocks begin at positions divisible by it */
  KeyBlock = 64,
  /** what a slice of a matmul or of packing needs for itself */
  WorkBytes = 320,
  /** queries that attention works on at a time, of neighbouring rows and heads that share a KV head */
  QueryBlock = 16,
  /** numbers of a head that share a scale under CacheFormat.Int8 */
  ScaleBlock = 32,
  /** per slice: u64 keys visited, then what attention keeps of a block of queries (attention.ts) */
  ScratchBytes = 4736,
  /** into how many slices a record can be cut, so also how many threads */
  MaxSlices = 64,
  /** bytes of a hash state */
  HashBytes = 80,
}

/**
 * Formats of keys and values, one head after the other. Int8: i8[headDim] from −127 to 127, then from the next multiple of
 * 4 bytes on an f32 scale for each ScaleBlock of them, the last one shorter: max|x| / 127.
 */
export enum CacheFormat {
  F32,
  Bf16,
  Int8,
}

/** Formats of packed matrices: matmul_f.ts and format_q.ts say what is where. The table of them is what follows here. */
export enum Format {
  F32,
  Bf16,
  F16,
  Q8,
  Q7,
  Q4,
}

/** Whether it is blocks of whole numbers with scales; the others are numbers as files hold them, which packing reads. */
export function isQuantized(format: Format): boolean {
  return format >= Format.Q8;
}

/** Bytes of one stored number of a format that packing reads. */
export enum SourceBytes {
  F32 = 4,
  Half = 2,
}

export function sourceBytes(format: Format): SourceBytes {
  return format == Format.F32 ? SourceBytes.F32 : SourceBytes.Half;
}

/** Rows of a panel. */
export enum PanelRows {
  Float = 4,
  Quantized = 16,
}

export function panelRows(format: Format): PanelRows {
  return isQuantized(format) ? PanelRows.Quantized : PanelRows.Float;
}

/** Columns of a block of a panel. */
export enum BlockColumns {
  F32 = 4,
  Half = 8,
  Quantized = 32,
}

export function blockColumns(format: Format): BlockColumns {
  if (isQuantized(format)) return BlockColumns.Quantized;
  return format == Format.F32 ? BlockColumns.F32 : BlockColumns.Half;
}

/** Bytes of a block of a panel. */
export enum BlockBytes {
  Float = 64,
  /** Q7 too */
  Q8 = 544,
  Q4 = 288,
}

export function blockBytes(format: Format): BlockBytes {
  if (isQuantized(format)) return format == Format.Q4 ? BlockBytes.Q4 : BlockBytes.Q8;
  return BlockBytes.Float;
}

/** Bytes of a row's activations that meet a block: f32, or whole numbers with a scale and a correction of 4 bytes each. */
export enum ActivationBytes {
  F32 = 16,
  Half = 32,
  Q8 = 72,
  /** Q7 and Q4 */
  Narrow = 40,
}

export function activationBytes(format: Format): ActivationBytes {
  if (isQuantized(format)) return format == Format.Q8 ? ActivationBytes.Q8 : ActivationBytes.Narrow;
  return format == Format.F32 ? ActivationBytes.F32 : ActivationBytes.Half;
}
