/** Summaries of curves: values per layer and head at the trained length and at the text's end. */
import type { Policy } from "../../src/plan/policy.ts";
import { type Curves, type Grid, type Spread, spreadOf, uniform } from "./diagnose.ts";

/** A value within the trained length, and at the end of the text. */
export interface Change<T> {
  readonly trained: T;
  readonly end: T;
}

/** For one head: its largest logit, its mean entropy in nats and the first keys' mean share of its attention. */
export interface HeadFindings {
  readonly bound: Change<number>;
  readonly entropy: Change<number>;
  readonly sinks: Change<number>;
}

/** Which layers a summary is of: all, or those that have no window of their own. */
export type Layers = "all" | "global";

/** For the heads of one layer, or of several. */
export interface LayerFindings {
  readonly layer: number | Layers;
  readonly bound: Change<Spread>;
  readonly entropy: Change<Spread>;
  readonly sinks: Change<Spread & { readonly largest: number }>;
  readonly heads: readonly HeadFindings[];
}

/** Where a grid's values are taken: an index of its distances, and a range of bands. */
interface Place {
  readonly distance: number;
  readonly begin: number;
  readonly end: number;
}

/** The layers that follow a model's policy: all but those that keep the window they were trained with. */
export function followersOf({ attention, nLocal }: Policy, layerPolicies: readonly Policy[]): number[] {
  return layerPolicies.flatMap((own, layer) => (own.attention === attention && own.nLocal === nLocal ? [layer] : []));
}

/** What a summary of these layers of so many is of. */
export function layersName(followers: readonly number[], layers: number): Layers {
  return followers.length < layers ? "global" : "all";
}

/**
 * The bound up to the trained length and over all distances; means over the last half of the trained length, and over
 * as many positions at the text's end. Of each layer, then of `followers` together.
 */
export function findingsOf(curves: Curves, trainedLength: number, followers: readonly number[]): LayerFindings[] {
  const places = placesOf(curves.grid, trainedLength);
  const layers = Array.from({ length: curves.layers }, (_, layer) =>
    Array.from({ length: curves.heads }, (_, head) => headOf(curves, layer, head, places)),
  );
  const together = followers.flatMap((layer) => layers[layer] as HeadFindings[]);
  const summary = layerOf(layersName(followers, curves.layers), together);
  return [...layers.map((heads, layer) => layerOf(layer, heads)), { ...summary, heads: [] }];
}

/** What heads that attend all keys alike would have there: means over layers of these policies. */
export function alikeOf(
  policies: readonly Policy[],
  grid: Grid,
  sinks: number,
  trainedLength: number,
): Pick<HeadFindings, "entropy" | "sinks"> {
  const places = placesOf(grid, trainedLength);
  const alike = uniform(policies, grid, sinks);
  return { entropy: meansOf(alike.entropy, places), sinks: meansOf(alike.sinks, places) };
}

function placesOf(grid: Grid, trainedLength: number): Change<Place> {
  return {
    trained: placeOf(grid, Math.min(trainedLength, grid.length), trainedLength),
    end: placeOf(grid, grid.length, trainedLength),
  };
}

function meansOf(values: ArrayLike<number>, { trained, end }: Change<Place>): Change<number> {
  const mean = (place: Place) => spreadOf(Array.from(values).slice(place.begin, place.end)).mean;
  return { trained: mean(trained), end: mean(end) };
}

/** The positions that the values of a text of `length` cover: the last half of the trained length, in whole bands. */
function spanOf({ edges }: Grid, length: number, trainedLength: number): { begin: number; end: number } {
  const end = Math.max(
    1,
    edges.findLastIndex((edge) => edge <= length),
  );
  const begin = edges.findIndex((edge) => edge >= length - trainedLength / 2);
  return { begin: Math.min(begin, end - 1), end };
}

function placeOf(grid: Grid, length: number, trainedLength: number): Place {
  return { distance: grid.distances.findLastIndex((d) => d < length), ...spanOf(grid, length, trainedLength) };
}

function headOf(curves: Curves, layer: number, head: number, places: Change<Place>): HeadFindings {
  const bound = curves.bound(layer, head);
  return {
    bound: { trained: bound[places.trained.distance] as number, end: bound[places.end.distance] as number },
    entropy: meansOf(curves.entropy(layer, head), places),
    sinks: meansOf(curves.sinks(layer, head), places),
  };
}

function layerOf(layer: LayerFindings["layer"], heads: readonly HeadFindings[]): LayerFindings {
  const spread = (of: (head: HeadFindings) => Change<number>) => ({
    trained: spreadOf(heads.map((head) => of(head).trained)),
    end: spreadOf(heads.map((head) => of(head).end)),
  });
  const { trained, end } = spread((head) => head.sinks);
  const largest = (when: keyof Change<number>) => Math.max(...heads.map(({ sinks }) => sinks[when]));
  return {
    layer,
    bound: spread((head) => head.bound),
    entropy: spread((head) => head.entropy),
    sinks: { trained: { ...trained, largest: largest("trained") }, end: { ...end, largest: largest("end") } },
    heads,
  };
}
