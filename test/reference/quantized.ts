/**
 * The quantised formats, literally: what the numbers of a block are, and where they lie in a packed matrix. Arithmetic that
 * decides numbers is f32, step by step as the kernels document it; everything computed from them is f64.
 */
export type QuantizedFormat = "q8" | "q7" | "q4";

/** One row of k numbers in blocks of 32: whole numbers [blocks · 32], zeros beyond k, and a scale of each block. */
export interface QuantizedRow {
  readonly numbers: Int32Array;
  readonly scales: Float64Array;
}

/** The largest whole number of a block's numbers of either sign; of q4 that of the sign of the block's largest number. */
export const MOST = { q8: 127, q7: 63, q4: 8 } as const;
/** What is added to the numbers where they are stored. */
export const OFFSET = { q8: 0, q7: 64, q4: 8 } as const;
/** Blocks that have no number beyond this are zeros. */
export const SMALLEST = 2 ** -100;

const fround = Math.fround;
const blocksOf = (k: number) => Math.ceil(k / 32);

/** The whole number nearest to x; of two the even one. */
export function nearestEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** The bf16 nearest to a f32, even among two; normal numbers only. */
export function toBf16(x: number): number {
  if (x === 0) return 0;
  const unit = 2 ** (Math.floor(Math.log2(Math.abs(x))) - 7);
  return nearestEven(x / unit) * unit;
}

/** Activations x[k]: nearest even of x · (steps / max|x|), scale max|x| / steps. */
export function quantizeActivations(x: Float32Array, steps = 127): QuantizedRow {
  return byBlocks(x, (block) => {
    const most = Math.max(...block.map(Math.abs));
    if (most <= SMALLEST) return { numbers: block.map(() => 0), scale: 0 };
    const inverse = fround(steps / most);
    return { numbers: block.map((value) => nearestEven(fround(value * inverse))), scale: fround(most / steps) };
  });
}

/**
 * A row of weights [k]. q8, q7: nearest even of x · (most / max|x|), scale max|x| / most. q4: the number of the largest
 * magnitude, of two the negative one, lies on the side of −8; of the steps from 9 down to 6 to reach it, by 0.25, those
 * whose squared error is least. Scales are bf16.
 */
export function quantizeWeights(x: Float32Array, format: QuantizedFormat): QuantizedRow {
  return byBlocks(x, (block) => {
    const [low, high] = [-Math.min(0, ...block), Math.max(0, ...block)];
    const most = Math.max(low, high);
    if (most <= SMALLEST) return { numbers: block.map(() => 0), scale: 0 };
    const end = format === "q4" && high > low ? -most : most;
    const steps = format === "q4" ? bestSteps(block, end) : MOST[format];
    const inverse = fround(steps / end);
    const [from, to] = format === "q4" ? [-8, 7] : [-MOST[format], MOST[format]];
    const numbers = block.map((value) => Math.max(from, Math.min(to, nearestEven(fround(value * inverse)))));
    return { numbers, scale: toBf16(fround(end / steps)) };
  });
}

/** In f32, lane l adding numbers l, l + 4 …, then (l0 + l1) + (l2 + l3): which steps are best may hang on the last bit. */
function bestSteps(block: readonly number[], end: number): number {
  let [best, least] = [8, Infinity];
  const unit = fround(1 / end);
  for (let steps = 9; steps >= 6; steps -= 0.25) {
    const step = fround(1 / steps);
    const lanes = [0, 0, 0, 0];
    for (let i = 0; i < 32; i++) {
      const x = fround((block[i] ?? 0) * unit);
      const q = Math.max(-8, Math.min(7, nearestEven(fround(x * steps))));
      const error = fround(x - fround(q * step));
      lanes[i % 4] = fround(lanes[i % 4]! + fround(error * error));
    }
    const squares = fround(fround(lanes[0]! + lanes[1]!) + fround(lanes[2]! + lanes[3]!));
    if (squares < least) [best, least] = [steps, squares];
  }
  return best;
}

function byBlocks(x: Float32Array, f: (block: number[]) => { numbers: number[]; scale: number }): QuantizedRow {
  const numbers = new Int32Array(blocksOf(x.length) * 32);
  const scales = new Float64Array(blocksOf(x.length));
  for (let block = 0; block < scales.length; block++) {
    const quantized = f([...x.subarray(32 * block, 32 * block + 32)]);
    numbers.set(quantized.numbers, 32 * block);
    scales[block] = quantized.scale;
  }
  return { numbers, scales };
}

