import { leadingSpace, trailingSpace } from "./normalizer.ts";
import { unicode, WORD } from "./unicode.ts";

/** A token that is found in text before it is split in any other way. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Left out when decoding for display. */
  readonly special: boolean;
  /** Also takes the white space before it. */
  readonly lstrip: boolean;
  /** Also takes the white space after it. */
  readonly rstrip: boolean;
  /** Found only where no word character is adjacent. */
  readonly singleWord: boolean;
  /** Matched in the normalized text, in its own normalized form. */
  readonly normalized: boolean;
}

/** A section of text; with `id` it is that token. */
export interface Section {
  readonly start: number;
  readonly end: number;
  readonly id?: number;
}

/** Finds added tokens in text: leftmost first, the longest of those that start there. */
export class AddedTokens {
  /** First UTF-16 unit → lengths, longest first: tokens by text. Gemma has 6,000 that start with "<". */
  readonly #byFirst = new Map<string, Map<number, Map<string, AddedToken>>>();
  readonly #first: RegExp | undefined;

  /** `normalize`: the normalization of the text in which the tokens will be matched. */
  constructor(tokens: readonly AddedToken[], normalize: (text: string) => string) {
    const texts = tokens.map((token) => ({ text: normalize(token.content), token })).filter(({ text }) => text !== "");
    texts.sort((a, b) => b.text.length - a.text.length);
    for (const { text, token } of texts) {
      const lengths = this.#byFirst.get(text.charAt(0)) ?? new Map<number, Map<string, AddedToken>>();
      this.#byFirst.set(text.charAt(0), lengths);
      const same = lengths.get(text.length) ?? new Map<string, AddedToken>();
      lengths.set(text.length, same);
      if (!same.has(text)) same.set(text, token);
    }
    const units = [...this.#byFirst.keys()].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
    this.#first = units.length > 0 ? new RegExp(`[${units.join("")}]`, "g") : undefined;
  }

  /** The sections of `text`, in order; none for an empty text. */
  split(text: string): Section[] {
    const sections: Section[] = [];
    let done = 0;
    let at = 0;
    for (let next = this.#next(text, 0); next; next = this.#next(text, at)) {
      const { index, length, token } = next;
      let start = index;
      let end = index + length;
      at = end;
      if (token.singleWord && touchesWord(text, start, end)) continue;
      if (token.lstrip) start = Math.max(done, start - trailingSpace(text.slice(0, start)));
      if (token.rstrip) end += leadingSpace(text, end);
      if (start > done) sections.push({ start: done, end: start });
      sections.push({ start, end, id: token.id });
      done = end;
    }
    if (done < text.length) sections.push({ start: done, end: text.length });
    return sections;
  }

  #next(text: string, from: number) {
    if (!this.#first) return undefined;
    this.#first.lastIndex = from;
    for (let found = this.#first.exec(text); found; found = this.#first.exec(text)) {
      const { index } = found;
      for (const [length, tokens] of this.#byFirst.get(found[0]) ?? []) {
        const token = tokens.get(text.slice(index, index + length));
        if (token) return { index, length, token };
      }
    }
    return undefined;
  }
}

let wordAtEnd: RegExp | undefined;
let wordAtStart: RegExp | undefined;

function touchesWord(text: string, start: number, end: number): boolean {
  wordAtEnd ??= unicode(`[${WORD}]$`, "u");
  wordAtStart ??= unicode(`^[${WORD}]`, "u");
  return wordAtEnd.test(text.slice(Math.max(0, start - 2), start)) || wordAtStart.test(text.slice(end, end + 2));
}
