import { Size } from "../../assembly/layout.ts";
import { Op, Pack } from "../../assembly/op.ts";
import { DTYPE_BYTES, type DType, STORED_DTYPES, type StoredDType } from "../base/dtype.ts";
import { LambentError, ModelError, mismatch } from "../base/errors.ts";
import { abortable, tick } from "../base/tick.ts";
import { canonicalConfig } from "../formats/config.ts";
import { align } from "../machine/arena.ts";
import type { Bank } from "../machine/bank.ts";
import { Xxh64 } from "../machine/hash.ts";
import type { Kernels } from "../machine/kernels.ts";
import { Machine } from "../machine/machine.ts";
import type { Weight } from "../models/program.ts";
import { fold } from "./fold.ts";
import type { Plan } from "./plan.ts";
import { FORMATS, type PlacedWeight, panelsOf, type ResolvedWeight, STAGED, STAGING_BYTES } from "./weights.ts";

/** How weights are read. */
export interface ReadingOptions {
  /** Bytes of available memory; a model that needs more is refused before anything is read. */
  readonly availableMemory?: number | undefined;
  /** Threads that compute, if the kernels have a pool; 1 by default. */
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with the bytes of weights read so far, and their total. */
  readonly onProgress?: ((loaded: number, total: number) => void) | undefined;
}

/**
 * Creates the memories of a plan and reads every weight straight into its place. Also returns XXH64 of the config and
 * of every weight as stored. Throws LambentError if there is not enough memory, ModelError for a number that is not
 * finite.
 */
export async function loadMachine(
  plan: Plan,
  config: Readonly<Record<string, unknown>>,
  kernels: Kernels,
  options: ReadingOptions = {},
): Promise<{ machine: Machine; hash: bigint }> {
  const { availableMemory = Infinity } = options;
  if (plan.memoryBytes > availableMemory) {
    throw new LambentError(mismatch("memory", `${plan.memoryBytes} bytes available`, availableMemory));
  }
  const machine = createMachine(kernels, plan, options.threads);
  const total = plan.weights.reduce((sum, weight) => sum + storedBytes(weight), 0);
  let loaded = 0;
  const digests = new Map<PlacedWeight, bigint>();
  const read = async (placed: PlacedWeight, columns?: Float32Array) => {
    const digest = new Xxh64(kernels);
    const reading = readWeight(placed, columns, machine, plan.staging[placed.bank] as number, async (bytes) => {
      digest.update(bytes);
      loaded += bytes.length;
      options.onProgress?.(loaded, total);
      await tick();
      options.signal?.throwIfAborted();
    });
    await abortable(reading, options.signal);
    digests.set(placed, digest.digest());
  };
  // In the order of the files, which may be streams: in one pass, except for norms that are folded into matrices.
  const folded = new Set(plan.foldings.flatMap(({ weight, bias }) => [weight, bias]));
  const [first, second] = [true, false].map((now) =>
    inFileOrder(plan.weights.filter(({ weight }) => folded.has(weight.name) === now)),
  );
  for (const placed of first as PlacedWeight[]) await read(placed);
  const kept = plan.hiddenStates.kept.map(({ weight: { bank, address, bytes }, address: to }) => {
    return { bank, address: to, bytes: (machine.banks[bank] as Bank).bytes(address, bytes).slice() };
  });
  const columns = fold(machine, plan.weights, plan.foldings);
  for (const placed of second as PlacedWeight[]) await read(placed, columns.get(placed.weight.name));
  // Last, because some of them are where weights were staged.
  for (const { bank, address, bytes } of [...plan.constants, ...kept]) {
    (machine.banks[bank] as Bank).bytes(address, bytes.length).set(bytes);
  }
  machine.tune();
  // Vectors, then matrices, in the order of the plan: the hash does not depend on the order of reading.
  const hash = new Xxh64(kernels).update(new TextEncoder().encode(canonicalConfig(config)));
  for (const rank of [1, 2]) {
    const ranked = plan.weights.filter(({ weight }) => weight.shape.length === rank);
    hash.update(new Uint8Array(BigUint64Array.from(ranked, (placed) => digests.get(placed) as bigint).buffer));
  }
  return { machine, hash: hash.digest() };
}

/** File after file, each from start to end. */
function inFileOrder(weights: readonly PlacedWeight[]): PlacedWeight[] {
  const files = [...new Set(weights.map(({ tensor }) => tensor.source))];
  return weights.toSorted(
    (a, b) => files.indexOf(a.tensor.source) - files.indexOf(b.tensor.source) || firstByte(a) - firstByte(b),
  );
}

function createMachine(kernels: Kernels, plan: Plan, threads: number | undefined): Machine {
  try {
    return new Machine(kernels, plan, threads);
  } catch (error) {
    const { name, message } = error as Error;
    if (name !== "RangeError") throw error;
    throw new LambentError(mismatch("memory", `${plan.memoryBytes} bytes`, `less: ${message}`));
  }
}

/** Where a weight starts in its file. */
function firstByte({ weight, tensor }: ResolvedWeight): number {
  return tensor.begin + (storedRow(weight, 0) * (tensor.end - tensor.begin)) / (weight.stored[0] as number);
}

/** Rows `row` to `row + rows` of a weight as runs of consecutive stored rows. */
function runsOf(weight: Weight, row: number, rows: number): { first: number; count: number }[] {
  const runs: { first: number; count: number }[] = [];
  let skipped = 0;
  for (const { first, count, step } of weight.rows) {
    const begin = Math.max(0, row - skipped);
    const end = Math.min(count, row + rows - skipped);
    if (step === 1 && begin < end) runs.push({ first: first + begin, count: end - begin });
    else for (let i = begin; i < end; i++) runs.push({ first: first + i * step, count: 1 });
    skipped += count;
  }
  return runs;
}

