import type { Plan } from "../plan/plan.ts";
import type { WorkRows } from "./batch.ts";
import type { SessionState } from "./state.ts";

/** How a text is read: plain data. */
export interface Appending {
  /** Indices, ascending, of the tokens that turns of a chat start with. */
  readonly turnStarts?: readonly number[] | undefined;
  /** false: none of the tokens attends to middle tokens. Otherwise those do that recallQueries says. */
  readonly recall?: boolean | undefined;
}

/** A way of reading tokens (Engine.read). */
export interface Reading extends Appending {
  /** Whether a row wants logits; `left`: how many there are from it on. */
  readonly wants: (left: number) => boolean;
  /** After each step, with what it did for this call; it lies in the memories until the first await. */
  readonly after?: ((rows: WorkRows) => void | Promise<void>) | undefined;
  /** Whether steps hold no rows of other sessions. */
  readonly alone?: boolean | undefined;
}

/** Under recallQueries `last`, the `last` token of a call asks for middle tokens, and its first if it was held before. */
export function asksRecall(
  { policy }: Plan,
  { pending }: Pick<SessionState, "pending">,
  last = -1,
): (index: number) => boolean {
  const all = policy.recallQueries === "all";
  return (index) => all || index === last || (index === 0 && pending >= 0);
}
