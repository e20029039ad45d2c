import { svg as render } from "../research/cli/plot.ts";

/** A chart of lines: `values` hold numbers under x and y, and the line's name under `series`. */
export interface LineChart {
  readonly title: string;
  readonly x: { readonly field: string; readonly title: string };
  readonly y: { readonly field: string; readonly title: string };
  readonly series: string;
  readonly values: readonly Readonly<Record<string, unknown>>[];
}

/** As SVG with a caption of two lines; x and y are logarithmic, in powers of 2 and of 10. */
export function svg({ title, x, y, series, values }: LineChart, caption: string[]): Promise<string> {
  return render({
    title: { text: title, subtitle: caption },
    width: 560,
    height: 320,
    data: { values: values.filter((row) => typeof row[y.field] === "number") },
    mark: { type: "line", point: true },
    encoding: {
      x: {
        field: x.field,
        title: x.title,
        type: "quantitative",
        scale: { type: "log", base: 2 },
        axis: { values: [...new Set(values.map((row) => Number(row[x.field])))], grid: false },
      },
      y: { field: y.field, title: y.title, type: "quantitative", scale: { type: "log" } },
      color: { field: series, type: "nominal" },
    },
  });
}
