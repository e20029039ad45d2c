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
  /** u32: 1: the row attends no middle keys (Attention.recall) */
  skipsRecall = 32,
  /** u32: how many of its session's first tokens are pinned for the row, at most Attention.nGlobal */
  nGlobal = 36,
  /** u64: position before which the row attends no local keys, as whole turns of a chat leave the window; 0: none such */
  begin = 40,
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
  RowBytes = 48,
  ControlBytes = 64,
  /** keys per block of attention; blocks begin at positions divisible by it */
  KeyBlock = 64,
  /** what a slice of a matmul (matmul_q.ts) or of packing needs for itself */
  WorkBytes = 14736,
  /** queries that attention works on at a time, of neighbouring rows and heads that share a KV head */
  QueryBlock = 16,
  /** numbers of a head that share a scale under CacheFormat.Int8 */
  ScaleBlock = 32,
  /** per slice: u64 keys visited, then what attention keeps of a block of queries (attention_keys.ts) */
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

/** Formats of packed matrices (matmul_f.ts, format_q.ts). From Q8_0 on they keep the numbers of ggml's blocks. */
export enum Format {
  F32,
  Bf16,
  F16,
  Q8,
  Q7,
  Q4,
  Q8_0,
  Q6_K,
  Q5_0,
  Q5_K,
  Q4_0,
  Q4_K,
  Q2_K,
}

/** Whether it is blocks of whole numbers with scales; the others are numbers as files hold them, which packing reads. */
export function isQuantized(format: Format): boolean {
  return format >= Format.Q8;
}

/** How the whole numbers of a quantised format are stored: format_q.ts. */
export enum Numbers {
  Bytes,
  Sevens,
  Fives,
  Nibbles,
}

export function numbersOf(format: Format): Numbers {
  if (format == Format.Q7) return Numbers.Sevens;
  if (format == Format.Q8 || format == Format.Q8_0 || format == Format.Q6_K) return Numbers.Bytes;
  return format == Format.Q5_0 || format == Format.Q5_K ? Numbers.Fives : Numbers.Nibbles;
}

/** What a quantised format multiplies its numbers by: format_q.ts. */
export enum Scales {
  Bf16,
  F16,
  Sixteens,
  Minimums,
  SixteenMinimums,
}

export function scalesOf(format: Format): Scales {
  if (format < Format.Q8_0) return Scales.Bf16;
  if (format == Format.Q6_K) return Scales.Sixteens;
  if (format == Format.Q2_K) return Scales.SixteenMinimums;
  return format == Format.Q4_K || format == Format.Q5_K ? Scales.Minimums : Scales.F16;
}

/**
 * Formats of stored numbers that packing reads. The first three have the numbers of Format; the others are ggml's block
 * types, which ggml.ts describes.
 */
export enum Source {
  F32,
  Bf16,
  F16,
  Q4_0,
  Q4_1,
  Q5_0,
  Q5_1,
  Q8_0,
  IQ4_NL,
  MXFP4,
  Q2_K,
  Q3_K,
  Q4_K,
  Q5_K,
  Q6_K,
  IQ4_XS,
}

/** Numbers that are stored together. */
export enum SourceColumns {
  One = 1,
  Block = 32,
  SuperBlock = 256,
}

export function sourceColumns(source: Source): SourceColumns {
  if (source <= Source.F16) return SourceColumns.One;
  return source < Source.Q2_K ? SourceColumns.Block : SourceColumns.SuperBlock;
}

/** Bytes of as many. */
export enum SourceBytes {
  F32 = 4,
  Half = 2,
  Q4_0 = 18,
  Q4_1 = 20,
  Q5_0 = 22,
  Q5_1 = 24,
  Q8_0 = 34,
  MXFP4 = 17,
  Q2_K = 84,
  Q3_K = 110,
  Q4_K = 144,
  Q5_K = 176,
  Q6_K = 210,
  IQ4_XS = 136,
}

export function sourceBytes(source: Source): SourceBytes {
  switch (source) {
    case Source.F32:
      return SourceBytes.F32;
    case Source.Bf16:
    case Source.F16:
      return SourceBytes.Half;
    case Source.Q4_0:
    case Source.IQ4_NL:
      return SourceBytes.Q4_0;
    case Source.Q4_1:
      return SourceBytes.Q4_1;
    case Source.Q5_0:
      return SourceBytes.Q5_0;
    case Source.Q5_1:
      return SourceBytes.Q5_1;
    case Source.Q8_0:
      return SourceBytes.Q8_0;
    case Source.MXFP4:
      return SourceBytes.MXFP4;
    case Source.Q2_K:
      return SourceBytes.Q2_K;
    case Source.Q3_K:
      return SourceBytes.Q3_K;
    case Source.Q4_K:
      return SourceBytes.Q4_K;
    case Source.Q5_K:
      return SourceBytes.Q5_K;
    case Source.Q6_K:
      return SourceBytes.Q6_K;
    default:
      return SourceBytes.IQ4_XS;
  }
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

/** Bytes of a block of a panel, or of its scales or whole numbers. */
export enum BlockBytes {
  Float = 64,
  Scales = 32,
  Sixteens = 64,
  Minimums = 96,
  SixteenMinimums = 128,
  Bytes = 512,
  Fives = 320,
  Nibbles = 256,
}

export function scaleBytes(format: Format): BlockBytes {
  const scales = scalesOf(format);
  if (scales <= Scales.F16) return BlockBytes.Scales;
  if (scales == Scales.Sixteens) return BlockBytes.Sixteens;
  return scales == Scales.Minimums ? BlockBytes.Minimums : BlockBytes.SixteenMinimums;
}

export function blockBytes(format: Format): BlockBytes {
  if (!isQuantized(format)) return BlockBytes.Float;
  const numbers = numbersOf(format);
  if (numbers <= Numbers.Sevens) return scaleBytes(format) + BlockBytes.Bytes;
  return scaleBytes(format) + (numbers == Numbers.Fives ? BlockBytes.Fives : BlockBytes.Nibbles);
}

/** Bytes of a row's activations that meet a block: f32, or whole numbers with a scale and their sums, of 4 bytes each. */
export enum ActivationBytes {
  F32 = 16,
  Half = 32,
  /** for Numbers.Bytes: i16 */
  Wide = 72,
  /** for others: i8 */
  Narrow = 40,
}

export function activationBytes(format: Format): ActivationBytes {
  if (!isQuantized(format)) return format == Format.F32 ? ActivationBytes.F32 : ActivationBytes.Half;
  return numbersOf(format) == Numbers.Bytes ? ActivationBytes.Wide : ActivationBytes.Narrow;
}

/** The largest of these whole numbers. Those of the formats that keep 8-bit blocks are as fine as i16 can be. */
export enum ActivationSteps {
  Byte = 127,
  Short = 32767,
}

export function activationSteps(format: Format): ActivationSteps {
  return format == Format.Q8_0 || format == Format.Q6_K ? ActivationSteps.Short : ActivationSteps.Byte;
}
