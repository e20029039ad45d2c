import { blockBytes, blockColumns, Format, panelRows, Size, Source, sourceColumns } from "../../assembly/layout.ts";
import { BLOCK_DTYPES, type DType, type MemoryDType, STORED_DTYPES } from "../base/dtype.ts";
import { ModelError, mismatch } from "../base/errors.ts";
import { contiguous } from "../base/rows.ts";
import type { StoredTensor } from "../formats/checkpoint.ts";
import { align } from "../machine/arena.ts";
import { type Program, type Weight, weightNames } from "../models/program.ts";
import { bareName, TensorNames } from "./names.ts";

/** A weight, the tensor that contains it, and its format in memory. */
export interface ResolvedWeight {
  readonly weight: Weight;
  readonly tensor: StoredTensor;
  /** Its own: see dtypeOf. */
  readonly dtype: MemoryDType;
  /** Bytes in memory, packed. */
  readonly bytes: number;
  /** Whether it is stored in its in-memory form. */
  readonly packed: boolean;
  /** Whether its numbers are those of ggml's blocks, as stored. */
  readonly kept: boolean;
  /** Weights of one key are equal and are kept once. */
  readonly key: string;
}

/** A weight with its address. */
export interface PlacedWeight extends ResolvedWeight {
  readonly bank: number;
  readonly address: number;
}

/** The kernels' number of a format. */
export const FORMATS: Readonly<Record<MemoryDType, Format>> = {
  f32: Format.F32,
  bf16: Format.Bf16,
  f16: Format.F16,
  q8: Format.Q8,
  q7: Format.Q7,
  q4: Format.Q4,
  q8_0: Format.Q8_0,
  q6_k: Format.Q6_K,
  q5_0: Format.Q5_0,
  q5_k: Format.Q5_K,
  q4_0: Format.Q4_0,
  q4_k: Format.Q4_K,
  q2_k: Format.Q2_K,
};

/** The kernels' number of a type of stored numbers; F64 is cast before they see it. */
export function sourceOf({ dtype }: StoredTensor): Source {
  const source = STORED_DTYPES[dtype];
  return source ? (FORMATS[source] as number) : Source[dtype as keyof typeof Source];
}
/** The types that a weight may be stored in, each with the format that it is read as by default. */
const DTYPE_OF: Readonly<Record<string, MemoryDType>> = { ...STORED_DTYPES, ...BLOCK_DTYPES };

/** The most bytes of a file that are held outside their place while they are packed. */
export const STAGING_BYTES = 4 * 2 ** 20;

/** The number of panels of a packed matrix [n, k], and the bytes of each. */
export function panelsOf(n: number, k: number, dtype: MemoryDType): readonly [panels: number, bytes: number] {
  const format = FORMATS[dtype];
  return [Math.ceil(n / panelRows(format)), Math.ceil(k / blockColumns(format)) * blockBytes(format)];
}

/** Bytes of a packed matrix or of a vector. */
function packedBytes([n, k]: Weight["shape"], dtype: MemoryDType): number {
  if (k === undefined) return 4 * n;
  const [panels, bytes] = panelsOf(n, k, dtype);
  return panels * bytes;
}

/** Bytes that are read for one row of a packed matrix. */
export function packedRowBytes(k: number, dtype: MemoryDType): number {
  return panelsOf(1, k, dtype)[1] / panelRows(FORMATS[dtype]);
}

/**
 * The format in which a weight is computed with; the only place that decides it. `asked` is that of the model, where "auto"
 * is the stored one, and for ggml's block types one that keeps their numbers. Vectors (norms and biases) are always f32. With q7 and q4 the `ends` of the model, the tensors that
 * tokens are looked up in and logits made by, are q8: as q8 they cost little time or none, as q4 half of what a model loses
 * (docs/LOG.md).
 */
function dtypeOf(
  weight: Weight,
  tensor: StoredTensor,
  asked: DType | "auto",
  ends: ReadonlySet<StoredTensor | undefined>,
): MemoryDType {
  if (weight.shape.length === 1) return "f32";
  if (weight.dtype) return weight.dtype;
  const dtype = asked === "auto" ? (DTYPE_OF[tensor.dtype] as MemoryDType) : asked;
  return (dtype === "q4" || dtype === "q7") && ends.has(tensor) ? "q8" : dtype;
}

/**
 * Finds the tensor of every weight. Throws ModelError where one is missing, of another shape, or of a type that is not
 * computed with. `asked`: see dtypeOf; `packed` is the format in which a packed checkpoint stores its matrices.
 */
export function resolveWeights(
  program: Program,
  tensors: ReadonlyMap<string, StoredTensor>,
  asked: DType | "auto",
  name: string,
  packed?: DType,
): Map<string, ResolvedWeight> {
  const stored = new TensorNames(tensors, name);
  const find = (weight: Weight): StoredTensor | undefined => {
    const names = packed ? [weight.name, ...weight.tensors] : weight.tensors;
    return names.map((candidate) => stored.find(candidate)).find((found) => found !== undefined);
  };
  const ends = new Set(
    [...program.embed, ...program.head]
      .filter(({ op }) => op === "embed" || op === "matmul")
      .map((operation) => {
        return find(program.weights.get(weightNames(operation)[0] as string) as Weight);
      }),
  );
  const resolve = (weight: Weight): ResolvedWeight => {
    const tensor = find(weight);
    if (!tensor) {
      const expected = `a tensor ${weight.tensors.join(" or ")}`;
      throw new ModelError(mismatch(name, expected, stored.similar(weight.tensors) ?? "none"));
    }
    const where = `${name}: ${tensor.name}`;
    const [n, k] = weight.shape;
    if (!packed) expectStored(weight, tensor, where);
    const dtype = dtypeOf(weight, tensor, packed ?? asked, ends);
    const bytes = packedBytes(weight.shape, dtype);
    if (packed) {
      expectTensor(tensor, [packedType(dtype)], k === undefined ? [n] : panelsOf(n, k, dtype), where);
      const whole = { ...weight, stored: weight.shape, rows: contiguous(0, n), added: 0 };
      return { weight: whole, tensor, dtype, bytes, packed: k !== undefined, kept: false, key: tensor.name };
    }
    const rows = weight.rows.map(({ first, count, step }) => `${first}+${count}*${step}`);
    const kept = k !== undefined && dtype !== "f32" && asked === "auto" && tensor.dtype in BLOCK_DTYPES;
    return { weight, tensor, dtype, bytes, packed: false, kept, key: `${tensor.name} ${rows} ${weight.shape}` };
  };
  return new Map([...program.weights.values()].map((weight) => [weight.name, resolve(weight)]));
}

