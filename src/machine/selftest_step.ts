/** The step that the self-test runs its records on. */
import { Size, Step } from "../../assembly/layout.ts";
import { Span } from "../../assembly/op.ts";
import type { Arena } from "./arena.ts";
import { ALL_PINNED, writeRow, writeSpan } from "./step.ts";

/** Four rows of one session, then one of another that has just begun. */
export const RUN_ROWS = [4, 1];
/** All of them. */
export const ROWS = 5;

/** A memory, where in it is room, and where the slots of two sessions are. */
interface Room {
  readonly view: DataView;
  readonly arena: Arena;
  readonly slot: number;
  readonly slotBytes: number;
}

/** Writes the step into the memory; returns its address. */
export function writeStep({ view, arena, slot, slotBytes }: Room): number {
  const step = arena.take(Size.StepHeaderBytes + ROWS * Size.RowBytes + 8);
  const index = step + Size.StepHeaderBytes + ROWS * Size.RowBytes;
  writeSpan(view, step, Span.All, 0, ROWS);
  writeSpan(view, step, Span.Logits, 0, 2);
  view.setUint32(step + 4 * Step.gather, index, true);
  view.setUint32(index, 1, true);
  view.setUint32(index + 4, ROWS - 1, true);
  let row = 0;
  for (const [session, rows] of RUN_ROWS.entries()) {
    for (let i = 0; i < rows; i++, row++) {
      // 188 tokens before the first session's first row, so that its last one fills a block; 4 before the other's.
      const origin = 2n ** 53n - 200n + 7n * BigInt(session);
      const position = origin + BigInt(i) + (session ? 4n : 188n);
      const others = { nGlobal: ALL_PINNED, begin: 0n };
      const run = { slot: slot + session * slotBytes, runStart: row - i, runRows: rows };
      writeRow(view, step, row, { token: row * 7 + 2, ...run, origin, position, skipsRecall: false, ...others });
    }
  }
  return step;
}
