import type { TopLevelSpec } from "vega-lite";
import type { PolicyName } from "../../src/plan/policy.ts";
import type { Retruncation } from "../eval/continuation.ts";
import { cheapestAsGood, type Score } from "../eval/continuation_scores.ts";
import { SERIES, svg } from "./plot.ts";
import { csv } from "./results.ts";

/** The scores of one system at one length. */
export interface Row extends Score {
  readonly system: string;
  readonly attention: PolicyName;
  /** Infinity: no bound. */
  readonly nLocal: number;
  readonly retruncation: Retruncation | undefined;
  /** Tokens of the context. */
  readonly length: number;
}

const COLUMNS = ["length", "BLEU", "ROUGE-L", "NLL, nats (95 %)", "MFLOP/token", "ms/token"];
const WIDTHS = [8, 7, 9, 22, 13, 10];
const pad = (cells: readonly string[]) => cells.map((cell, i) => cell.padStart(WIDTHS[i] as number)).join("");
export const HEADER = `${"system".padEnd(24)}${pad(COLUMNS)}`;

/** A row of the table. */
export function line({ system, length, bleu, rougeL, nll, flops, seconds }: Row): string {
  const interval = `${nll.value.toFixed(3)} (${nll.low.toFixed(2)}–${nll.high.toFixed(2)})`;
  const cost = [(flops / 1e6).toPrecision(4), (1000 * seconds).toPrecision(3)];
  return `${system.padEnd(24)}${pad([`${length}`, bleu.toFixed(2), rougeL.value.toFixed(1), interval, ...cost])}`;
}

export function rowCsv(rows: readonly Row[]): string {
  return csv(
    rows.map(({ system, attention, nLocal, retruncation, length, documents, bleu, rougeL, nll, flops, seconds }) => ({
      ...{ system, attention, n_local: nLocal, window: retruncation?.window, stride: retruncation?.stride },
      ...{ length, documents, bleu, rouge_l: rougeL.value, rouge_l_low: rougeL.low, rouge_l_high: rougeL.high },
      ...{ nll: nll.value, nll_low: nll.low, nll_high: nll.high },
      ...{ flops_per_token: flops, seconds_per_token: seconds },
    })),
  );
}

/** A point of the cost curve. */
interface Point extends Row {
  readonly series: string;
  readonly size: number;
}

/** Λ with each window and re-truncation with each window, at the length that both have; none without re-truncation. */
export function compareCost(rows: readonly Row[]): Point[] {
  const length = rows.find(({ retruncation }) => retruncation)?.length;
  return rows
    .filter((row) => row.length === length && (row.retruncation || row.attention === "lambda"))
    .map((row) => ({
      ...row,
      series: row.retruncation ? `re-truncation, stride ${row.retruncation.stride}` : "Λ-attention",
      size: row.retruncation?.window ?? row.nLocal,
    }));
}

/** One line: whether quality holds beyond the shortest context, and what Λ saves. */
export function verdictOf(rows: readonly Row[], count: number): string {
  const policies = rows.filter(({ system, attention }) => system === attention);
  const ends = [...new Set(policies.map(({ system }) => system))].map((system) => {
    const mine = policies.filter((row) => row.system === system);
    const [first, last] = [mine[0] as Row, mine.at(-1) as Row];
    return `${system} ${show(first)} after ${first.length} tokens, ${show(last)} after ${last.length}`;
  });
  return `verdict: the next ${count} tokens: ${ends.join("; ")}${saving(compareCost(rows))}`;
}

const show = ({ nll, bleu }: Row) => `NLL ${nll.value.toFixed(3)} and BLEU ${bleu.toFixed(2)}`;

function saving(points: readonly Point[]): string {
  const [best] = points.filter(({ retruncation }) => !retruncation).sort((a, b) => a.nll.value - b.nll.value);
  if (!best) return "";
  const mine = `Λ with nLocal ${best.nLocal} takes ${mega(best)} per token`;
  const other = cheapestAsGood(
    points.filter(({ retruncation }) => retruncation),
    best.nll.value,
  );
  if (!other) return `; ${mine}, and no measured re-truncation has as low an NLL`;
  const share = ((100 * best.flops) / other.flops).toPrecision(2);
  return `; ${mine}, ${share} % of the cheapest re-truncation with as low an NLL (${other.system}: ${mega(other)})`;
}

const mega = ({ flops }: Row) => `${(flops / 1e6).toPrecision(3)} MFLOP`;

const QUALITIES = [
  ["bleu", "BLEU"],
  ["rougeL", "ROUGE-L (F1 × 100)"],
  ["nll", "NLL of the truth (nats per token)"],
] as const;

interface Titled {
  readonly name: string;
  readonly trainedLength: number;
}

const modelOf = ({ name }: Titled) => name.split("/").filter(Boolean).at(-1) ?? name;

/** Quality of the policies against length (Table 3). */
export function lengthSvg(rows: readonly Row[], subject: Titled, command: string): Promise<string> {
  const values = flat(rows.filter(({ system, attention }) => system === attention));
  const color = colour("system", "attention", values);
  const x = { field: "length", type: "quantitative", scale: { type: "log", base: 2 }, title: "context (tokens)" };
  const charts = QUALITIES.map(([field, title]) => ({
    width: 260,
    height: 220,
    layer: [
      {
        mark: { type: "line", point: true },
        encoding: { x, y: { field, type: "quantitative", title, scale: { zero: field !== "nll" } }, color },
      },
      {
        data: { values: [{ length: subject.trainedLength }] },
        mark: { type: "rule", strokeDash: [4, 4], color: "#7f7f7f" },
        encoding: { x },
      },
    ],
  }));
  const title = `How ${modelOf(subject)} continues texts (dashed: the trained length)`;
  return svg({ data: { values }, title: { text: title, subtitle: command }, hconcat: charts } as TopLevelSpec);
}

/** Quality against cost per token (Fig 6). */
export function computeSvg(points: readonly Point[], subject: Titled, command: string): Promise<string> {
  const values = flat(points).map((point) => ({ ...point, mflop: (point.flops as number) / 1e6 }));
  const color = colour("series", "labels: n-local, window", values);
  const x = { field: "mflop", type: "quantitative", scale: { type: "log" }, title: "MFLOP per generated token" };
  const charts = QUALITIES.map(([field, title]) => {
    const y = { field, type: "quantitative", title, scale: { zero: field !== "nll" } };
    return {
      width: 260,
      height: 220,
      layer: [
        { mark: { type: "line", point: true }, encoding: { x, y, color, order: { field: "size" } } },
        { mark: { type: "text", dy: -9, fontSize: 10 }, encoding: { x, y, color, text: { field: "size" } } },
      ],
    };
  });
  const title = `Quality against cost after ${points[0]?.length} tokens, ${modelOf(subject)}`;
  return svg({ data: { values }, title: { text: title, subtitle: command }, hconcat: charts } as TopLevelSpec);
}

/** Colours of series in their order; the names are shown in full. */
function colour(field: string, title: string, values: readonly Record<string, unknown>[]) {
  const domain = [...new Set(values.map((value) => value[field]))];
  return { field, title, type: "nominal", scale: { domain, range: SERIES }, legend: { labelLimit: 0, titleLimit: 0 } };
}

/** Rows in the form that plots take: intervals by their values. */
function flat(rows: readonly Row[]): Record<string, unknown>[] {
  return rows.map((row) => ({ ...row, rougeL: row.rougeL.value, nll: row.nll.value }));
}
