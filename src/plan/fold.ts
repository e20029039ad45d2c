import { QUANTIZED } from "../base/dtype.ts";
import type { Bank } from "../machine/bank.ts";
import type { Machine } from "../machine/machine.ts";
import type { Operation, Program } from "../models/program.ts";
import type { PlacedWeight, ResolvedWeight } from "./weights.ts";

/**
 * A norm whose factors are folded into the quantised matrices that read its output. Some channels of a norm of a large
 * model are tens of times larger than the others; left there, they determine the scale of a whole block of activations,
 * and the small columns that compensate for them are lost to rounding. Names of weights.
 */
export interface Folding {
  readonly weight: string;
  readonly bias: string | undefined;
  readonly into: readonly string[];
  /** Whether only outlier channels are folded. */
  readonly outliersOnly: boolean;
}

/**
 * Channels beyond this multiple of the median are outliers. 4-bit matrices suffer more from columns of unequal size
 * than their 8-bit activations do from unequal channels; with 7 and 8 bits it is the reverse (docs/LOG.md).
 */
const OUTLIER = 3;

/** The norms that can be folded: those whose output is read only by quantised matrices that nothing else uses. */
export function foldings(program: Program, resolved: ReadonlyMap<string, ResolvedWeight>): Folding[] {
  const lists = [...program.layers, program.head];
  const uses = new Map<string, number>();
  for (const operation of [program.embed, ...lists].flat()) {
    const name = operation.op === "embed" ? operation.table : operation.op === "matmul" ? operation.weight : undefined;
    const key = name && resolved.get(name)?.key;
    if (key) uses.set(key, (uses.get(key) ?? 0) + 1);
  }
  return lists.flatMap((operations) =>
    operations.flatMap((operation, i): Folding[] => {
      if (operation.op !== "rmsNorm" && operation.op !== "layerNorm") return [];
      const into = readers(operation.y, operations.slice(i + 1));
      // An adapter's matrices are multiplied by them too, and decide nothing.
      const own = into?.filter((name) => !resolved.get(name)?.weight.dtype);
      const good = own?.every((name) => {
        const { dtype, key, packed, kept } = resolved.get(name) as ResolvedWeight;
        return !packed && !kept && QUANTIZED.some((format) => format === dtype) && uses.get(key) === 1;
      });
      const bias = operation.op === "layerNorm" ? operation.bias : undefined;
      const outliersOnly = into?.some((name) => resolved.get(name)?.dtype === "q4") ?? false;
      return into && own?.length && good ? [{ weight: operation.weight, bias, into, outliersOnly }] : [];
    }),
  );
}

/** The matrices that read a buffer before it is written again; undefined if something else reads it. */
function readers(buffer: string, operations: readonly Operation[]): string[] | undefined {
  const matrices: string[] = [];
  for (const operation of operations) {
    if (operation.op === "matmul" && operation.x === buffer && operation.residual !== buffer) {
      matrices.push(operation.weight);
    } else if (Object.entries(operation).some(([key, value]) => key !== "y" && key !== "op" && value === buffer)) {
      return undefined;
    }
    if ("y" in operation && operation.y === buffer) break;
  }
  return matrices;
}

/**
 * Divides norms that have been read by the sizes of their channels, max(|weight|, |bias|); returns what the columns of
 * each matrix are to be multiplied by, by the matrix's name. A channel of zeros stays as it is.
 */
export function fold(
  machine: Machine,
  weights: readonly PlacedWeight[],
  folds: readonly Folding[],
): Map<string, Float32Array> {
  const floats = (name: string): Float32Array => {
    const { bank, address, bytes } = weights.find(({ weight }) => weight.name === name) as PlacedWeight;
    return (machine.banks[bank] as Bank).floats(address, bytes / 4);
  };
  const columns = new Map<string, Float32Array>();
  for (const { weight, bias, into, outliersOnly } of folds) {
    const vectors = [floats(weight), ...(bias ? [floats(bias)] : [])];
    const sizes = (vectors[0] as Float32Array).map((_, channel) =>
      Math.max(...vectors.map((vector) => Math.abs(vector[channel] as number))),
    );
    const median = sizes.slice().sort()[sizes.length >> 1] as number;
    const factors = sizes.map((size) => {
      if (size === 0) return 1;
      if (!outliersOnly) return size;
      return median > 0 && size > OUTLIER * median ? size / median : 1;
    });
    for (const vector of vectors) {
      for (const [channel, factor] of factors.entries()) vector[channel] = (vector[channel] as number) / factor;
    }
    for (const name of into) columns.set(name, factors);
  }
  return columns;
}