/** The stored row that is row `row` of a weight. */
function storedRow(weight: Weight, row: number): number {
  return runsOf(weight, row, 1)[0]?.first ?? 0;
}

/** Bytes of a weight in the file. */
function storedBytes({ weight, tensor }: ResolvedWeight): number {
  return (tensor.end - tensor.begin) * (weight.shape[0] / (weight.stored[0] as number));
}

/**
 * Reads one weight into its place, through at most STAGING_BYTES of the bank's own memory unless it is stored packed.
 * `visit` sees every stretch of stored bytes once. Throws ModelError for a number that is not finite, by tensor and
 * index.
 */
async function readWeight(
  placed: PlacedWeight,
  columns: Float32Array | undefined,
  machine: Machine,
  staging: number,
  visit: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  const { weight, tensor } = placed;
  const bank = machine.banks[placed.bank] as Bank;
  if (placed.packed) return readPacked(placed, bank, visit);
  const source = STORED_DTYPES[tensor.dtype] as StoredDType;
  const [n, k = 1] = weight.shape;
  const rowBytes = k * (tensor.dtype === "F64" ? 8 : DTYPE_BYTES[source]);
  const perBatch = Math.max(1, Math.floor(STAGING_BYTES / rowBytes));
  const scales = staging + STAGED.numbers;
  const numbers = scales + (columns ? align(4 * k) : 0);
  if (columns) bank.floats(scales, k).set(columns);
  // Rows of the last panel that do not exist are zeros.
  if (weight.shape.length === 2) {
    const [panels, panelBytes] = panelsOf(n, k, placed.dtype);
    bank.bytes(placed.address + (panels - 1) * panelBytes, panelBytes).fill(0);
  }
  for (let row = 0; row < n; row += perBatch) {
    const rows = Math.min(perBatch, n - row);
    let end = numbers;
    for (const { first, count } of runsOf(weight, row, rows)) {
      await tensor.source.readInto(bank.bytes(end, count * rowBytes), tensor.begin + first * rowBytes);
      end += count * rowBytes;
    }
    const bytes = bank.bytes(numbers, rows * rowBytes);
    await visit(bytes);
    if (tensor.dtype === "F64") narrow(bytes, placed, row);
    const bad =
      weight.shape.length === 1
        ? bank.kernels.expand(placed.address + 4 * row, numbers, rows, FORMATS[source])
        : pack(placed, machine, bank, staging, { row, rows, numbers, columns: columns ? scales : 0 });
    if (bad >= 0) throw badNumber(placed, row, bad, valueAt(bank, numbers, source, bad));
    if (weight.shape.length === 1) add(bank.floats(placed.address + 4 * row, rows), placed);
  }
}

/** What a weight adds to stored numbers, less what the file has added already. */
function add(numbers: Float32Array, { weight, tensor }: PlacedWeight): void {
  const added = (weight.added ?? 0) - (tensor.added ?? 0);
  if (added !== 0) for (const [i, number] of numbers.entries()) numbers[i] = number + added;
}

/** Casts staged f64 to f32 in place, rounded to nearest even. Throws ModelError for a number out of range. */
function narrow({ buffer, byteOffset, length }: Uint8Array, placed: PlacedWeight, row: number): void {
  const numbers = new Float64Array(buffer, byteOffset, length / 8);
  const casts = new Float32Array(buffer, byteOffset, length / 8);
  for (let i = 0; i < numbers.length; i++) {
    const number = numbers[i] as number;
    casts[i] = number;
    if (!Number.isFinite(casts[i])) throw badNumber(placed, row, i, number, "f32");
  }
}

/** Fewer numbers than this are packed before another thread is awake. */
const ALONE = 2 ** 18;

/** Packs the staged rows `row` to `row + rows` on all threads; returns the index of the first bad number, or −1. */
function pack(
  placed: PlacedWeight,
  machine: Machine,
  bank: Bank,
  staging: number,
  { row, rows, numbers, columns }: { row: number; rows: number; numbers: number; columns: number },
): number {
  const words = new Uint32Array(Size.RecordBytes / 4);
  words[0] = Op.Pack;
  words[Pack.dst] = placed.address;
  words[Pack.src] = numbers;
  words[Pack.columns] = columns;
  words[Pack.firstRow] = row;
  words[Pack.rows] = rows;
  words[Pack.k] = placed.weight.shape[1] as number;
  words[Pack.source] = FORMATS[STORED_DTYPES[placed.tensor.dtype] as StoredDType];
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

/** The error for number `bad` of those from `row` on. */
function badNumber(
  { weight, tensor, dtype }: PlacedWeight,
  row: number,
  bad: number,
  value: number,
  target: DType = dtype,
): ModelError {
  const k = weight.shape[1] ?? 1;
  const index = [storedRow(weight, row + Math.floor(bad / k)), ...(weight.shape.length === 2 ? [bad % k] : [])];
  const expected = Number.isFinite(value) ? `a number in the range of ${target}` : "a finite number";
  return new ModelError(mismatch(`${tensor.source.name}: ${tensor.name}[${index}]`, expected, String(value)));
}

/** A staged number that could not be packed. */
function valueAt(bank: Bank, numbers: number, source: StoredDType, index: number): number {
  const at = numbers + index * DTYPE_BYTES[source];
  const view = new DataView(bank.memory.buffer);
  if (source === "f32") return view.getFloat32(at, true);
  const bits = view.getUint16(at, true);
  return source === "f16" ? halfName(bits) : (new Float32Array(new Uint32Array([bits << 16]).buffer)[0] as number);
}

/** A 16-bit float that is not finite, as a number. */
function halfName(bits: number): number {
  return bits & 0x3ff ? NaN : bits & 0x8000 ? -Infinity : Infinity;
}
