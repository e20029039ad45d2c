import { mismatch, OptionError } from "../base/errors.ts";

/** The most UTF-8 bytes of a stop string. */
const MAX_BYTES = 256;

/**
 * The expected and found parts of the error for a stop string that is empty, too long or invalid Unicode; undefined if
 * it is fine.
 */
export function stopStringFault(stop: unknown): readonly [expected: string, found: unknown] | undefined {
  if (typeof stop !== "string" || stop === "") return ["some text", stop === "" ? '""' : stop];
  if (!stop.isWellFormed()) return ["valid Unicode", JSON.stringify(stop)];
  const bytes = new TextEncoder().encode(stop).length;
  if (bytes > MAX_BYTES) return [`at most ${MAX_BYTES} bytes of UTF-8`, `${bytes} (${JSON.stringify(stop)})`];
  return undefined;
}

/**
 * Ends a text at the first stop string, however the text is split into pieces. The stop string that is complete first
 * wins; of those complete at the same character, the longest. Text is held back only as long as it may be the start of
 * a stop string, and never more than the longest of them.
 */
export class StopStrings {
  /** The most UTF-8 bytes of a stop string, so at most one more than the bytes of `tail`. */
  static readonly MAX_BYTES = MAX_BYTES;

  readonly #stops: readonly string[];
  #tail: string;
  #stopped: string | undefined;

  /**
   * @param stops each of 1..256 UTF-8 bytes; none at all is allowed
   * @param tail what `tail` of another one gave, to go on from there
   * @throws OptionError for a stop string that is empty, too long or no valid Unicode
   */
  constructor(stops: readonly string[], tail = "") {
    for (const stop of stops) {
      const fault = stopStringFault(stop);
      if (fault) throw new OptionError(mismatch("stop string", ...fault));
    }
    this.#stops = [...stops];
    this.#tail = tail;
  }

  /**
   * Takes the next piece; returns the text that is certain, and the stop string if the text ends there. Nothing follows
   * then.
   */
  push(piece: string): { text: string; stopped: string | undefined } {
    if (this.#stopped !== undefined) return { text: "", stopped: this.#stopped };
    const text = this.#tail + piece;
    let end = Number.POSITIVE_INFINITY;
    for (const stop of this.#stops) {
      const at = text.indexOf(stop);
      if (at < 0) continue;
      const stopEnd = at + stop.length;
      if (stopEnd < end || (stopEnd === end && stop.length > this.#stopped!.length)) {
        end = stopEnd;
        this.#stopped = stop;
      }
    }
    if (this.#stopped !== undefined) {
      this.#tail = "";
      return { text: text.slice(0, end - this.#stopped.length), stopped: this.#stopped };
    }
    const keep = this.#unfinished(text);
    this.#tail = keep === 0 ? "" : text.slice(-keep);
    return { text: text.slice(0, text.length - keep), stopped: undefined };
  }

  /** Returns the held-back text: the text ended before it became a stop string. */
  flush(): string {
    const text = this.#tail;
    this.#tail = "";
    return text;
  }

  /** The held-back text, at most 255 bytes of UTF-8. */
  get tail(): string {
    return this.#tail;
  }

  /** Length of the longest suffix of `text` that is a prefix of a stop string. */
  #unfinished(text: string): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let n = Math.min(stop.length - 1, text.length); n > longest; n--) {
        if (text.endsWith(stop.slice(0, n))) longest = n;
      }
    }
    return longest;
  }
}