/** The numbers that a row stands for, [k]. */
export function dequantize({ numbers, scales }: QuantizedRow, k: number): Float64Array {
  return Float64Array.from({ length: k }, (_, i) => numbers[i]! * scales[i >> 5]!);
}

/** Σ of the products of every block's whole numbers, [blocks]. */
export function blockSums(x: QuantizedRow, w: QuantizedRow): Float64Array {
  return w.scales.map((_, block) => {
    let sum = 0;
    for (let i = 32 * block; i < 32 * block + 32; i++) sum += x.numbers[i]! * w.numbers[i]!;
    return sum;
  });
}

/**
 * A packed matrix [n, k]: panels of 16 rows of blocks of 32 columns: 16 bf16 scales, then the columns by fours (q4: eights),
 * of each 4 groups of 4 rows of 16 bytes.
 */
export function packedBytesOf(n: number, k: number, format: QuantizedFormat): number {
  return Math.ceil(n / 16) * blocksOf(k) * blockBytes(format);
}

export function blockBytes(format: QuantizedFormat): number {
  return 32 + (16 * 32 * (format === "q4" ? 4 : 8)) / 8;
}

/** Byte of the scale: those of rows 0, 4, 1, 5, 2, 6, 3, 7 of the panel, then the same of its rows from 8 on. */
export function scalePlace(row: number, block: number, k: number, format: QuantizedFormat): number {
  const place = [0, 2, 4, 6, 1, 3, 5, 7][row % 8]!;
  return blockPlace(row, block, k, format) + 2 * (8 * Math.floor((row % 16) / 8) + place);
}

/** Byte of a number, and whether it is that byte's upper half. */
export function numberPlace(row: number, column: number, k: number, format: QuantizedFormat) {
  const group = Math.floor((row % 16) / 4) * 16;
  const [inRow, inBlock] = [row % 4, column % 32];
  const begin = blockPlace(row, Math.floor(column / 32), k, format) + 32 + group;
  if (format === "q4") {
    const at = begin + Math.floor(inBlock / 8) * 64 + inRow * 4 + (inBlock % 4);
    return { at, upper: inBlock % 8 >= 4 };
  }
  const at = begin + Math.floor(inBlock / 4) * 64;
  if (format === "q7") return { at: at + inRow * 4 + (inBlock % 4), upper: false };
  return { at: at + (inBlock % 4 >= 2 ? 8 : 0) + inRow * 2 + (inBlock % 2), upper: false };
}

function blockPlace(row: number, block: number, k: number, format: QuantizedFormat): number {
  return (Math.floor(row / 16) * blocksOf(k) + block) * blockBytes(format);
}

/** Row `row` of a packed matrix [n, k]. */
export function readRow(packed: Uint8Array, row: number, k: number, format: QuantizedFormat): QuantizedRow {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const word = new DataView(new ArrayBuffer(4));
  const scales = Float64Array.from({ length: blocksOf(k) }, (_, block) => {
    word.setUint16(0, view.getUint16(scalePlace(row, block, k, format), true));
    return word.getFloat32(0);
  });
  const numbers = Int32Array.from({ length: 32 * scales.length }, (_, column) => {
    const { at, upper } = numberPlace(row, column, k, format);
    if (format === "q8") return view.getInt8(at);
    const byte = view.getUint8(at);
    return (format === "q7" ? byte : upper ? byte >> 4 : byte & 15) - OFFSET[format];
  });
  return { numbers, scales };
}

/** Writes row `row` of a packed matrix [n, k]. */
export function writeRow(
  packed: Uint8Array,
  row: number,
  k: number,
  format: QuantizedFormat,
  value: QuantizedRow,
): void {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const word = new DataView(new ArrayBuffer(4));
  for (const [block, scale] of value.scales.entries()) {
    word.setFloat32(0, scale);
    view.setUint16(scalePlace(row, block, k, format), word.getUint16(0), true);
  }
  for (const [column, number] of value.numbers.entries()) {
    const { at, upper } = numberPlace(row, column, k, format);
    const stored = (number + OFFSET[format]) & 255;
    view.setUint8(at, upper ? (view.getUint8(at) & 15) | (stored << 4) : stored);
  }
}
