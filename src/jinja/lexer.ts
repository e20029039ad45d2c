import { TemplateError } from "./errors.ts";
import { skipSpaces, stripSpaces } from "./spaces.ts";

/** The kinds of tokens. */
export type TokenType = "data" | "begin" | "end" | "name" | "string" | "number" | "operator" | "eof";

/** A token of a template, and its line, from 1. */
export interface Token {
  readonly type: TokenType;
  /** The text of data, names, strings and operators; the tag that begins or ends ("{%", "{{", "%}", "}}"). */
  readonly value: string;
  readonly line: number;
}

const PARTS = [
  ["number", /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy],
  ["number", /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy],
  ["name", /[\p{L}\p{M}\p{N}\p{Pc}]+/uy],
  ["string", /'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"/sy],
  ["operator", /\/\/|\*\*|[=!<>]=|[-+/*%~[\](){}=<>.:|,;]/y],
] as const;
const OPENING: Record<string, string> = { "(": ")", "[": "]", "{": "}" };

const ESCAPES: Record<string, string> = {
  "\n": "",
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** Jinja's lexer with trim_blocks and lstrip_blocks, as transformers sets them. */
export function tokenize(template: string): Token[] {
  return new Lexer(template).run();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  #line = 1;
  /** The position up to which lines have been counted. */
  #counted = 0;
  /** Whether only white space may precede this position on its line. */
  #lineStarts = true;

  constructor(template: string) {
    // Every line end becomes \n, and one at the end of the template is dropped.
    this.#source = template.replace(/\r\n?/g, "\n").replace(/\n$/, "");
  }

  run(): Token[] {
    const source = this.#source;
    const opening = /\{(?:%([-+]?)|\{([-+]?)|#([-+]?))/g;
    while (this.#at < source.length) {
      opening.lastIndex = this.#at;
      const match = opening.exec(source);
      const text = source.slice(this.#at, match?.index);
      if (!match) {
        this.#push("data", text);
        break;
      }
      const tag = match[0].slice(0, 2);
      this.#data(text, match[1] ?? match[2] ?? match[3] ?? "", tag !== "{{");
      this.#moveTo(opening.lastIndex);
      if (tag === "{#") this.#comment();
      else if (tag === "{{") this.#code(tag, /-\}\}|\}\}/y);
      else if (!this.#raw()) this.#code(tag, /[-+]%\}|%\}/y);
    }
    this.#moveTo(source.length);
    this.#push("eof", "");
    return this.#tokens;
  }

  /** Text before a tag with that sign. */
  #data(text: string, sign: string, isBlock: boolean): void {
    let kept = text;
    if (sign === "-") kept = stripSpaces(text, false);
    else if (sign !== "+" && isBlock) {
      const line = text.lastIndexOf("\n") + 1;
      if ((line > 0 || this.#lineStarts) && skipSpaces(text, line) === text.length) kept = text.slice(0, line);
    }
    if (kept) this.#push("data", kept);
  }

  #comment(): void {
    const end = this.#source.indexOf("#}", this.#at);
    // At the very end of the template, Jinja treats it as closed.
    if (this.#at === this.#source.length) return;
    if (end < 0) this.#fail("Missing end of comment tag");
    const sign = end > this.#at ? this.#source[end - 1]! : "";
    this.#close(end + 2, sign, true);
  }

  /** After a tag: "-" removes all white space, a block one line end unless there is a "+". */
  #close(end: number, sign: string, isBlock: boolean): void {
    const source = this.#source;
    if (sign === "-") end = skipSpaces(source, end);
    else if (isBlock && sign !== "+" && source[end] === "\n") end++;
    this.#moveTo(end);
    this.#lineStarts = source[end - 1] === "\n";
  }

  /** `{% raw %}` … `{% endraw %}`, if that is what has begun. */
  #raw(): boolean {
    const source = this.#source;
    const start = /\s*raw\s*(-?)%\}/y;
    start.lastIndex = this.#at;
    const begin = start.exec(source);
    if (!begin) return false;
    this.#close(start.lastIndex, begin[1]!, false);
    const stop = /\{%([-+]?)\s*endraw\s*([-+]?)%\}/g;
    stop.lastIndex = this.#at;
    const end = stop.exec(source);
    if (this.#at === source.length) return true;
    if (!end) this.#fail("Missing end of raw directive");
    this.#data(source.slice(this.#at, end.index), end[1]!, true);
    this.#close(stop.lastIndex, end[2]!, true);
    return true;
  }

  /** The content of a tag, up to its end. */
  #code(tag: string, closing: RegExp): void {
    this.#push("begin", tag);
    const open: string[] = [];
    for (;;) {
      this.#moveTo(skipSpaces(this.#source, this.#at));
      closing.lastIndex = this.#at;
      const end = open.length === 0 && closing.exec(this.#source);
      if (end) {
        this.#push("end", end[0].slice(-2));
        this.#close(closing.lastIndex, end[0].length > 2 ? end[0][0]! : "", tag === "{%");
        return;
      }
      this.#part(open);
    }
  }

  #part(open: string[]): void {
    for (const [type, form] of PARTS) {
      form.lastIndex = this.#at;
      const text = form.exec(this.#source)?.[0];
      if (text === undefined) continue;
      if (type === "operator") this.#balance(text, open);
      if (type === "name" && !/^[\p{XID_Start}_]\p{XID_Continue}*$/u.test(text)) {
        this.#fail("Invalid character in identifier");
      }
      this.#push(type, type === "string" ? this.#unescape(text.slice(1, -1)) : text);
      this.#moveTo(this.#at + text.length);
      return;
    }
    const found = this.#source[this.#at];
    this.#fail(found === undefined ? "unexpected end of template" : `unexpected char '${found}'`);
  }

  #balance(operator: string, open: string[]): void {
    if (operator in OPENING) open.push(OPENING[operator]!);
    else if (operator === ")" || operator === "]" || operator === "}") {
      const expected = open.pop();
      if (expected === operator) return;
      this.#fail(`unexpected '${operator}'${expected === undefined ? "" : `, expected '${expected}'`}`);
    }
  }

  /** Python's escapes; unknown ones are kept. */
  #unescape(text: string): string {
    const form = /\\(?:([0-7]{1,3})|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|(.))/gs;
    return text.replace(form, (whole: string, octal?: string, ...hex: (string | undefined)[]) => {
      const digits = hex[0] ?? hex[1] ?? hex[2];
      const letter = hex[3];
      const point = octal === undefined ? Number.parseInt(digits ?? "", 16) : Number.parseInt(octal, 8);
      if (letter === undefined && point <= 0x10ffff) return String.fromCodePoint(point);
      if (letter === undefined || /[xuUN]/.test(letter))
        this.#fail(`unsupported escape ${whole.slice(0, 2)} in a string`);
      return ESCAPES[letter] ?? whole;
    });
  }

  #push(type: TokenType, value: string): void {
    this.#tokens.push({ type, value, line: this.#line });
  }

  #moveTo(at: number): void {
    this.#at = at;
    for (; this.#counted < at; this.#counted++) if (this.#source[this.#counted] === "\n") this.#line++;
    this.#lineStarts = false;
  }

  #fail(message: string): never {
    throw new TemplateError(message, this.#line);
  }
}
