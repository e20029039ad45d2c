/** What curves come to: numbers per layer and head at the trained length and at the text's end. */
import { type Curves, type Grid, type Spread, spreadOf } from "./diagnose.ts";

/** A number within the trained length, and at the end of the text. */
export interface Change<T> {
  readonly trained: T;
  readonly end: T;
}

/** Of one head: its largest logit, its mean entropy in nats and the first keys' mean share of its attention. */
export interface HeadFindings {
  readonly bound: Change<number>;
  readonly entropy: Change<number>;
  readonly sinks: Change<number>;
}

/** Of the heads of one layer, or of all layers. */
export interface LayerFindings {
  readonly layer: number | "all";
  readonly bound: Change<Spread>;
  readonly entropy: Change<Spread>;
  readonly sinks: Change<Spread & { readonly largest: number }>;
  readonly heads: readonly HeadFindings[];
}

/** Where a grid's numbers are taken: an index of its distances, and bands from one to before another. */
interface Place {
  readonly distance: number;
  readonly begin: number;
  readonly end: number;
}

/**
 * The bound up to the trained length and over all distances; means over the last half of the trained length, and over as
 * many positions at the text's end.
 */
export function findingsOf(curves: Curves, trainedLength: number): LayerFindings[] {
  const places = {
    trained: placeOf(curves.grid, Math.min(trainedLength, curves.grid.length), trainedLength),
    end: placeOf(curves.grid, curves.grid.length, trainedLength),
  };
  const layers = Array.from({ length: curves.layers }, (_, layer) =>
    Array.from({ length: curves.heads }, (_, head) => headOf(curves, layer, head, places)),
  );
  return [...layers.map((heads, layer) => layerOf(layer, heads)), { ...layerOf("all", layers.flat()), heads: [] }];
}

/** The positions that the numbers of a text of `length` stand for: the last half of the trained length, by whole bands. */
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
  const change = (of: (place: Place) => number) => ({ trained: of(places.trained), end: of(places.end) });
  const bound = curves.bound(layer, head);
  const mean = (values: Float32Array) => change(({ begin, end }) => spreadOf([...values.subarray(begin, end)]).mean);
  return {
    bound: change(({ distance }) => bound[distance] as number),
    entropy: mean(curves.entropy(layer, head)),
    sinks: mean(curves.sinks(layer, head)),
  };
}

function layerOf(layer: number | "all", heads: readonly HeadFindings[]): LayerFindings {
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
