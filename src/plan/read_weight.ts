import { isQuantized, Size, Source, sourceBytes, sourceColumns } from "../../assembly/layout.ts";
import { Op, Pack } from "../../assembly/op.ts";
import type { MemoryDType } from "../base/dtype.ts";
import { ModelError, mismatch } from "../base/errors.ts";
import { align } from "../machine/arena.ts";
import type { Bank } from "../machine/bank.ts";
import type { Machine } from "../machine/machine.ts";
import { runsOf, storedRows } from "./stored_rows.ts";
import {
  batchRows,
  FORMATS,
  type PlacedWeight,
  panelsOf,
  STAGED,
  STAGING_BYTES,
  sourceOf,
  storedRowBytes,
} from "./weights.ts";

/**
 * Reads one weight into its place, its rows in the order of the file, through at most STAGING_BYTES of the bank's own memory unless it is stored packed.
 * `visit` sees every stretch of stored bytes once. Throws ModelError for a number that is not finite, by tensor and
 * index.
 */
export async function readWeight(
  placed: PlacedWeight,
  scales: Float32Array | undefined,
  machine: Machine,
  staging: number,
  visit: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  const { weight, tensor } = placed;
  const bank = machine.banks[placed.bank] as Bank;
  if (placed.packed) return readPacked(placed, bank, visit);
  const [n, k = 0] = weight.shape;
  const rowBytes = storedRowBytes(placed);
  const perBatch = batchRows(placed);
  const { stored, places } = storedRows(weight, tensor);
  const columns = staging + STAGED.numbers;
  const placesAt = columns + align(4 * k);
  const numbers = placesAt + (places ? align(4 * Math.min(n, perBatch)) : 0);
  const quantized = isQuantized(FORMATS[placed.dtype]);
  if (scales && quantized) bank.floats(columns, k).set(scales);
  // Rows of the last panel that do not exist are zeros.
  if (k) {
    const [panels, panelBytes] = panelsOf(n, k, placed.dtype);
    bank.bytes(placed.address + (panels - 1) * panelBytes, panelBytes).fill(0);
  }
  for (let row = 0; row < n; row += perBatch) {
    const rows = Math.min(perBatch, n - row);
    let end = numbers;
    for (const { first, count } of runsOf(stored, row, row + rows)) {
      await tensor.source.readInto(bank.bytes(end, count * rowBytes), tensor.begin + first * rowBytes);
      end += count * rowBytes;
    }
    const bytes = bank.bytes(numbers, rows * rowBytes);
    await visit(bytes);
    if (tensor.dtype === "F64") narrow(bytes, placed, stored.subarray(row));
    if (places) new Uint32Array(bank.memory.buffer, placesAt, rows).set(places.subarray(row, row + rows));
    const batch = { row, rows, numbers, columns: scales && quantized ? columns : 0, places: places ? placesAt : 0 };
    const bad = k
      ? pack(placed, machine, bank, staging, batch)
      : bank.kernels.expand(placed.address + 4 * row, numbers, rows, sourceOf(tensor));
    if (bad >= 0) {
      const value = valueAt(bank, numbers, sourceOf(tensor), bad, staging + STAGED.work);
      throw badNumber(placed, stored.subarray(row), bad, value);
    }
  }
  if (k && !quantized) scale(bank.floats(placed.address, placed.bytes / 4), placed, scales);
  if (!k) finishVector(placed, bank.floats(placed.address, n), places);
}
/** Casts staged f64 to f32 in place, rounded to nearest even. Throws ModelError for a number out of range. */
function narrow({ buffer, byteOffset, length }: Uint8Array, placed: PlacedWeight, stored: Uint32Array): void {
  const numbers = new Float64Array(buffer, byteOffset, length / 8);
  const casts = new Float32Array(buffer, byteOffset, length / 8);
  for (let i = 0; i < numbers.length; i++) {
    const number = numbers[i] as number;
    casts[i] = number;
    if (!Number.isFinite(casts[i])) throw badNumber(placed, stored, i, number, "f32");
  }
}

/** Fewer numbers than this are packed before another thread is awake. */
const ALONE = 2 ** 18;

/** Staged rows of a matrix, and where their columns' factors and places are; 0: none. */
interface Batch {
  readonly row: number;
  readonly rows: number;
  readonly numbers: number;
  readonly columns: number;
  readonly places: number;
}

