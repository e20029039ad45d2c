import type { Arena } from "../machine/arena.ts";
import { finalNorm } from "../models/headless.ts";
import { weightNames } from "../models/program.ts";
import { foldings } from "./fold.ts";
import { bytesOf } from "./link.ts";
import { lower } from "./lower.ts";
import type { Constant, Draft, Placement, Unit } from "./place.ts";
import type { PlacedWeight } from "./weights.ts";

/** A vector as the file has it, beside one that is folded into a matrix. */
export interface KeptVector {
  readonly weight: PlacedWeight;
  readonly address: number;
}

/** The final norm of all rows of a step: records outside of the program, which run where hidden states are asked for. */
export interface PlacedFinalNorm {
  readonly program: Constant;
  readonly kept: readonly KeptVector[];
}

/** Places the final norm in the bank that has the head; undefined in others. */
export function placeFinalNorm(
  draft: Draft,
  { at, weights }: Placement,
  bank: number,
  units: readonly Unit[],
  arena: Arena,
): PlacedFinalNorm | undefined {
  const { program, resolved, widths } = draft;
  if (!units.some(({ number }) => number === program.layers.length + 1)) return undefined;
  const operations = finalNorm(program);
  const folded = new Set(foldings(program, resolved).flatMap(({ weight, bias }) => [weight, bias]));
  const kept = new Map<string, KeptVector>();
  for (const name of operations.flatMap(weightNames)) {
    const key = resolved.get(name)?.key;
    const weight = weights.find((placed) => placed.key === key) as PlacedWeight;
    if (folded.has(name)) kept.set(name, { weight, address: arena.take(weight.bytes) });
  }
  const unfolded = {
    ...at,
    weight: (name: string) => ({ ...at.weight(name), ...(kept.has(name) && { address: kept.get(name)?.address }) }),
  } as typeof at;
  const records = operations.flatMap((operation) => {
    return lower(operation, undefined, { widths, at: unfolded, quantized: {} });
  });
  const bytes = bytesOf(records);
  return { program: { bank, address: arena.take(bytes.length), bytes }, kept: [...kept.values()] };
}
