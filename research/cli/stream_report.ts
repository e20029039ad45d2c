import type { TopLevelSpec } from "vega-lite";
import { mean, type Tally, total } from "../eval/stream.ts";
import { SERIES, svg } from "./plot.ts";

/** What a stream reports about an interval. */
export interface Interval extends Tally {
  /** Tokens of the stream up to its end. */
  readonly position: number;
  /** Seconds that it took, everything included. */
  readonly seconds: number;
  /** Of the process, at its end. */
  readonly residentBytes: number;
  /** Of weights, session and what a step needs, at its end. */
  readonly wasmBytes: number;
}

const COLUMNS = [
  ["position", 13],
  ["NLL (nats)", 12],
  ["not finite", 12],
  ["tokens/s", 11],
  ["resident MiB", 14],
  ["Wasm MiB", 10],
] as const;

/** The head of the table, and the line of an interval in it. */
export const HEADER = COLUMNS.map(([title, width]) => title.padStart(width)).join("");

export function line(interval: Interval): string {
  const { position, nll, notFinite, tokensPerSecond, residentBytes, wasmBytes } = row(interval);
  const cells = [integer(position), nll.toFixed(4), integer(notFinite), integer(tokensPerSecond)];
  const memory = [residentBytes, wasmBytes].map((bytes) => mebibytes(bytes).toFixed(1));
  return [...cells, ...memory].map((cell, i) => cell.padStart(COLUMNS[i]?.[1] ?? 0)).join("");
}

/** An interval as it is written. nll: the mean, in nats per token. */
export function row(interval: Interval) {
  const { position, tokens, notFinite, seconds, residentBytes, wasmBytes } = interval;
  const tokensPerSecond = (tokens + notFinite) / seconds;
  return { position, tokens, nll: mean(interval), notFinite, seconds, tokensPerSecond, residentBytes, wasmBytes };
}

/**
 * One line: NLL of the last tenth of the stream against the second (the first includes the start), and of the last
 * whole round against the first; speed of its last tenth and of its first; mean resident memory of its last tenth and
 * of its second.
 */
export function verdict(intervals: readonly Interval[], rounds: readonly Tally[]): string {
  const tenth = Math.max(1, Math.floor(intervals.length / 10));
  const last = intervals.slice(-tenth);
  const second = intervals.length > tenth ? intervals.slice(tenth, 2 * tenth) : last;
  const [a, b] = [second, last].map((part) => mean(total(part))) as [number, number];
  const [late, early] = [last, intervals.slice(0, tenth)].map(speed) as [number, number];
  const resident = (part: readonly Interval[]) =>
    mebibytes(part.reduce((sum, { residentBytes }) => sum + residentBytes, 0) / part.length).toFixed(1);
  const bad = total(intervals).notFinite;
  const again =
    rounds.length > 1
      ? [
          `the same documents: ${change(mean(rounds[0] as Tally), mean(rounds.at(-1) as Tally))} in round ${rounds.length}`,
        ]
      : [];
  return [
    `NLL ${b.toFixed(4)} nats per token in the last tenth, ${a.toFixed(4)} in the second (${change(a, b)})`,
    ...again,
    ...(bad > 0 ? [`${integer(bad)} tokens without a finite NLL`] : []),
    `${integer(late)} tokens/s at the end, ${integer(early)} at the start`,
    `${resident(last)} MiB resident in the last tenth, ${resident(second)} in the second`,
  ].join("; ");
}

function speed(intervals: readonly Interval[]): number {
  const { tokens, notFinite } = total(intervals);
  return (tokens + notFinite) / intervals.reduce((sum, { seconds }) => sum + seconds, 0);
}

function change(from: number, to: number): string {
  const percent = 100 * (to / from - 1);
  return `${percent < 0 ? "−" : "+"}${Math.abs(percent).toFixed(2)} %`;
}

const integer = (value: number) => Math.round(value).toLocaleString("en-US");
const mebibytes = (bytes: number) => bytes / 2 ** 20;

/** NLL, speed and memory against position, one above the other. */
export function plotOf(intervals: readonly Interval[], subject: string, command: string): Promise<string> {
  const values = intervals.map(row).map(({ residentBytes, wasmBytes, ...rest }) => {
    return { ...rest, resident: mebibytes(residentBytes), Wasm: mebibytes(wasmBytes) };
  });
  const panel = (field: string, title: string, zero: boolean) => ({
    ...{ width: 560, height: 110, mark: { type: "line", strokeWidth: 1.5, color: SERIES[0] } },
    encoding: {
      x: { field: "position", type: "quantitative", title: "position (tokens)", axis: { format: "~s" } },
      y: { field, type: "quantitative", title, scale: { zero } },
    },
  });
  const memory = panel("MiB", "memory (MiB)", true);
  const domain = ["resident", "Wasm"];
  const color = { field: "memory", type: "nominal", scale: { domain, range: SERIES.slice(0, 2) } };
  const spec = {
    title: { text: `One stream: ${subject}`, subtitle: [command] },
    data: { values },
    resolve: { legend: { color: "independent" } },
    vconcat: [
      panel("nll", "NLL (nats per token)", false),
      panel("tokensPerSecond", "tokens per second", true),
      {
        ...memory,
        transform: [{ fold: domain, as: ["memory", "MiB"] }],
        encoding: { ...memory.encoding, color },
      },
    ],
  };
  return svg(spec as TopLevelSpec);
}
