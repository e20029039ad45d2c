import type { TopLevelSpec } from "vega-lite";
import { movingAverage } from "../eval/statistics.ts";
import { meanAt } from "./nll_files.ts";
import { SERIES } from "./plot.ts";
import type { Scored } from "./scoring.ts";
import { commandLine, type Subject } from "./subject.ts";

/** The most points of a line. */
const POINTS = 600;

/**
 * NLL against position under each variant, the mean of all documents, smoothed as in the paper's Fig. 3; a line ends
 * where NLL is NaN, and the caption says so.
 */
export async function nllChart(
  title: string,
  scored: readonly Scored[],
  { trainedLength }: Subject,
  positions: Uint32Array,
): Promise<TopLevelSpec> {
  const every = Math.ceil(positions.length / POINTS);
  const values: { position: number; attention: string; nll: number }[] = [];
  const missing: string[] = [];
  for (const { variant, files } of scored) {
    const means = await meanAt(files, 0, positions.length);
    const first = means.findIndex(Number.isNaN);
    if (first >= 0) missing.push(`; ${variant.name} is NaN from position ${positions[first]} on`);
    for (const [i, nll] of movingAverage(means, 1 - 1 / Math.max(16, positions.length / 64)).entries()) {
      const position = positions[i] as number;
      if (i % every === 0 && !Number.isNaN(nll)) values.push({ position, attention: variant.name, nll });
    }
  }
  const names = {
    field: "attention",
    type: "nominal",
    sort: scored.map(({ variant }) => variant.name),
    legend: { orient: "bottom" },
  } as const;
  const documents = scored[0]?.files.length ?? 0;
  const caption = `mean of ${documents} document${documents === 1 ? "" : "s"}, exponential moving average${missing.join("")}`;
  const gray = SERIES.at(-1) as string;
  return {
    title: { text: title, subtitle: [caption, commandLine()] },
    width: 640,
    height: 320,
    layer: [
      {
        data: { values },
        mark: { type: "line", strokeWidth: 1.8 },
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