/** The safetensors dtype of a packed weight of a format: formats whose sizes could be confused have different ones. */
export function packedType(dtype: MemoryDType): "F32" | "I8" | "U8" {
  return dtype === "f32" ? "F32" : dtype === "q8" ? "I8" : "U8";
}

/** What ggml's block types are called, those that are not computed with too. */
const GGML_QUANTIZED = /^(?:T|I)?Q\d|FP4$/;

/** Checks a tensor that is not stored packed. */
function expectStored(weight: Weight, tensor: StoredTensor, where: string): void {
  const { dtype, shape, rows, added } = tensor;
  expectTensor(tensor, Object.keys(GGML_QUANTIZED.test(dtype) ? DTYPE_OF : STORED_DTYPES), weight.stored, where);
  if (weight.shape.length === 2 && (added || weight.added)) {
    throw new ModelError(mismatch(where, "a vector, to which numbers are added", `shape [${shape}]`));
  }
  const [n, k = n] = shape as [number, number?];
  const together = sourceColumns(sourceOf(tensor));
  if (k % together) throw new ModelError(mismatch(where, `rows of whole blocks of ${together} for ${dtype}`, k));
  // A vector's blocks hold several of its rows.
  const whole = !rows && weight.rows.length === 1 && weight.shape[0] === n;
  if (together > 1 && shape.length === 1 && !whole) {
    throw new ModelError(mismatch(where, `a type of ${Object.keys(STORED_DTYPES).join(", ")}`, dtype));
  }
  if (rows && rows.reduce((sum, { count }) => sum + count, 0) !== n) {
    throw new ModelError(mismatch(where, "an order of its rows", rows));
  }
}

function expectTensor(tensor: StoredTensor, types: readonly string[], shape: readonly number[], where: string): void {
  if (tensor.shape.length !== shape.length || tensor.shape.some((size, i) => size !== shape[i])) {
    throw new ModelError(mismatch(where, `shape [${shape}]`, tensor.shape));
  }
  if (!types.includes(tensor.dtype))
    throw new ModelError(mismatch(where, `a type of ${types.join(", ")}`, tensor.dtype));
}

/**
 * What packing needs before the staged numbers: a program of two records, a result and a work area for each slice. Byte
 * offsets relative to the start of the staging area.
 */
export const STAGED = {
  results: 2 * Size.RecordBytes,
  work: 2 * Size.RecordBytes + 4 * Size.MaxSlices,
  numbers: align(2 * Size.RecordBytes + (4 + Size.WorkBytes) * Size.MaxSlices),
} as const;

/** Bytes of one row of a weight in the file; of a vector's blocks less than one. */
export function storedRowBytes({ weight, tensor }: ResolvedWeight): number {
  return (tensor.end - tensor.begin) / (weight.stored[0] as number);
}

/** Rows that are read at a time: of a vector whole blocks. */
export function batchRows(resolved: ResolvedWeight): number {
  const together = resolved.weight.shape.length === 1 ? sourceColumns(sourceOf(resolved.tensor)) : 1;
  return Math.max(1, Math.floor(STAGING_BYTES / storedRowBytes(resolved) / together)) * together;
}

/** Bytes of the staging area that reading a weight needs; packing may read slightly past the stored numbers. */
export function stagedBytes(resolved: ResolvedWeight): number {
  const { weight, tensor, packed } = resolved;
  if (packed) return 0;
  const [n, k = 0] = weight.shape;
  const rowBytes = storedRowBytes(resolved);
  const places = tensor.rows || weight.rows.length > 1 ? align(4 * Math.min(n, batchRows(resolved))) : 0;
  return Math.max(rowBytes, Math.min(STAGING_BYTES, rowBytes * n)) + STAGED.numbers + align(4 * k) + places + 64;
}

/** Tensors that belong to no weight and are known to be harmless: buffers saved by old versions of transformers. */
const KNOWN_BUFFERS = /(?:^|\.)(?:rotary_emb\.inv_freq|att(?:entio)?n\.(?:masked_)?bias)$/;

/** Names of stored tensors that the program does not use. */
export function unusedTensors(
  { otherTensors = [] }: Program,
  resolved: ReadonlyMap<string, ResolvedWeight>,
  tensors: ReadonlyMap<string, StoredTensor>,
) {
  const used = new Set([...resolved.values()].map(({ tensor }) => tensor.name));
  const other = (tensor: string) => otherTensors.some((start) => bareName(tensor).startsWith(start));
  return [...tensors.keys()].filter((tensor) => !(used.has(tensor) || KNOWN_BUFFERS.test(tensor) || other(tensor)));
}
