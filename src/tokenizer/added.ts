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
  /** By first UTF-16 unit, longest first. */
  readonly #byFirst = new Map<string, { text: string; token: AddedToken }[]>();
  readonly #first: RegExp | undefined;

  /** `normalize`: the normalization of the text in which the tokens will be matched. */
  constructor(tokens: readonly AddedToken[], normalize: (text: string) => string) {
    for (const token of tokens) {
      const text = normalize(token.content);
      if (text === "") continue;
      const list = this.#byFirst.get(text.charAt(0)) ?? [];
      list.push({ text, token });
      this.#byFirst.set(text.charAt(0), list);
    }
    for (const list of this.#byFirst.values()) list.sort((a, b) => b.text.length - a.text.length);
    const units = [...this.#byFirst.keys()].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
    this.#first = units.length > 0 ? new RegExp(`[${units.join("")}]`, "g") : undefined;
  }

  /** The sections of `text`, in order; none for an empty text. */
  split(text: string): Section[] {
    const sections: Section[] = [];
    let done = 0;
    let at = 0;
    for (let next = this.#next(text, 0); next; next = this.#next(text, at)) {
      const { index, hit } = next;
      const { token } = hit;
      let start = index;
      let end = index + hit.text.length;
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
      const hit = this.#byFirst.get(found[0])?.find((entry) => text.startsWith(entry.text, index));
      if (hit) return { index, hit };
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
