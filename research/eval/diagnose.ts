/**
 * Why models fail on texts longer than those they were trained on (paper §2, Fig. 1), and whether they have attention
 * sinks: statistics that an engine loaded with `observe` records of its steps.
 */

import type { WorkRows } from "../../src/engine/batch.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { Observation, STATISTICS } from "../../src/engine/observe.ts";
import { headsOf } from "../../src/models/program.ts";
import type { PlannedLayer } from "../../src/plan/plan.ts";
import type { Policy } from "../../src/plan/policy.ts";

/** Where curves over a text of some length are sampled. */
export interface Grid {
  /** Tokens of the text. */
  readonly length: number;
  /** Distances from the last query at which the bound of its logits is recorded: 0 first, length − 1 last. */
  readonly distances: readonly number[];
  /** Bands of positions: band i is edges[i] ≤ p < edges[i + 1]. */
  readonly edges: readonly number[];
}

/** Approximate maximum of points of a curve. */
const POINTS = 128;

/** Distances grow by a quarter at first, then by a constant step; bands have equal width. */
export function gridOf(length: number): Grid {
  const step = Math.ceil(length / POINTS);
  const distances = [0];
  for (let d = 1; d < length - 1; d += Math.min(step, Math.ceil(d / 4))) distances.push(d);
  if (length > 1) distances.push(length - 1);
  const edges = Array.from({ length: Math.ceil(length / step) + 1 }, (_, i) => Math.min(i * step, length));
  return { length, distances, edges };
}

/** Whether the query at position p meets the key at distance d, positions relative to the text's first token. */
export function attends({ nGlobal, nLocal }: Policy, p: number, d: number): boolean {
  return d < nLocal || p - d < nGlobal;
}

/** The number of keys that the query at position p meets, and how many of them are among the text's first `sinks`. */
export function keysOf({ nGlobal, nLocal }: Policy, p: number, sinks: number): { keys: number; sinks: number } {
  const local = Math.min(p + 1, nLocal);
  const pinned = Math.min(nGlobal, p + 1 - local);
  const localSinks = Math.max(0, Math.min(sinks, p + 1) - (p + 1 - local));
  return { keys: local + pinned, sinks: localSinks + Math.min(sinks, pinned) };
}

/**
 * ln of the keys that a query meets, and the share that the first keys have of them, as means over the bands of a grid and
 * over layers of these policies.
 */
export function uniform(
  policies: readonly Policy[],
  grid: Grid,
  sinks: number,
): { entropy: number[]; sinks: number[] } {
  const layers = policies.map((policy) => uniformOf(policy, grid, sinks));
  // One by one, so that the mean of equal numbers is this number.
  const mean = (values: readonly number[]) => values.reduce((sum, value, i) => sum + (value - sum) / (i + 1), 0);
  const means = (key: "entropy" | "sinks") =>
    grid.edges.slice(1).map((_, band) => mean(layers.map((layer) => layer[key][band] as number)));
  return { entropy: means("entropy"), sinks: means("sinks") };
}

function uniformOf(policy: Policy, { edges }: Grid, sinks: number) {
  const found: { entropy: number[]; sinks: number[] } = { entropy: [], sinks: [] };
  for (let band = 0; band + 1 < edges.length; band++) {
    const [begin, end] = [edges[band] as number, edges[band + 1] as number];
    let entropy = 0;
    let share = 0;
    for (let p = begin; p < end; p++) {
      const met = keysOf(policy, p, sinks);
      entropy += Math.log(met.keys);
      share += met.sinks / met.keys;
    }
    found.entropy.push(entropy / (end - begin));
    found.sinks.push(share / (end - begin));
  }
  return found;
}

/** Curves of every head of every layer, in one array so that those of several texts can be averaged. */
export class Curves {
  readonly layers: number;
  readonly heads: number;
  readonly grid: Grid;
  /**
   * f32[layers, heads, distances + 2 · bands]: the largest logit of the last query up to each distance, then the mean
   * entropy in nats and the mean share of the first keys of the queries of each band.
   */
  readonly values: Float32Array;

  constructor(layers: number, heads: number, grid: Grid, values?: Float32Array) {
    this.layers = layers;
    this.heads = heads;
    this.grid = grid;
    this.values = values ?? new Float32Array(layers * heads * (grid.distances.length + 2 * (grid.edges.length - 1)));
  }

