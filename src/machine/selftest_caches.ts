/** The caches of the self-test: where each shape's are in a slot, and what attention is told of them. */
import type { CacheFormat } from "../../assembly/layout.ts";
import { Code } from "../../assembly/layout_codes.ts";
import { Attention, Offset } from "../../assembly/op.ts";
import { codeBlock, codeWidth, meanBytes, RUN_BYTES } from "./code_sizes.ts";
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

/** Bytes of the middle keys and values of a shape, of the means of their blocks, of their codes, and of what was chosen last. */
function recallParts({ heads, kvHeads, headDim, nLocal }: Shape) {
  const blocks = kvHeads * CODE_BLOCKS;
  return {
    kept: 8 * kvHeads * (nLocal + RECALL_TOKENS) * headDim,
    means: blocks * meanBytes(headDim),
    codes: blocks * codeBlock(headDim) * codeWidth(headDim),
    runs: heads * Code.RunPlaces * RUN_BYTES,
  };
}

/** Bytes of all of them. */
export function recallBytes(shape: Shape): number {
  return Object.values(recallParts(shape)).reduce((sum, part) => sum + part);
}

/** Writes to `runs` what the heads of a shape have chosen last, at every token the same: the distances of the nearest middle keys. */
export function writeChosen(memory: WebAssembly.Memory, runs: number, { heads, nLocal }: Shape): void {
  const distances = new Uint32Array(memory.buffer, runs, heads * Code.RunPlaces * Code.RunKeys);
  for (const i of distances.keys()) distances[i] = nLocal + (i % Code.RunKeys);
}

/** Attention's operands that say what is recalled of a shape, from `offset` in the slot on. */
export function recallOf(shape: Shape, offset: number): Fields {
  const { kept, means, codes } = recallParts(shape);
  return {
    ...{ [Attention.kvRecall]: offset, [Attention.means]: offset + kept, [Attention.codes]: offset + kept + means },
    [Attention.runs]: offset + kept + means + codes,
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
