/** The caches of the self-test: where each shape's are in a slot, and what attention is told of them. */
import type { CacheFormat } from "../../assembly/layout.ts";
import { Attention, Offset } from "../../assembly/op.ts";
import { codeBlock, codeWidth, meanBytes } from "./code_sizes.ts";
import type { Shape } from "./selftest_inputs.ts";

/** Operands of a record by their word. */
export type Fields = Readonly<Record<number, number>>;

/** The bits of a number as f32. */
export const bits = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0] as number;

/** Blocks that are looked into. */
export const RECALL_BLOCKS = 1;
/** Tokens that middle ones are looked for in, and blocks of codes: not as many as there are. */
const RECALL_TOKENS = 128;
const CODE_BLOCKS = 5;

/** Bytes of one part of a slot: keys or values of a shape, in the ring or pinned. */
export function partBytes({ kvHeads, headDim, nLocal, nGlobal }: Shape): number {
  return 4 * kvHeads * headDim * Math.max(nLocal, nGlobal);
}

/** Bytes of the middle keys and values of a shape, of the means of their blocks, and of their codes. */
function recallParts({ kvHeads, headDim, nLocal }: Shape): readonly [kept: number, means: number, codes: number] {
  const blocks = kvHeads * CODE_BLOCKS;
  return [
    8 * kvHeads * (nLocal + RECALL_TOKENS) * headDim,
    blocks * meanBytes(headDim),
    blocks * codeBlock(headDim) * codeWidth(headDim),
  ];
}

/** Bytes of all three. */
export function recallBytes(shape: Shape): number {
  return recallParts(shape).reduce((sum, part) => sum + part);
}

/** Attention's operands that say what is recalled of a shape, from `offset` in the slot on. */
export function recallOf(shape: Shape, offset: number): Fields {
  const [kept, means] = recallParts(shape);
  return {
    ...{ [Attention.kvRecall]: offset, [Attention.means]: offset + kept, [Attention.codes]: offset + kept + means },
    ...{
      [Attention.recall]: 3,
      [Attention.recallTokens]: RECALL_TOKENS,
      [Attention.recallPlaces]: shape.nLocal + RECALL_TOKENS,
      [Attention.recallDistance]: 5,
    },
    ...{ [Attention.recallBlocks]: RECALL_BLOCKS, [Attention.codeBlocks]: CODE_BLOCKS },
  };
}

/** Attention's operands that say where the cache is, and of what shape and format. */
export function cacheOf(shape: Shape, format: CacheFormat, headBytes: number, offset: number): Fields {
  const { heads, kvHeads, headDim, nGlobal, nLocal, limit, unrotated } = shape;
  const part = (index: number): number => offset + (index * partBytes(shape) * headBytes) / (4 * headDim);
  return {
    ...{ [Attention.kRing]: part(0), [Attention.kRingUnrotated]: unrotated ? part(1) : Offset.Unused },
    ...{ [Attention.vRing]: part(2), [Attention.kPinned]: part(3), [Attention.vPinned]: part(5) },
    [Attention.kPinnedUnrotated]: unrotated ? part(4) : Offset.Unused,
    ...{ [Attention.heads]: heads, [Attention.kvHeads]: kvHeads, [Attention.headDim]: headDim },
    ...{ [Attention.scale]: bits(0.125), [Attention.nGlobal]: nGlobal, [Attention.nLocal]: nLocal },
    ...{ [Attention.limit]: limit },
    ...{ [Attention.format]: format, [Attention.headBytes]: headBytes },
  };
}
