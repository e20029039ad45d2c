import type { TopLevelSpec } from "vega-lite";
import { describeRecall } from "../../src/cli/options.ts";
import type { Policy } from "../../src/plan/policy.ts";
import { type Summary, summarize, type Trial } from "../eval/passkey.ts";
import type { Cell } from "../eval/passkey_prompts.ts";
import { commandLines } from "./plot.ts";

/** The result of the prompts of one length and depth under one policy. */
export interface CellResult {
  readonly policy: string;
  /** Tokens. */
  readonly length: number;
  readonly depth: number;
  /** Tokens before the sentence with the key. */
  readonly position: number;
  /**
   * Whether that sentence is among the most recent tokens in the policy's window (the trained length if it has none).
   */
  readonly reachable: boolean;
  readonly trials: readonly Trial[];
}

const COLUMN = 7;
const percent = (share: number) => (Number.isNaN(share) ? "–" : `${Math.round(100 * share)} %`);
const row = (cells: readonly string[]) => `${cells.map((cell) => cell.padStart(COLUMN)).join(" ")}\n`;

/** The head of a policy's table: accuracy by depth, then over all depths, then NLL in nats per token. */
export function header(name: string, policy: Policy, cells: readonly Cell[]): string {
  const { nGlobal, nLocal, limit } = policy;
  const some = Object.entries({ nGlobal, nLocal, limit }).filter(([, value]) => value > 0 && value < Infinity);
  const bounds = some.length > 0 ? some.map(([key, value]) => `${key} ${value}`) : ["every token"];
  const middle = policy.recall > 0 ? [`recall ${describeRecall(policy)}`] : [];
  const depths = cells.filter(({ length }) => length === cells[0]?.length).map(({ depth }) => percent(depth));
  const title = `\n${name}: ${[...bounds, ...middle].join(", ")}; accuracy by depth, NLL in nats\n`;
  return `${title}${row(["tokens", ...depths, "all", "NLL", "other"])}`;
}

/** The line of one length. */
export function line(cells: readonly CellResult[]): string {
  const accuracies = cells.map(({ trials }) => percent(summarize(trials).accuracy));
  const all = summarize(cells.flatMap(({ trials }) => trials));
  const nll = [all.nll, all.otherNll].map((value) => value.toFixed(2));
  return row([`${cells[0]?.length}`, ...accuracies, percent(all.accuracy), ...nll]);
}

/** One row of the CSV per cell. */
export function rowsOf(cells: readonly CellResult[]): Record<string, string | number>[] {
  return cells.map(({ policy, length, depth, position, reachable, trials }) => {
    const { accuracy, nll, otherNll } = summarize(trials);
    const correct = trials.filter((trial) => trial.correct).length;
    const place = { policy, length, depth, position, reachable: Number(reachable) };
    return { ...place, trials: trials.length, correct, accuracy, nll, otherNll };
  });
}

export interface PolicySummary {
  readonly policy: string;
  readonly all: Summary;
  /** For keys within the window, and for those farther back. */
  readonly within: Summary;
  readonly beyond: Summary;
}

export function summariesOf(cells: readonly CellResult[]): PolicySummary[] {
  return [...new Set(cells.map(({ policy }) => policy))].map((policy) => {
    const mine = cells.filter((cell) => cell.policy === policy);
    const part = (wanted: (cell: CellResult) => boolean) =>
      summarize(mine.filter(wanted).flatMap(({ trials }) => trials));
    return {
      policy,
      all: part(() => true),
      within: part(({ reachable }) => reachable),
      beyond: part(({ reachable }) => !reachable),
    };
  });
}

export function verdict(summaries: readonly PolicySummary[]): string {
  const of = ({ policy, within, beyond }: PolicySummary) =>
    `${policy} ${percent(within.accuracy)} and ${percent(beyond.accuracy)}`;
  return `keys found within the window and beyond it: ${summaries.map(of).join(", ")}`;
}

/** Accuracy by length and depth, a map for every policy. */
export function plotOf(cells: readonly CellResult[], model: string, command: string): TopLevelSpec {
  const values = rowsOf(cells).map((row) => ({ ...row, label: `${Math.round(100 * Number(row.accuracy))}` }));
  const policies = [...new Set(cells.map(({ policy }) => policy))];
  const x = {
    field: "length",
    type: "ordinal",
    title: "length (tokens)",
    axis: { labelAngle: 0 },
  } as const;
  const y = { field: "depth", type: "ordinal", title: "depth of the key", axis: { format: ".0%" } } as const;
  // Words, because these colours must not change with the page's theme.
  const ink = { condition: { test: "datum.accuracy > 0.55", value: "white" }, value: "black" };
  return {
    title: { text: `Pass keys found by ${model}`, subtitle: commandLines(command, 80) },
    data: { values },
    columns: Math.min(2, policies.length),
    facet: { field: "policy", type: "nominal", sort: policies, title: null },
    resolve: { axis: { x: "independent", y: "independent" } },
    spec: {
      width: { step: 44 },
      height: { step: 28 },
      encoding: { x, y },
      layer: [
        {
          mark: { type: "rect" },
          encoding: {
            color: {
              field: "accuracy",
              type: "quantitative",
              title: "accuracy",
              scale: { domain: [0, 1], range: ["#dbe9f6", "#0b559f"] },
              legend: { format: ".0%" },
            },
          },
        },
        { mark: { type: "text", fontSize: 11 }, encoding: { text: { field: "label" }, color: ink } },
      ],
    },
  } as TopLevelSpec;
}