  bound(layer: number, head: number): Float32Array {
    return this.#part(layer, head, 0, this.grid.distances.length);
  }

  entropy(layer: number, head: number): Float32Array {
    return this.#part(layer, head, this.grid.distances.length, this.grid.edges.length - 1);
  }

  sinks(layer: number, head: number): Float32Array {
    const bands = this.grid.edges.length - 1;
    return this.#part(layer, head, this.grid.distances.length + bands, bands);
  }

  /** Values that are NaN or infinite. */
  get notFinite(): number {
    return this.values.reduce((count, value) => count + (Number.isFinite(value) ? 0 : 1), 0);
  }

  #part(layer: number, head: number, offset: number, length: number): Float32Array {
    const width = this.values.length / (this.layers * this.heads);
    const begin = (layer * this.heads + head) * width + offset;
    return this.values.subarray(begin, begin + length);
  }
}

/** The mean of the curves of several texts on one grid. NaN propagates. */
export function meanCurves(all: readonly Curves[]): Curves {
  const [{ layers, heads, grid, values }] = all as readonly [Curves, ...Curves[]];
  const sums = new Float64Array(values.length);
  for (const curves of all) for (const [i, value] of curves.values.entries()) sums[i] = (sums[i] as number) + value;
  return new Curves(
    layers,
    heads,
    grid,
    Float32Array.from(sums, (sum) => sum / all.length),
  );
}

/**
 * Reads a text of the grid's length with an engine whose `observe` has attention over at least that span. `onStep`
 * borrows what each step recorded. No logits are computed; values that are not finite show in the curves.
 */
export async function readCurves(
  engine: Engine,
  ids: readonly number[],
  grid: Grid,
  onStep?: (step: Observation) => void,
  signal?: AbortSignal,
): Promise<Curves> {
  const { program, plan } = engine;
  const curves = new Curves(program.layers.length, headsOf(program, 0), grid);
  const after = ({ position, count: rows }: WorkRows) => {
    const step = new Observation(engine, position, rows);
    for (let layer = 0; layer < curves.layers; layer++) {
      addRows(curves, layer, step);
      if (position + rows === grid.length)
        setBounds(curves, layer, step.logits(layer), (plan.layers[layer] as PlannedLayer).policy);
    }
    onStep?.(step);
  };
  const session = engine.open();
  try {
    await engine.read(session, ids, { wants: () => false, after, alone: true }, signal);
  } finally {
    engine.dispose(session);
  }
  return curves;
}

/** Adds a step's entropies and shares to the means of their bands. */
function addRows(curves: Curves, layer: number, step: Observation): void {
  const { edges } = curves.grid;
  const noted = step.attention(layer);
  const width = edges[1] as number;
  for (let head = 0; head < curves.heads; head++) {
    const entropy = curves.entropy(layer, head);
    const sinks = curves.sinks(layer, head);
    for (let row = 0; row < step.rows; row++) {
      const band = Math.floor((step.position + row) / width);
      const size = (edges[band + 1] as number) - (edges[band] as number);
      const at = 3 * (row * curves.heads + head);
      entropy[band] = (entropy[band] as number) + (noted[at + STATISTICS.entropy] as number) / size;
      sinks[band] = (sinks[band] as number) + (noted[at + STATISTICS.sinkShare] as number) / size;
    }
  }
}

/** Running maxima of the last query's logits f32[heads, span], which are by distance, over the keys that it meets. */
function setBounds(curves: Curves, layer: number, logits: Float32Array, policy: Policy): void {
  const { length, distances } = curves.grid;
  const span = logits.length / curves.heads;
  for (let head = 0; head < curves.heads; head++) {
    const bound = curves.bound(layer, head);
    let largest = -Infinity;
    let d = 0;
    for (const [i, distance] of distances.entries()) {
      for (; d <= distance; d++) {
        if (attends(policy, length - 1, d)) largest = Math.max(largest, logits[head * span + d] as number);
      }
      bound[i] = largest;
    }
  }
}

/** The mean, and the sample standard deviation (n − 1). */
export interface Spread {
  readonly mean: number;
  readonly std: number;
}

export function spreadOf(values: readonly number[]): Spread {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, std: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0 };
}
