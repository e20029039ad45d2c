import { StopStrings } from "./stop.ts";

/** Held-back text. */
export interface Tail {
  /** In the text that is shown. */
  readonly shown: string;
  /** In the text with special tokens. */
  readonly whole: string;
  /** The indexes of the UTF-16 code units of `whole` that are not shown. */
  readonly hidden: readonly number[];
}

/** The tail of a text that holds nothing back. */
export const NO_TAIL: Tail = { shown: "", whole: "", hidden: [] };

/**
 * StopStrings for a text of which special tokens are not shown: a stop string matches in the text that is shown as well
 * as in the text with special tokens (HF StopStringCriteria), so `<|im_end|>` ends a text as well as `
 * User:` does.
 */
export class ShownStops {
  readonly #shown: StopStrings;
  readonly #whole: StopStrings;
  #hidden: readonly number[];

  /** @throws OptionError as StopStrings does */
  constructor(stops: readonly string[], { shown, whole, hidden }: Tail = NO_TAIL) {
    this.#shown = new StopStrings(stops, shown);
    this.#whole = new StopStrings(stops, whole);
    this.#hidden = hidden;
  }

  get tail(): Tail {
    return { shown: this.#shown.tail, whole: this.#whole.tail, hidden: this.#hidden };
  }

  /** Takes the next piece, shown or not; returns the text that can be shown, and whether the text ends there. */
  push(piece: string, isShown: boolean): { text: string; stopped: boolean } {
    const { shown, whole } = this.tail;
    const held = this.#held;
    const all = whole + piece;
    const hidden = [...this.#hidden];
    if (!isShown) for (let i = whole.length; i < all.length; i++) hidden.push(i);
    const one = this.#shown.push(isShown ? piece : "");
    const other = this.#whole.push(piece);
    const certain = all.length - this.#whole.tail.length;
    this.#hidden = hidden.filter((i) => i >= certain).map((i) => i - certain);
    // Where each of the two views ends, in the text that is shown: the held-back text, then the piece.
    const ends = [
      { stopped: one.stopped, end: held.length - shown.length + one.text.length },
      { stopped: other.stopped, end: held.length - visible(whole, hidden).length + visible(other.text, hidden).length },
    ];
    const stopping = ends.filter(({ stopped }) => stopped !== undefined);
    const stopped = stopping.length > 0;
    const end = Math.min(...(stopped ? stopping : ends).map(({ end }) => end));
    return { text: (held + (isShown ? piece : "")).slice(0, end), stopped };
  }

  /** Returns the held-back text: the text ended before it became a stop string. */
  flush(): string {
    const text = this.#held;
    this.#shown.flush();
    this.#whole.flush();
    this.#hidden = [];
    return text;
  }

  /** Text that is to be shown, and may be the start of a stop string in either view. */
  get #held(): string {
    const { shown, whole, hidden } = this.tail;
    const other = visible(whole, hidden);
    return other.length > shown.length ? other : shown;
  }
}

/** The start of a text without its hidden code units. */
function visible(text: string, hidden: readonly number[]): string {
  if (hidden.length === 0) return text;
  return Array.from({ length: text.length }, (_, i) => (hidden.includes(i) ? "" : text[i])).join("");
}
