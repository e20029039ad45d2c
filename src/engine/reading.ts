import type { WorkRows } from "./batch.ts";

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
