/** Whether a text's first tokens have hidden states apart from all others (paper §2, Fig. 1c and Appendix Fig. 7). */
import type { Observation } from "../../src/engine/observe.ts";

/** Positions that are all kept, because outliers are there; they are compared with the positions after them. */
export const INITIAL = 32;
/** The first tokens, whose centroid is compared. */
export const FIRST = 10;
/** The most positions that are kept of a text. */
const KEPT = 512;

/** Positions of a text of `tokens` whose hidden states are kept: the first ones, then evenly spaced to the end. */
export function keptPositions(tokens: number): number[] {
  const first = Math.min(INITIAL, tokens);
  const rest = Math.min(KEPT, tokens) - first;
  const others = Array.from({ length: rest }, (_, i) => first + Math.floor((i * (tokens - first)) / rest));
  return [...Array.from({ length: first }, (_, p) => p), ...others];
}

/** Collects hidden states of one text, step by step: after each of `layers` those at `positions`. */
export class HiddenStates {
  readonly #layers: readonly number[];
  /** The row of each position that is kept. */
  readonly #rows: ReadonlyMap<number, number>;
  readonly #dim: number;
  /** By layer, f32[positions, dim] */
  readonly values: readonly Float32Array[];

  constructor(layers: readonly number[], positions: readonly number[], dim: number) {
    this.#layers = layers;
    this.#rows = new Map(positions.map((p, row) => [p, row]));
    this.#dim = dim;
    this.values = layers.map(() => new Float32Array(positions.length * dim));
  }

  take(step: Observation): void {
    const dim = this.#dim;
    for (const [i, layer] of this.#layers.entries()) {
      const states = step.hidden(layer);
      for (let row = 0; row < step.rows; row++) {
        const kept = this.#rows.get(step.position + row);
        if (kept === undefined) continue;
        (this.values[i] as Float32Array).set(states.subarray(row * dim, (row + 1) * dim), kept * dim);
      }
    }
  }
}

/**
 * How far first tokens are from the others: distances from the centroid of those after INITIAL, in units of their
 * spread.
 */
export interface Remoteness {
  /** For each of the initial positions, the mean over texts. */
  readonly byPosition: readonly number[];
  /** For the centroid of positions 0 to 9. */
  readonly first: number;
  /** The same without position 0, which may be the same token in every text. */
  readonly withoutBos: number;
  /** The expected distance of a centroid of as many others by chance: √(1 / their number). */
  readonly chance: number;
}

/**
 * `parts`: per text f32[positions, dim]. `spread`, the root of the mean squared distance from their centroid, is that
 * of the positions from INITIAL on.
 */
export function remoteness(parts: readonly Float32Array[], positions: readonly number[], dim: number): Remoteness {
  const rowsOf = (within: (p: number) => boolean) =>
    parts.flatMap((part) =>
      positions.flatMap((p, row) => (within(p) ? [part.subarray(row * dim, (row + 1) * dim)] : [])),
    );
  const others = rowsOf((p) => p >= INITIAL);
  const centre = centroid(others, dim);
  const spread = Math.sqrt(others.reduce((sum, row) => sum + squared(row, centre), 0) / others.length);
  const distance = (rows: readonly Float32Array[]) => Math.sqrt(squared(centroid(rows, dim), centre)) / spread;
  return {
    byPosition: Array.from({ length: INITIAL }, (_, p) => {
      const rows = rowsOf((other) => other === p);
      return rows.reduce((sum, row) => sum + Math.sqrt(squared(row, centre)), 0) / rows.length / spread;
    }),
    first: distance(rowsOf((p) => p < FIRST)),
    withoutBos: distance(rowsOf((p) => p > 0 && p < FIRST)),
    chance: Math.sqrt(1 / ((FIRST - 1) * parts.length)),
  };
}

function centroid(rows: readonly Float32Array[], dim: number): Float64Array {
  const sum = new Float64Array(dim);
  for (const row of rows) for (let i = 0; i < dim; i++) sum[i] = (sum[i] as number) + (row[i] as number);
  return sum.map((x) => x / rows.length);
}

function squared(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += ((a[i] as number) - (b[i] as number)) ** 2;
  return sum;
}
