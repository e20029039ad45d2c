import { leadingSpace, trailingSpace } from "./normalizer.ts";
import { unicode, WORD } from "./unicode.ts";

/** A token that is found in text before anything else cuts it. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Left out when decoding for people. */
  readonly special: boolean;
  /** Takes the white space before it along. */
  readonly lstrip: boolean;
  /** Takes the white space after it along. */
  readonly rstrip: boolean;
  /** Found only where no word character touches it. */
  readonly singleWord: boolean;
  /** Searched in the normalized text, in its own normalized form. */
  readonly normalized: boolean;
}

/** A stretch of text; with `id` it is that token. */
export interface Section {
  readonly start: number;
  readonly end: number;
  readonly id?: number;
}

/** Finds added tokens in text: the leftmost, and of those that begin there the longest. */
export class AddedTokens {
  /** By first UTF-16 unit, the longest first. */
  readonly #byFirst = new Map<string, { text: string; token: AddedToken }[]>();
  readonly #first: RegExp | undefined;

  /** `normalize`: what the text was put through in which the tokens will be searched. */
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
