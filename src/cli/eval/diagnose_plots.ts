import type { TopLevelSpec } from "vega-lite";
import { FIRST } from "../../eval/hidden.ts";
import { SERIES, svg } from "./plot.ts";

/** A point of a curve: the mean of some heads, a band around it, and what it is compared with. */
export interface Point {
  readonly policy: string;
  readonly layer: number | "all";
  /** Tokens: a distance or a position. */
  readonly x: number;
  readonly mean: number;
  readonly low?: number;
  readonly high?: number;
  readonly reference?: number;
}

export interface Labels {
  readonly title: string;
  readonly command: string;
  readonly x: string;
  readonly y: string;
  /** What the dashed curve is. */
  readonly reference?: string;
  readonly percent?: boolean;
  /** Tokens: where a line is drawn. */
  readonly trainedLength: number;
}

const GREY = "#7f7f7f";
const HINT = ["means of heads, bands of ± 1 standard deviation", "means of heads (lines) and the largest head (bands)"];

/** Curves of every layer in a panel of its own, and of all layers before them in a large one. */
export function curvesSvg(points: readonly Point[], labels: Labels): Promise<string> {
  const policies = [...new Set(points.map(({ policy }) => policy))];
  const color = { field: "policy", title: "attention", scale: { domain: policies, range: SERIES } };
  const x = { field: "x", type: "quantitative", title: labels.x, scale: { nice: false } };
  const axis = labels.percent ? { format: ".0%" } : {};
  const y = (field: string) => ({ field, type: "quantitative", title: labels.y, axis });
  const layer = [
    { mark: { type: "area", opacity: 0.2 }, encoding: { x, y: y("low"), y2: { field: "high" }, color } },
    { mark: { type: "line", strokeWidth: 1.5 }, encoding: { x, y: y("mean"), color } },
    ...(labels.reference
      ? [{ mark: { type: "line", strokeDash: [4, 3], strokeWidth: 1 }, encoding: { x, y: y("reference"), color } }]
      : []),
    { mark: { type: "rule", strokeDash: [2, 3], color: GREY }, encoding: { x: { datum: labels.trainedLength } } },
  ];
  const layers = [...new Set(points.map((point) => point.layer))].filter((name) => name !== "all");
  const of = (within: (point: Point) => boolean) => ({ values: points.filter(within) });
  const subtitle = [
    `${HINT[labels.percent ? 1 : 0]}${labels.reference ? `; dashed: ${labels.reference}` : ""}; dotted: the trained length`,
    labels.command,
  ];
  return svg({
    title: { text: labels.title, subtitle },
    vconcat: [
      { data: of((point) => point.layer === "all"), width: 640, height: 260, title: "all layers", layer },
      {
        data: of((point) => point.layer !== "all"),
        facet: { field: "layer", type: "ordinal", title: "layer", sort: layers },
        columns: layers.length > 12 ? 8 : 3,
        spec: { width: layers.length > 12 ? 110 : 190, height: layers.length > 12 ? 80 : 120, layer },
      },
    ],
  } as unknown as TopLevelSpec);
}

/** A hidden state along its layer's two principal components. */
export interface Dot {
  readonly layer: number;
  readonly position: number;
  readonly first: number;
  readonly second: number;
}

/** Hidden states after each layer, coloured by position, the first tokens marked. */
export function hiddenSvg(dots: readonly Dot[], labels: Pick<Labels, "title" | "command">): Promise<string> {
  const axis = (field: string, title: string) => ({ field, type: "quantitative", title, scale: { zero: false } });
  const color = {
    field: "position",
    type: "quantitative",
    scale: { range: ["#0072b2", "#8a63d2", "#d55e00"] },
    title: "position (tokens)",
  };
  const encoding = { x: axis("first", "1st component"), y: axis("second", "2nd component"), color };
  const mark = { type: "point", filled: true, aria: false };
  const subtitle = [`first two principal components, each layer's fit for itself; diamonds: positions below ${FIRST}`];
  return svg({
    title: { text: labels.title, subtitle: [...subtitle, labels.command] },
    data: { values: dots },
    facet: { field: "layer", type: "ordinal", title: "after layer" },
    columns: 3,
    resolve: { scale: { x: "independent", y: "independent" } },
    spec: {
      width: 200,
      height: 180,
      layer: [
        { transform: [{ filter: `datum.position >= ${FIRST}` }], mark: { ...mark, size: 9, opacity: 0.7 }, encoding },
        {
          transform: [{ filter: `datum.position < ${FIRST}` }],
          mark: { ...mark, shape: "diamond", size: 50, stroke: GREY, strokeWidth: 0.75 },
          encoding,
        },
      ],
    },
  } as unknown as TopLevelSpec);
}
