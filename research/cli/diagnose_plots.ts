import type { TopLevelSpec } from "vega-lite";
import type { Layers } from "../eval/findings.ts";
import { FIRST } from "../eval/hidden.ts";
import { commandLines, SERIES, svg } from "./plot.ts";

/** A point of a curve: the mean of some heads, a band around it, and what it is compared with. */
export interface Point {
  readonly policy: string;
  readonly layer: number | Layers;
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
  /** Shares, of which the largest head is shown. */
  readonly percent?: boolean;
  /** Whether each layer has a scale of its own; a common one begins at 0. */
  readonly own?: boolean;
  /** Tokens: where a line is drawn. */
  readonly trainedLength: number;
}

const GREY = "#7f7f7f";

/** Curves of every layer in a panel of its own, and of those that follow the policy before them in a large one. */
export function curvesSvg(points: readonly Point[], labels: Labels): Promise<string> {
  const policies = [...new Set(points.map(({ policy }) => policy))];
  const layers = [...new Set(points.map(({ layer }) => layer))].filter((layer) => typeof layer === "number");
  const together = points.find(({ layer }) => typeof layer !== "number")?.layer;
  const many = layers.length > 12;
  const panel = many ? { columns: 8, width: 110, height: 80 } : { columns: 3, width: 200, height: 120 };
  const among = (within: (point: Point) => boolean) => ({ values: points.filter(within) });
  const hints = [
    labels.percent ? "line: mean of heads, area: to the largest head" : "mean of heads ± 1 standard deviation",
    ...(labels.reference ? [`dashed: ${labels.reference}`] : []),
    "dotted: the trained length",
  ];
  return svg({
    title: { text: labels.title, subtitle: [hints.join("; "), ...commandLines(labels.command, 110)] },
    resolve: { scale: { x: "independent", y: "independent" } },
    vconcat: [
      {
        data: among(({ layer }) => layer === together),
        ...{ width: 640, height: 260, title: `${together} layers` },
        layer: marks(labels, policies, 10),
      },
      {
        data: among(({ layer }) => layer !== together),
        facet: { field: "layer", type: "ordinal", title: "layer", sort: layers },
        columns: panel.columns,
        ...(labels.own && { resolve: { scale: { x: "independent", y: "independent" } } }),
        spec: { ...panel, layer: marks({ ...labels, x: many ? "tokens" : labels.x }, policies, 4) },
      },
    ],
  } as unknown as TopLevelSpec);
}

function marks(labels: Labels, policies: readonly string[], ticks: number): unknown[] {
  const legend = { symbolOpacity: 1, symbolStrokeWidth: 2 };
  const color = { field: "policy", title: "attention", scale: { domain: policies, range: SERIES }, legend };
  const x = { field: "x", type: "quantitative", title: labels.x, scale: { nice: false }, axis: { tickCount: ticks } };
  const axis = { tickCount: ticks / 2 + 2, ...(labels.percent && { format: ".0%" }) };
  const scale = labels.own ? {} : { domainMin: 0 };
  const y = (field: string) => ({ field, type: "quantitative", title: labels.y, axis, scale });
  const curve = (field: string, mark: object) => ({
    mark: { type: "line", ...mark },
    encoding: { x, y: y(field), color },
  });
  return [
    {
      mark: { type: "area", opacity: 0.2, clip: true },
      encoding: { x, y: y("low"), y2: { field: "high" }, color },
    },
    curve("mean", { strokeWidth: 1.5 }),
    ...(labels.reference ? [curve("reference", { strokeDash: [4, 3], strokeWidth: 1 })] : []),
    { mark: { type: "rule", strokeDash: [2, 3], color: GREY }, encoding: { x: { datum: labels.trainedLength } } },
  ];
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
  const axis = (field: string, title: string) => ({
    field,
    type: "quantitative",
    title,
    scale: { zero: false },
    axis: { tickCount: 4 },
  });
  const color = {
    field: "position",
    type: "quantitative",
    scale: { range: ["#0072b2", "#8a63d2", "#d55e00"] },
    title: "position (tokens)",
  };
  const encoding = { x: axis("first", "1st component"), y: axis("second", "2nd component"), color };
  const mark = { type: "point", filled: true, aria: false };
  const hint = `first two principal components, each layer's fit for itself; diamonds: positions below ${FIRST}`;
  return svg({
    title: { text: labels.title, subtitle: [hint, ...commandLines(labels.command, 110)] },
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