/** Packs the staged rows `row` to `row + rows` on all threads; returns the index of the first bad number, or −1. */
function pack(
  placed: PlacedWeight,
  machine: Machine,
  bank: Bank,
  staging: number,
  { row, rows, numbers, columns, places }: Batch,
): number {
  const words = new Uint32Array(Size.RecordBytes / 4);
  words[0] = Op.Pack;
  words[Pack.dst] = placed.address;
  words[Pack.src] = numbers;
  words[Pack.columns] = columns;
  words[Pack.firstRow] = row;
  words[Pack.places] = places;
  words[Pack.rows] = rows;
  words[Pack.k] = placed.weight.shape[1] as number;
  words[Pack.source] = sourceOf(placed.tensor);
  words[Pack.target] = FORMATS[placed.dtype];
  words[Pack.results] = staging + STAGED.results;
  words[Pack.work] = staging + STAGED.work;
  const results = new Int32Array(bank.memory.buffer, staging + STAGED.results, Size.MaxSlices).fill(-1);
  machine.execute(bank, staging, words, rows * (placed.weight.shape[1] as number) >= ALONE);
  return results.find((result) => result >= 0) ?? -1;
}

/** Reads a weight that is stored in its in-memory form. */
async function readPacked(
  { weight, tensor, dtype, address, bytes }: PlacedWeight,
  bank: Bank,
  visit: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  for (let done = 0; done < bytes; done += STAGING_BYTES) {
    const part = bank.bytes(address + done, Math.min(STAGING_BYTES, bytes - done));
    await tensor.source.readInto(part, tensor.begin + done);
    await visit(part);
  }
  const where = `${tensor.source.name}: ${tensor.name}`;
  const [panels, panelBytes] = panelsOf(weight.shape[0], weight.shape[1] as number, dtype);
  const blockBytes = panelsOf(1, 1, dtype)[1];
  const bad = bank.kernels.firstBadBlock(address, (panels * panelBytes) / blockBytes, FORMATS[dtype]);
  if (bad >= 0) throw new ModelError(mismatch(where, `numbers of ${dtype}`, `others in block ${bad}`));
}

/** Multiplies the numbers of a packed f32 matrix by its factor, and by those of its columns. see: assembly/matmul_f.ts */
function scale(numbers: Float32Array, { weight }: PlacedWeight, columns: Float32Array | undefined): void {
  const { factor = 1, shape } = weight;
  if (factor === 1 && !columns) return;
  const panel = numbers.length / Math.ceil(shape[0] / 4);
  for (const [i, number] of numbers.entries()) {
    const column = ((i % panel) >> 4) * 4 + (i & 3);
    numbers[i] = number * factor * (columns?.[column] ?? 1);
  }
}

/** Puts the numbers of a vector in their order, and makes of the file's the program's. */
function finishVector({ weight, tensor }: PlacedWeight, vector: Float32Array, places: Uint32Array | undefined): void {
  if (places) {
    const numbers = vector.slice();
    for (const [i, place] of places.entries()) vector[place] = numbers[i] as number;
  }
  const [less, more] = [tensor.added ?? 0, weight.added ?? 0];
  if (less === more) return;
  for (const [i, number] of vector.entries()) vector[i] = Math.fround(number - less) + more;
}

/** The error for number `bad` of rows that are stored there. */
function badNumber(
  { weight, tensor, dtype }: PlacedWeight,
  stored: Uint32Array,
  bad: number,
  value: number,
  target: MemoryDType = dtype,
): ModelError {
  const k = weight.shape[1] ?? 1;
  const index = [stored[Math.floor(bad / k)], ...(weight.shape.length === 2 ? [bad % k] : [])];
  const expected = Number.isFinite(value) ? `a number in the range of ${target}` : "a finite number";
  return new ModelError(mismatch(`${tensor.source.name}: ${tensor.name}[${index}]`, expected, String(value)));
}

/** A staged number that could not be packed; NaN where its block's scale is not finite. `work`: a work area. */
function valueAt(bank: Bank, numbers: number, source: Source, index: number, work: number): number {
  const together = sourceColumns(source);
  const at = numbers + Math.floor(index / together) * sourceBytes(source);
  const view = new DataView(bank.memory.buffer);
  if (together > 1) {
    return bank.kernels.expand(work, at, together, source) < 0
      ? view.getFloat32(work + 4 * (index % together), true)
      : NaN;
  }
  if (source === Source.F32) return view.getFloat32(at, true);
  const bits = view.getUint16(at, true);
  return source === Source.F16 ? halfName(bits) : (new Float32Array(new Uint32Array([bits << 16]).buffer)[0] as number);
}

/** A 16-bit float that is not finite, as a number. */
function halfName(bits: number): number {
  return bits & 0x3ff ? NaN : bits & 0x8000 ? -Infinity : Infinity;
}
