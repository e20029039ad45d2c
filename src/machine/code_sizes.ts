/** Sizes of the 8-bit codes of keys. see: assembly/codes.ts */
import { Code } from "../../assembly/layout_codes.ts";

/** Bytes of a key's codes. */
export function codeWidth(headDim: number): number {
  return Code.Align * Math.ceil(headDim / Code.Align);
}

/** Keys of a block. */
export function codeBlock(headDim: number): number {
  return headDim > Code.NarrowHead ? Code.WideBlock : Code.Block;
}

/** Bytes of the mean of a block's codes, and of their power of two. */
export function meanBytes(headDim: number): number {
  return codeWidth(headDim) + Code.PowerBytes;
}

/** Bytes that a slice of an attention needs to choose middle keys in so many blocks; Infinity: all. see: assembly/recall.ts */
export function choosingBytes(recallBlocks: number): number {
  return Code.Queries * (Code.Heap + (recallBlocks > Code.MostBlocks ? 0 : 8 * recallBlocks));
}

/** Bytes of the distances that are kept of what a head chose for a token. see: assembly/chosen.ts */
export const RUN_BYTES = 4 * Code.RunKeys;
