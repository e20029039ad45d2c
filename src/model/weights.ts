import { Format } from "../../assembly/op.ts";
import { DTYPE_BYTES, type DType, STORED_DTYPES } from "../dtype.ts";
import { ModelError, mismatch } from "../errors.ts";
import type { StoredTensor } from "../formats/checkpoint.ts";
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

/** What the kernels call a format. */
export const FORMATS: Readonly<Record<DType, Format>> = { f32: Format.F32, bf16: Format.Bf16, f16: Format.F16 };
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
      throw new ModelError(mismatch(where, `shape [${weight.stored}]`, tensor.shape));
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
