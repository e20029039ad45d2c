import type { Positions } from "../models/positions.ts";
import type { Program } from "../models/program.ts";
import type { Policy } from "./policy.ts";

/**
 * The program with the frequencies that the policy of each layer needs. transformers goes over to longrope's long factors
 * when a text exceeds the original length, and then rotates all of it anew; here the factors are chosen before anything is
 * read: short ones unless a query may meet a key from further away than the original length.
 */
export function withFrequencies(program: Program, policies: readonly Policy[]): Program {
  const layers = program.layers.map((operations, layer) =>
    operations.map((operation) => {
      if (operation.op !== "attention") return operation;
      return { ...operation, positions: chosen(operation.positions, spanOf(policies[layer] as Policy)) };
    }),
  );
  return { ...program, layers };
}

function chosen(positions: Positions, span: number): Positions {
  if (positions.kind !== "rope" || !positions.long) return positions;
  const { long, ...short } = positions;
  if (span <= long.beyond) return { ...short, factors: "short" };
  return { ...short, inverseFrequencies: long.inverseFrequencies, factors: "long" };
}

/** How far apart, in tokens, a query and a key count as at most; a ceiling of the original length is within it. */
function spanOf({ attention, nGlobal, nLocal, limit, maxPositions, recallDistance }: Policy): number {
  switch (attention) {
    case "lambda-only":
      return Infinity;
    case "sinks":
      return nGlobal + nLocal;
    default:
      return Math.max(recallDistance, Math.min(limit === Infinity ? nLocal : limit, maxPositions));
  }
}
