import type { TopLevelSpec } from "vega-lite";
import type { Recalled } from "../eval/recall.ts";
import { commandLines } from "./plot.ts";

/** What was found in a document under one way of reading. */
export interface Found extends Recalled {
  readonly way: string;
  readonly document: string;
}

/** A way over several documents. */
export type Row = Readonly<Record<string, string | number>> & {
  readonly way: string;
  readonly facts: number;
  readonly text: number;
};

/** The mean of some numbers. */
export const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Of each way: shares of facts and their tokens, nats per token of passages and text, and the text's relative to Λ. */
export function rowsOf(found: readonly Found[]): Row[] {
  const of = (name: string) => found.filter(({ way }) => way === name);
  const text = (name: string) => mean(of(name).map(({ next }) => next));
  return [...new Set(found.map(({ way }) => way))].map((way) => {
    const facts = of(way).flatMap((one) => one.facts);
    const passages = of(way).flatMap((one) => one.passages);
    return {
      way,
      facts: mean(facts.map(({ exact }) => Number(exact))),
      "their tokens": mean(facts.map(({ right }) => right)),
      "their NLL": mean(facts.map(({ nll }) => nll)),
      "passages' NLL": mean(passages.map(({ nll }) => nll)),
      text: text(way),
      "text over Λ": text(way) / text("Λ") - 1,
    };
  });
}

/** The rows as tables show them: shares in percent. */
export function shown(rows: readonly Row[]): Record<string, string | number>[] {
  return rows.map(({ facts, "their tokens": tokens, "text over Λ": harm, ...rest }) => {
    const { way, text, ...nats } = rest as Row;
    return {
      ...{ way, "facts found": percent(facts), "their tokens": percent(tokens as number) },
      ...{ ...nats, "text's NLL": text, "text over Λ": percent(harm as number) },
    };
  });
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

/** One line: what each way finds, and what it costs. */
export function verdictOf(rows: readonly Row[]): string {
  const parts = rows.map((row) => `${row.way} ${percent(row.facts)}, text ${percent(row["text over Λ"] as number)}`);
  return `facts found, and what ordinary text loses to Λ: ${parts.join("; ")}`;
}

/** What is found against what it costs. */
export function chartOf(rows: readonly Row[], model: string, command: string): TopLevelSpec {
  const values = rows.map((row) => ({ ...row, harm: row["text over Λ"], passages: row["passages' NLL"] }));
  const panel = (field: string, title: string, format: string) => ({
    encoding: {
      x: { field: "harm", type: "quantitative", title: "NLL of ordinary text over Λ", axis: { format: ".1%" } },
      y: { field, type: "quantitative", title, axis: { format } },
    },
    layer: [
      { mark: { type: "point", filled: true, size: 60 } },
      { mark: { type: "text", align: "left", dx: 7 }, encoding: { text: { field: "way" } } },
    ],
  });
  return {
    title: { text: `Recall beyond the window: ${model}`, subtitle: commandLines(command, 80) },
    data: { values },
    hconcat: [panel("facts", "facts found", ".0%"), panel("passages", "NLL of passages (nats)", ".1f")],
  } as TopLevelSpec;
}
