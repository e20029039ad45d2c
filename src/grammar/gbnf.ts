import { mismatch, OptionError } from "../base/errors.ts";
import { ALL, type CodePoints, charactersOf, complement, setOf, union } from "./code_points.ts";
import { choice, type Expression, literal, oneOf, type Rules, repeat, sequence } from "./expression.ts";
import { RuleBook, ruleOf } from "./rule_book.ts";

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" };

/**
 * Reads a grammar in the form that llama.cpp calls GBNF: `name ::= …` with "texts", [classes], `.`, groups, `|`, `*`, `+`,
 * `?`, `{m,n}`, names of rules and # comments. A text is what the rule `root` is. Throws OptionError with line and column.
 * see: llama.cpp, grammars/README.md
 */
export function compileGbnf(text: string): Rules {
  return new Parser(text).parse();
}

class Parser {
  readonly #text: string;
  readonly #book = new RuleBook();
  readonly #rules = new Map<string, number>();
  readonly #defined = new Set<string>();
  /** Of the first mention of each rule. */
  readonly #mentions = new Map<string, number>();
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    this.#rule("root");
  }

  parse(): Rules {
    this.#space(true);
    while (this.#at < this.#text.length) {
      const start = this.#at;
      const name = this.#name();
      if (this.#defined.has(name)) this.#fail("a rule that is not there yet", start);
      this.#defined.add(name);
      this.#space(false);
      if (!this.#take("::=")) this.#fail("::=");
      this.#space(true);
      this.#book.set(this.#rule(name), this.#alternatives(false));
      if (this.#at < this.#text.length && this.#text[this.#at] !== "\n") this.#fail("a line end");
      this.#space(true);
    }
    for (const name of this.#rules.keys()) {
      if (!this.#defined.has(name)) this.#fail(`a rule ${name}`, this.#mentions.get(name) ?? this.#text.length);
    }
    return this.#book;
  }

  #rule(name: string): number {
    const rule = this.#rules.get(name) ?? this.#book.add(`grammar: ${name}`);
    this.#rules.set(name, rule);
    return rule;
  }

  #fail(expected: string, at = this.#at): never {
    const before = this.#text.slice(0, at).split("\n");
    const place = `grammar, line ${before.length}, column ${before.at(-1)!.length + 1}`;
    const rest = this.#text.slice(at).split("\n")[0];
    throw new OptionError(mismatch(place, expected, rest || (at < this.#text.length ? "a line end" : "the end")));
  }

  #take(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text) ?? undefined;
    if (found) this.#at = pattern.lastIndex;
    return found;
  }

  /** Skips spaces and comments, and line ends if there may be some. */
  #space(lines: boolean): void {
    this.#match(lines ? /(?:\s|#[^\n]*)*/y : /(?:[^\S\n]|#[^\n]*)*/y);
  }

  #name(): string {
    return this.#match(/[A-Za-z][A-Za-z0-9_-]*/y)?.[0] ?? this.#fail("the name of a rule");
  }

  /** `inside`: of brackets, where lines may end anywhere. */
  #alternatives(inside: boolean): Expression {
    const ways = [this.#sequence(inside)];
    while (this.#take("|")) {
      this.#space(true);
      ways.push(this.#sequence(inside));
    }
    return choice(...ways);
  }

  #sequence(inside: boolean): Expression {
    const items: Expression[] = [];
    this.#space(inside);
    while (this.#at < this.#text.length && !"|)\n".includes(this.#text[this.#at]!)) {
      items.push(this.#repeated(this.#item()));
      this.#space(inside);
    }
    return sequence(...items);
  }

  #repeated(item: Expression): Expression {
    if (this.#take("*")) return repeat(item, 0, Infinity);
    if (this.#take("+")) return repeat(item, 1, Infinity);
    if (this.#take("?")) return repeat(item, 0, 1);
    if (this.#text[this.#at] !== "{") return item;
    const start = this.#at;
    const [, least, comma, most] = this.#match(/\{(\d+)(,?)(\d*)\}/y) ?? this.#fail("{m}, {m,} or {m,n}");
    const bounds = [Number(least), most ? Number(most) : comma ? Infinity : Number(least)] as const;
    if (!Number.isSafeInteger(bounds[0]) || bounds[1] < bounds[0]) this.#fail("{m,n} with m at most n", start);
    return repeat(item, ...bounds);
  }

  #item(): Expression {
    if (this.#take('"')) return this.#quoted();
    if (this.#take("[")) return oneOf(this.#class());
    if (this.#take(".")) return oneOf(ALL);
    if (this.#take("(")) {
      const group = this.#alternatives(true);
      if (!this.#take(")")) this.#fail(")");
      return group;
    }
    const at = this.#at;
    const name =
      this.#match(/[A-Za-z][A-Za-z0-9_-]*/y)?.[0] ?? this.#fail("a text, a class, a group or the name of a rule");
    if (!this.#mentions.has(name)) this.#mentions.set(name, at);
    return ruleOf(this.#rule(name));
  }

  #quoted(): Expression {
    let text = "";
    while (!this.#take('"')) text += this.#character('"');
    return literal(text);
  }

  #class(): CodePoints {
    const negated = this.#take("^");
    const parts: CodePoints[] = [];
    while (!this.#take("]")) {
      const start = this.#at;
      const first = this.#character("]").codePointAt(0)!;
      const isRange = this.#text[this.#at] === "-" && this.#text[this.#at + 1] !== "]";
      if (isRange) this.#at++;
      const last = isRange ? this.#character("]").codePointAt(0)! : first;
      if (last < first) this.#fail("a range in ascending order", start);
      parts.push(setOf([[first, last]]));
    }
    return negated ? complement(union(...parts)) : union(...parts);
  }

  /** A character or an escape; `end`: what is missing if the text ends. */
  #character(end: string): string {
    const start = this.#at;
    if (this.#at >= this.#text.length || this.#text[this.#at] === "\n") this.#fail(end);
    const character = String.fromCodePoint(this.#text.codePointAt(this.#at)!);
    this.#at += character.length;
    if (character !== "\\") return character;
    const hex = this.#match(/x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})/y);
    if (hex) {
      const code = Number.parseInt(hex[1] ?? hex[2] ?? hex[3]!, 16);
      if (code > 0x10ffff || charactersOf(String.fromCodePoint(code)).length === 0) this.#fail("a character", start);
      return String.fromCodePoint(code);
    }
    const [letter] = this.#match(/[nrt"\\[\]^-]/y) ?? this.#fail("an escape", start);
    return ESCAPES[letter] ?? letter;
  }
}
