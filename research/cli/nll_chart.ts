import type { TopLevelSpec } from "vega-lite";
import { movingAverage } from "../eval/statistics.ts";
import { meanAt } from "./nll_files.ts";
import { commandLines, SERIES } from "./plot.ts";
import type { Scored } from "./scoring.ts";
import { commandLine, type Subject } from "./subject.ts";

/** The most points of a line. */
const POINTS = 600;

/** The indices at which positions do not follow the one before, 0 and their number among them. */
function breaks(positions: Uint32Array): number[] {
  const inner = [...positions.keys()].filter((i) => i > 0 && positions[i] !== (positions[i - 1] as number) + 1);
  return [0, ...inner, positions.length];
}

/**
 * NLL against position under each variant, the mean of all documents, smoothed as in the paper's Fig. 3, or where positions
 * are spans with others between them, the mean of each span at its end; a line ends where NLL is NaN, and the caption
 * says so.
 */
export async function nllChart(
  title: string,
  scored: readonly Scored[],
  { trainedLength }: Subject,
  positions: Uint32Array,
): Promise<TopLevelSpec> {
  const every = Math.ceil(positions.length / POINTS);
  const edges = breaks(positions);
  const values: { position: number; attention: string; nll: number }[] = [];
  const missing: string[] = [];
  for (const { variant, files } of scored) {
    const means = await meanAt(files, 0, positions.length);
    const first = means.findIndex(Number.isNaN);
    if (first >= 0) missing.push(`; ${variant.name} is NaN from position ${positions[first]} on`);
    const add = (i: number, nll: number) => {
      if (!Number.isNaN(nll)) values.push({ position: positions[i] as number, attention: variant.name, nll });
    };
    if (edges.length > 2) {
      for (const [i, end] of edges.slice(1).entries()) {
        const span = means.subarray(edges[i], end);
        add(end - 1, span.reduce((sum, nll) => sum + nll, 0) / span.length);
      }
      continue;
    }
    for (const [i, nll] of movingAverage(means, 1 - 1 / Math.max(16, positions.length / 64)).entries()) {
      if (i % every === 0) add(i, nll);
    }
  }
  const names = {
    field: "attention",
    type: "nominal",
    sort: scored.map(({ variant }) => variant.name),
    legend: { orient: "bottom" },
  } as const;
  const documents = scored[0]?.files.length ?? 0;
  const smoothed = edges.length > 2 ? "means of spans, at their ends" : "exponential moving average";
  const caption = `mean of ${documents} document${documents === 1 ? "" : "s"}, ${smoothed}${missing.join("")}`;
  const gray = SERIES.at(-1) as string;
  return {
    title: { text: title, subtitle: [caption, ...commandLines(commandLine(), 100)] },
    width: 640,
    height: 320,
    layer: [
      {
        data: { values },
        mark: { type: "line", strokeWidth: 1.8, point: edges.length > 2 },
        encoding: {
          x: { field: "position", type: "quantitative", title: "position (tokens)" },
          y: { field: "nll", type: "quantitative", title: "NLL (nats per token)", scale: { zero: false } },
          color: names,
          strokeDash: names,
        },
      },
      {
        data: { values: [{ position: trainedLength, label: `trained: ${trainedLength}` }] },
        encoding: { x: { field: "position", type: "quantitative" } },
        layer: [
          { mark: { type: "rule", strokeDash: [4, 4], color: gray } },
          {
            mark: { type: "text", align: "left", dx: 4, baseline: "top", color: gray },
            encoding: { y: { value: 4 }, text: { field: "label" } },
          },
        ],
      },
    ],
  };
}
