/** How a step is written into a bank: assembly/layout.ts says what is where. */
import { Row, Size, Step } from "../../assembly/layout.ts";
import type { Span } from "../../assembly/op.ts";

/** RowEntry.nGlobal of a row that attends to all the first tokens that its operation pins. */
export const ALL_PINNED = 2 ** 32 - 1;

/** An entry of the row table. */
export interface RowEntry {
  readonly token: number;
  /** Address of the session's slot. */
  readonly slot: number;
  /** Index of the first row of the same session in this step, and their number. */
  readonly runStart: number;
  readonly runRows: number;
  readonly position: bigint;
  readonly origin: bigint;
  readonly skipsRecall: boolean;
  /** Of the session's first tokens, those that it attends to wherever it is: at most so many. */
  readonly nGlobal: number;
  readonly begin: bigint;
}

/** Says which rows a span of the step at `step` has. */
export function writeSpan(view: DataView, step: number, span: Span, first: number, count: number): void {
  view.setUint32(step + 4 * (Step.spans + 2 * span), first, true);
  view.setUint32(step + 4 * (Step.spans + 2 * span + 1), count, true);
}

/** Writes an entry of the row table of the step at `step`. */
export function writeRow(view: DataView, step: number, index: number, row: RowEntry): void {
  const at = step + Size.StepHeaderBytes + index * Size.RowBytes;
  view.setUint32(at + Row.token, row.token, true);
  view.setUint32(at + Row.slot, row.slot, true);
  view.setUint32(at + Row.runStart, row.runStart, true);
  view.setUint32(at + Row.runRows, row.runRows, true);
  view.setBigUint64(at + Row.position, row.position, true);
  view.setBigUint64(at + Row.origin, row.origin, true);
  view.setUint32(at + Row.skipsRecall, row.skipsRecall ? 1 : 0, true);
  view.setUint32(at + Row.nGlobal, row.nGlobal, true);
  view.setBigUint64(at + Row.begin, row.begin, true);
}
