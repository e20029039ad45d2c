import type { BodyRead, BodyReader, CallPiece } from "./reader.ts";

/** Values nest at most so deep. */
const MOST_LEVELS = 100;

/**
 * Reads `call:name{key:value,…}`, where text stands between quotes that are tokens of their own: Gemma 4's `<|"|>`,
 * FunctionGemma's `<escape>`.
 */
export class GemmaCall implements BodyReader {
  readonly #quote: string;
  #text = "";
  #named = false;

  constructor(quote: string) {
    this.#quote = quote;
  }

  push(text: string): BodyRead | undefined {
    this.#text += text;
    const [head, name = ""] = this.#text.match(/^\s*call:\s*([^\s{]+)\s*\{/) ?? [];
    if (head === undefined)
      return this.#text.includes("{") || !/^\s*(c|$)/.test(this.#text) ? undefined : { pieces: [] };
    const pieces: CallPiece[] = this.#named ? [] : [{ name }];
    this.#named = true;
    try {
      const values = new Values(this.#text, head.length, this.#quote);
      const found = values.object(0);
      pieces.push({ arguments: JSON.stringify(found) });
      return { pieces, rest: this.#text.slice(values.at) };
    } catch (error) {
      if (error instanceof Unfinished) return { pieces };
      return undefined;
    }
  }

  get text(): string {
    return this.#text;
  }

  get started(): boolean {
    return this.#named;
  }
}

/** The text ends within a value. */
class Unfinished extends Error {}

class Values {
  readonly #text: string;
  readonly #quote: string;
  at: number;

  constructor(text: string, at: number, quote: string) {
    this.#text = text;
    this.at = at;
    this.#quote = quote;
  }

  /** The members behind a "{". */
  object(level: number): Record<string, unknown> {
    const members: [string, unknown][] = [];
    for (;;) {
      this.#skip();
      if (this.#takes("}")) return Object.fromEntries(members);
      if (members.length > 0) this.#need(",");
      this.#skip();
      const key = this.#peek(this.#quote) ? this.#string() : this.#until(/[:]/).trim();
      this.#need(":");
      members.push([key, this.#value(level + 1)]);
    }
  }

  #list(level: number): unknown[] {
    const items: unknown[] = [];
    for (;;) {
      this.#skip();
      if (this.#takes("]")) return items;
      if (items.length > 0) this.#need(",");
      items.push(this.#value(level + 1));
    }
  }

  #value(level: number): unknown {
    if (level > MOST_LEVELS) throw new Error("too deep");
    this.#skip();
    if (this.#peek(this.#quote)) return this.#string();
    if (this.#takes("{")) return this.object(level);
    if (this.#takes("[")) return this.#list(level);
    const word = this.#until(/[,}\]]/).trim();
    try {
      return JSON.parse(word);
    } catch {
      return word;
    }
  }

  #string(): string {
    this.at += this.#quote.length;
    const end = this.#text.indexOf(this.#quote, this.at);
    if (end < 0) throw new Unfinished();
    const text = this.#text.slice(this.at, end);
    this.at = end + this.#quote.length;
    return text;
  }

  #until(end: RegExp): string {
    const length = this.#text.slice(this.at).search(end);
    if (length < 0) throw new Unfinished();
    this.at += length;
    return this.#text.slice(this.at - length, this.at);
  }

  #skip(): void {
    while (/\s/.test(this.#text[this.at] ?? "")) this.at++;
    if (this.at >= this.#text.length) throw new Unfinished();
  }

  #peek(token: string): boolean {
    const ahead = this.#text.slice(this.at, this.at + token.length);
    if (ahead.length < token.length && token.startsWith(ahead)) throw new Unfinished();
    return ahead === token;
  }

  #takes(token: string): boolean {
    if (!this.#peek(token)) return false;
    this.at += token.length;
    return true;
  }

  #need(token: string): void {
    if (!this.#takes(token)) throw new Error(`no ${token}`);
  }
}
