/** Names of buffers that mean something to planning. All others are an architecture's own. */

/** The hidden state [hiddenSize] of every row, to which layers add: carried from one bank to the next, and observed. */
export const HIDDEN = "hidden";
/** Hidden states [hiddenSize] of the rows that want logits. */
export const LAST = "last";
/** The logits [vocabSize] of these rows. */
export const LOGITS = "logits";

/** Buffers that have a row for each row of the step that wants logits; the others have one for every row. */
export const LOGITS_BUFFERS: ReadonlySet<string> = new Set([LAST, LOGITS]);

/** What planning adds beside a program's own buffers, as far as a model and its policy need them. */
export const PLANNED = {
  /** The x of quantised matmuls in whole numbers; see: assembly/quantize.ts. */
  quantized: "quantized",
  /** Queries [heads, headDim] rotated by their positions. */
  qRotated: "qRotated",
  /** Queries rotated by the fixed position of the distance ceiling. */
  qFixed: "qFixed",
  /** Queries rotated by the distance at which middle keys are met. */
  qRecall: "qRecall",
  /** Middle keys and values [heads, recall, 2, headBytes] as heads have chosen them, where they are in a log. */
  gathered: "gathered",
  /** Keys [kvHeads, headDim] rotated by their positions. */
  kRotated: "kRotated",
  /** Keys, unrotated keys and values in the format of the cache, where it is not f32. */
  kCached: "kCached",
  kUnrotatedCached: "kUnrotatedCached",
  vCached: "vCached",
} as const;

/** The buffer of a layer's middle keys: those that each head has chosen [heads, recall, 2], with their weights. */
export function chosenBuffer(layer: number): string {
  return `chosen.${layer}`;
}
