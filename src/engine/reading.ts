import type { SessionState } from "./state.ts";

/** A way of reading tokens (Engine.read). */
export interface Reading {
  /** Rows of a step, at most. */
  readonly rows: number;
  /** Whether a row wants logits; `left`: how many there are from it on. */
  readonly wants: (left: number) => boolean;
  /** The last token stays pending, so that it is the next call's first row; logits may be any. */
  readonly scores?: {
    /** Before the first step; `token` is the first one to be read. */
    readonly begin: (session: SessionState, token: number) => void | Promise<void>;
    /** Before each step; the token that follows each of its rows. */
    readonly targets: (following: readonly number[]) => void;
  };
  /** After each step, with the position of its first row; other sessions' steps may follow once it awaits. */
  readonly after?: (position: number, count: number) => void | Promise<void>;
}
