/** A weight is ranges of rows of a stored tensor, wherever they lie in it. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { contiguous, type RowRange } from "../../src/base/rows.ts";
import type { Program } from "../../src/models/program.ts";
import { Bare } from "../engine/bare.ts";
import { fixture, PATIENCE, randomIds, sameBits, type Tensor, type Tiny } from "../engine/tiny.ts";

setDefaultTimeout(PATIENCE);

const NAME = "model.layers.1.self_attn.q_proj.weight";
const OPTIONS = { nLocal: 16, chunkSize: 16, maxSessions: 1 };
const ids = randomIds(40, 3);

/** The model with the rows of one matrix in another order: row i of the file is row order(i) of the original. */
function reordered(order: (row: number, rows: number) => number): Tiny {
  const { config, tensors } = fixture("llama-gqa-tied");
  const matrix = tensors.get(NAME) as Tensor;
  const rows = matrix.shape[0] as number;
  const width = matrix.bytes.length / rows;
  const bytes = new Uint8Array(matrix.bytes.length);
  for (let i = 0; i < rows; i++) {
    const from = order(i, rows) * width;
    bytes.set(matrix.bytes.subarray(from, from + width), i * width);
  }
  return { config, tensors: new Map(tensors).set(NAME, { ...matrix, bytes }) };
}

function withRows(rows: readonly RowRange[]) {
  return (program: Program): Program => {
    const weight = program.weights.get(NAME) as NonNullable<ReturnType<Program["weights"]["get"]>>;
    return { ...program, weights: new Map(program.weights).set(NAME, { ...weight, rows }) };
  };
}

async function read(model: Tiny, rows: readonly RowRange[]): Promise<Float32Array[]> {
  return (await Bare.load(model, OPTIONS, undefined, withRows(rows))).read(ids);
}

test("rows that a file has in another order give the same bits; their own order does not", async () => {
  const wanted = await read(fixture("llama-gqa-tied"), contiguous(0, 32));
  const same = (rows: Float32Array[]) => rows.every((row, i) => sameBits(row, wanted[i] as Float32Array));
  // Even rows, then odd ones: pairs that lie half the matrix apart.
  const evenFirst = reordered((row, rows) => (row < rows / 2 ? 2 * row : 2 * row - rows + 1));
  const pairs = Array.from({ length: 16 }, (_, i) => ({ first: i, count: 2, step: 16 }));
  expect(same(await read(evenFirst, pairs))).toBe(true);
  expect(same(await read(evenFirst, contiguous(0, 32)))).toBe(false);
  // Halves changed over.
  const halves = reordered((row, rows) => (row + rows / 2) % rows);
  expect(same(await read(halves, [...contiguous(16, 16), ...contiguous(0, 16)]))).toBe(true);
  expect(same(await read(halves, [...contiguous(0, 16), ...contiguous(16, 16)]))).toBe(false);
});

test("a number that is not finite is told by its stored row", async () => {
  const model = reordered((row, rows) => (row + rows / 2) % rows);
  const { bytes } = model.tensors.get(NAME) as Tensor;
  new DataView(bytes.buffer, bytes.byteOffset).setFloat32(4 * (32 * 20 + 7), Infinity, true);
  const loading = read(model, [...contiguous(16, 16), ...contiguous(0, 16)]);
  expect(await loading.then(String, (error) => error.message)).toContain(`${NAME}[20,7]: expected a finite number`);
});
