import { Nll, Op, Rows } from "../../assembly/op.ts";
import type { Arena } from "../machine/arena.ts";
import type { Program } from "./program.ts";
import { type Addresses, type PlannedRecord, record } from "./record.ts";

/** What a model's steps are to note beside their results. Each costs memory and time; without it no record of it exists. */
export interface ObserveOptions {
  /** What src/score.ts needs: for every row that wants logits, how surprising the token that follows it is. */
  readonly nll?: boolean | undefined;
}

/** Addresses of what the observers of one unit write, in its bank. */
export interface Observed {
  /** f64[logitsRows, 2]: Op.Nll's results, and u32[logitsRows]: the targets, to be written before the step. */
  readonly nll?: { readonly out: number; readonly targets: number } | undefined;
}

/** Bytes of logits that a step of a model with `nll` has at most, if that is 16 rows or more. */
const LOGITS_BYTES = 2 ** 24;

/** Rows of a step that may want logits: 16, for whose NLL alone is asked as many as fit LOGITS_BYTES; more take memory. */
export function logitsRows(chunkSize: number, vocabSize: number, observe: ObserveOptions | undefined): number {
  const rows = observe?.nll ? Math.floor(LOGITS_BYTES / (4 * vocabSize)) : 0;
  return Math.min(chunkSize, Math.max(16, rows));
}

/** Makes room for the observers of a unit: 0 is the embedding, i layer i − 1, the last one the head. */
export function placeObserved(
  arena: Arena,
  unit: number,
  program: Program,
  { observe, logitsRows }: { readonly observe?: ObserveOptions | undefined; readonly logitsRows: number },
): Observed {
  if (unit <= program.layers.length || !observe?.nll) return {};
  return { nll: { out: arena.take(16 * logitsRows), targets: arena.take(4 * logitsRows) } };
}

/** The records of a unit with those of its observers among them. */
export function withObservers(
  records: readonly PlannedRecord[],
  { nll }: Observed,
  program: Program,
  at: Addresses,
): PlannedRecord[] {
  if (!nll) return [...records];
  const n = program.vocabSize;
  const fields = { [Nll.out]: nll.out, [Nll.x]: at.buffer("logits"), [Nll.targets]: nll.targets, [Nll.n]: n };
  return [...records, record(Op.Nll, Rows.Logits, fields, `nll[2] of logits[${n}]`, { flops: 30 * n })];
}
