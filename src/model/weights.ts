import { Format } from "../../assembly/op.ts";
import { DTYPE_BYTES, type DType, STORED_DTYPES } from "../dtype.ts";
import { ModelError, mismatch } from "../errors.ts";
import type { StoredTensor } from "../formats/checkpoint.ts";
import type { Bank } from "../machine/machine.ts";
import type { Program, Weight } from "./program.ts";

/** A weight, the tensor that holds it, and the format in which it will be computed with. */
export interface ResolvedWeight {
  readonly weight: Weight;
  readonly tensor: StoredTensor;
  /** Vectors (norms and biases) are always f32. */
  readonly dtype: DType;
  /** Bytes in memory, packed. */
  readonly bytes: number;
  /** Weights of one key are the same numbers and are kept once. */
  readonly key: string;
}

/** A weight with its place. */
export interface PlacedWeight extends ResolvedWeight {
  readonly bank: number;
  readonly address: number;
}

export const FORMAT: Readonly<Record<DType, Format>> = { f32: Format.F32, bf16: Format.Bf16, f16: Format.F16 };
/** The most of a file that is held outside its place while it is packed. */
export const STAGING_BYTES = 4 * 2 ** 20;

/** Bytes of a packed matrix (panels of 4 rows, chunks of 16 bytes) or of a vector. */
function packedBytes(shape: Weight["shape"], dtype: DType): number {
  const [n, k] = shape;
  if (k === undefined) return 4 * n;
  return Math.ceil(n / 4) * 4 * Math.ceil((k * DTYPE_BYTES[dtype]) / 16) * 16;
}

/**
 * Finds the tensor of every weight. Throws ModelError where one is missing, of another shape, or of a type that is not
 * computed with. `dtype` "auto" keeps the stored format of matrices.
 */
export function resolveWeights(
  program: Program,
  tensors: ReadonlyMap<string, StoredTensor>,
  dtype: DType | "auto",
  name: string,
): Map<string, ResolvedWeight> {
  const resolved = new Map<string, ResolvedWeight>();
  for (const weight of program.weights.values()) {
    const stored = weight.tensors.find((candidate) => tensors.has(candidate));
    const tensor = stored === undefined ? undefined : tensors.get(stored);
    if (!tensor) throw new ModelError(`${name}: expected a tensor ${weight.tensors.join(" or ")}, found none`);
    const where = `${name}: ${tensor.name}`;
    if (tensor.shape.length !== weight.stored.length || tensor.shape.some((size, i) => size !== weight.stored[i])) {
      throw new ModelError(`${where}: expected shape [${weight.stored}], found [${tensor.shape}]`);
    }
    const storedDtype = STORED_DTYPES[tensor.dtype];
    if (!storedDtype) {
      throw new ModelError(mismatch(where, `a type of ${Object.keys(STORED_DTYPES).join(", ")}`, tensor.dtype));
    }
    const target = weight.shape.length === 1 ? "f32" : dtype === "auto" ? storedDtype : dtype;
    const key = `${tensor.name} ${weight.firstRow} ${weight.shape}`;
    resolved.set(weight.name, { weight, tensor, dtype: target, bytes: packedBytes(weight.shape, target), key });
  }
  return resolved;
}

/** Bytes of the staging area that reading a weight needs; packing may read a little beyond the stored numbers. */
export function stagedBytes({ weight, tensor }: ResolvedWeight): number {
  const rowBytes = (tensor.end - tensor.begin) / (weight.stored[0] as number);
  return Math.max(rowBytes, Math.min(STAGING_BYTES, rowBytes * weight.shape[0])) + 64;
}

/** Tensors that belong to no weight and are known to be harmless: buffers that old versions of transformers saved. */
const KNOWN_BUFFERS = /\.(rotary_emb\.inv_freq|attn\.bias|attn\.masked_bias)$/;

/** Names of stored tensors that the program does not use. */
export function unusedTensors(
  resolved: ReadonlyMap<string, ResolvedWeight>,
  tensors: ReadonlyMap<string, StoredTensor>,
) {
  const used = new Set([...resolved.values()].map(({ tensor }) => tensor.name));
  return [...tensors.keys()].filter((tensor) => !used.has(tensor) && !KNOWN_BUFFERS.test(tensor));
}

/**
 * Reads one weight into its place, through at most STAGING_BYTES of the bank's own memory. `visit` sees every stretch of
 * stored bytes once. Throws ModelError for a number that is not finite, by tensor and index.
 */
export async function readWeight(
  placed: PlacedWeight,
  bank: Bank,
  staging: number,
  visit: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  const { weight, tensor } = placed;
  const source = STORED_DTYPES[tensor.dtype] as DType;
  const [n, k = 1] = weight.shape;
  const rowBytes = k * DTYPE_BYTES[source];
  const perBatch = Math.max(1, Math.floor(STAGING_BYTES / rowBytes));
  // Rows of the last panel that do not exist are zeros.
  if (weight.shape.length === 2)
    bank.bytes(placed.address, placed.bytes).fill(0, placed.bytes - placed.bytes / Math.ceil(n / 4));
  for (let row = 0; row < n; row += perBatch) {
    const rows = Math.min(perBatch, n - row);
    const bytes = bank.bytes(staging, rows * rowBytes);
    await tensor.source.readInto(bytes, tensor.begin + (weight.firstRow + row) * rowBytes);
    const bad =
      weight.shape.length === 1
        ? bank.kernels.expand(placed.address + 4 * row, staging, rows, FORMAT[source])
        : bank.kernels.pack(placed.address, staging, row, rows, k, FORMAT[source], FORMAT[placed.dtype]);
    if (bad >= 0) throw badNumber(placed, bank, staging, source, row, bad);
    await visit(bytes);
  }
}

function badNumber(
  { weight, tensor, dtype }: PlacedWeight,
  bank: Bank,
  staging: number,
  source: DType,
  row: number,
  bad: number,
): ModelError {
  const k = weight.shape[1] ?? 1;
  const at = staging + bad * DTYPE_BYTES[source];
  const view = new DataView(bank.memory.buffer);
  const value =
    source === "f32"
      ? view.getFloat32(at, true)
      : source === "bf16"
        ? new Float32Array(new Uint32Array([view.getUint16(at, true) << 16]).buffer)[0]
        : halfName(view.getUint16(at, true));
  const index = [weight.firstRow + row + Math.floor(bad / k), ...(weight.shape.length === 2 ? [bad % k] : [])];
  const expected = Number.isFinite(value) ? `a number in the range of ${dtype}` : "a finite number";
  return new ModelError(mismatch(`${tensor.source.name}: ${tensor.name}[${index}]`, expected, String(value)));
}

/** A 16-bit float that is not finite, as a number. */
function halfName(bits: number): number {
  return bits & 0x3ff ? NaN : bits & 0x8000 ? -Infinity : Infinity;
}
