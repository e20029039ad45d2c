import { Step } from "../../assembly/layout.ts";
import type { Span } from "../../assembly/op.ts";

/** Says which rows a span of the step at `step` has. */
export function writeSpan(view: DataView, step: number, span: Span, first: number, count: number): void {
  view.setUint32(step + 4 * (Step.spans + 2 * span), first, true);
  view.setUint32(step + 4 * (Step.spans + 2 * span + 1), count, true);
}
