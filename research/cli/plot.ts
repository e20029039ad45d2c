import type { TopLevelSpec } from "vega-lite";

/** Colours for light pages, and their replacements on dark ones. */
const INK = "#1f2328";
const SOFT = "#59636e";
const LINE = "#d1d9e0";
const PAGE = "#ffffff";
const DARK: Readonly<Record<string, string>> = {
  [INK]: "#f0f6fc",
  [SOFT]: "#9198a1",
  [LINE]: "#3d444d",
  [PAGE]: "#0d1117",
};
/** Distinguishable on both, also with colour blindness. see: Okabe and Ito, "Color Universal Design" (2008) */
export const SERIES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a63d2", "#7f7f7f"];

const AXIS = { labelColor: SOFT, titleColor: INK, tickColor: LINE, domainColor: LINE, gridColor: LINE };
const CONFIG: TopLevelSpec["config"] = {
  font: "system-ui, sans-serif",
  background: PAGE,
  axis: { ...AXIS, titleFontWeight: 500, labelFontSize: 11, titleFontSize: 12 },
  legend: { labelColor: INK, titleColor: SOFT, titleFontWeight: 500 },
  title: { color: INK, subtitleColor: SOFT, anchor: "start", fontSize: 14, subtitleFontSize: 11, offset: 12 },
  header: { labelColor: INK, titleColor: SOFT },
  range: { category: SERIES },
  view: { stroke: LINE },
  padding: 12,
};

/** A Vega-Lite chart as an SVG that is readable on light and dark pages. */
export async function svg(spec: TopLevelSpec): Promise<string> {
  // Imported at the end of an evaluation, so that it starts sooner.
  const [vega, { compile }] = await Promise.all([import("vega"), import("vega-lite")]);
  vega.resetSVGDefIds();
  const { spec: compiled } = compile({ ...spec, config: { ...CONFIG, ...spec.config } } as TopLevelSpec);
  const text = await new vega.View(vega.parse(compiled), { renderer: "none" }).toSVG();
  return text.replace(/>/, `>${style()}`);
}

function style(): string {
  const rules = Object.entries(DARK).flatMap(([light, dark]) =>
    ["fill", "stroke"].map((attribute) => `[${attribute}="${light}"]{${attribute}:${dark}}`),
  );
  return `<style>@media (prefers-color-scheme:dark){${rules.join("")}}</style>`;
}

/** A command as lines of at most so many characters, where words allow it: no wider than a chart. */
export function commandLines(command: string, width: number): string[] {
  const line = new RegExp(`.{1,${width}}(?: |$)|\\S+(?: |$)`, "g");
  return command.match(line)?.map((text) => text.trimEnd()) ?? [];
}
