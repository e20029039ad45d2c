import { mismatch, OptionError } from "../base/errors.ts";
import { ALL, type CodePoints, charactersOf, complement, setOf, union } from "./code_points.ts";
import { choice, EMPTY, type Expression, oneOf, repeat, sequence } from "./expression.ts";
import { classEscape, NO_LINE_END, propertyEscape } from "./regex_classes.ts";

/** Places of a text that an assertion asks for, as rules until they are resolved. */
const START: Expression = { kind: "rule", rule: -1 };
const END: Expression = { kind: "rule", rule: -2 };

const ESCAPES: Readonly<Record<string, string>> = { t: "\t", n: "\n", v: "\v", f: "\f", r: "\r", 0: "\0", b: "\b" };
const ANYTHING = repeat(oneOf(ALL), 0, Infinity);

/**
 * The texts that an ECMAScript regular expression, flag u, matches whole or, with `search`, somewhere, as JSON Schema's
 * `pattern` does. Throws OptionError that starts with `path` for a pattern that is none and for what no finite automaton
 * does: lookaround, backreferences, word boundaries, and ^ and $ inside a text.
 */
export function compileRegex(pattern: string, path: string, search: boolean): Expression {
  try {
    new RegExp(pattern, "u");
  } catch (error) {
    throw new OptionError(mismatch(path, "a regular expression", (error as Error).message));
  }
  return anchored(new Parser(pattern, path).parse(), search, path);
}

/** Resolves ^ and $ at the ends of alternatives. */
function anchored(expression: Expression, search: boolean, path: string): Expression {
  if (expression.kind === "choice") return choice(...expression.items.map((item) => anchored(item, search, path)));
  const items = expression.kind === "sequence" ? expression.items : [expression];
  const [first] = items;
  const last = items.at(-1);
  // Alternatives with ends of their own.
  if (first?.kind === "choice" && hasEnds(first)) {
    return anchored(choice(...first.items.map((item) => sequence(item, ...items.slice(1)))), search, path);
  }
  if (last?.kind === "choice" && hasEnds(last)) {
    return anchored(choice(...last.items.map((item) => sequence(...items.slice(0, -1), item))), search, path);
  }
  const from = items.findIndex((item) => item !== START);
  const start = from < 0 ? items.length : from;
  let end = items.length;
  while (end > start && items[end - 1] === END) end--;
  const body = sequence(...items.slice(start, end));
  if (hasEnds(body)) throw new OptionError(mismatch(path, "^ and $ at the ends of alternatives only", "one inside"));
  const before = search && start === 0 ? ANYTHING : EMPTY;
  return sequence(before, body, search && end === items.length ? ANYTHING : EMPTY);
}

function hasEnds(expression: Expression): boolean {
  if (expression === START || expression === END) return true;
  if (expression.kind === "repeat") return hasEnds(expression.item);
  return "items" in expression && expression.items.some(hasEnds);
}

/** Reads a pattern that is known to be well-formed. */
class Parser {
  readonly #pattern: string;
  readonly #path: string;
  #at = 0;

  constructor(pattern: string, path: string) {
    this.#pattern = pattern;
    this.#path = path;
  }

  parse(): Expression {
    const ways = [this.#alternative()];
    while (this.#take("|")) ways.push(this.#alternative());
    return choice(...ways);
  }

  #take(text: string): boolean {
    if (!this.#pattern.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  /** The rest of a construct. */
  #match(pattern: RegExp): RegExpExecArray {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#pattern);
    if (!found) return this.#refuse("what is supported");
    this.#at = pattern.lastIndex;
    return found;
  }

  #refuse(expected: string): never {
    throw new OptionError(mismatch(this.#path, expected, this.#pattern));
  }

  #alternative(): Expression {
    const items: Expression[] = [];
    while (this.#at < this.#pattern.length && !"|)".includes(this.#pattern[this.#at]!)) {
      items.push(this.#quantified(this.#atom()));
    }
    return sequence(...items);
  }

  #quantified(item: Expression): Expression {
    let bounds: [least: number, most: number] | undefined;
    if (this.#take("*")) bounds = [0, Infinity];
    else if (this.#take("+")) bounds = [1, Infinity];
    else if (this.#take("?")) bounds = [0, 1];
    else if (this.#pattern[this.#at] === "{") {
      const [, least, comma, most] = this.#match(/\{(\d+)(,?)(\d*)\}/y);
      bounds = [Number(least), most ? Number(most) : comma ? Infinity : Number(least)];
    }
    if (!bounds) return item;
    // Whether as much or as little as possible is taken makes no other language.
    this.#take("?");
    if (!Number.isSafeInteger(bounds[0])) this.#refuse("counts below 2^53");
    return repeat(item, ...bounds);
  }

  #atom(): Expression {
    if (this.#take("^")) return START;
    if (this.#take("$")) return END;
    if (this.#take(".")) return oneOf(NO_LINE_END);
    if (this.#take("(")) return this.#group();
    if (this.#take("[")) return oneOf(this.#class());
    if (this.#take("\\")) {
      if (/[bB]/.test(this.#pattern[this.#at]!)) this.#refuse("no \\b and \\B");
      if (/[1-9k]/.test(this.#pattern[this.#at]!)) this.#refuse("no backreferences");
      return oneOf(this.#escape());
    }
    return oneOf(charactersOf(this.#character()));
  }

  #character(): string {
    const character = String.fromCodePoint(this.#pattern.codePointAt(this.#at)!);
    this.#at += character.length;
    return character;
  }

  #group(): Expression {
    if (this.#take("?") && !this.#take(":")) {
      if (/^(?:<?[=!])/.test(this.#pattern.slice(this.#at))) this.#refuse("no lookaround");
      if (this.#pattern[this.#at] !== "<") this.#refuse("no modifiers");
      this.#match(/<[^>]*>/y);
    }
    const inside = this.parse();
    this.#take(")");
    return inside;
  }

  #class(): CodePoints {
    const negated = this.#take("^");
    const parts: CodePoints[] = [];
    while (!this.#take("]")) {
      const first = this.#classAtom();
      // A minus before ] is a character.
      if (this.#pattern[this.#at] !== "-" || this.#pattern[this.#at + 1] === "]") parts.push(first);
      else {
        this.#at++;
        const last = this.#classAtom();
        parts.push(setOf([[first[0]?.[0] ?? 0xd800, last[0]?.[1] ?? 0xdfff]]));
      }
    }
    return negated ? complement(union(...parts)) : union(...parts);
  }

  #classAtom(): CodePoints {
    return this.#take("\\") ? this.#escape() : charactersOf(this.#character());
  }

  /** What is behind a backslash; a lone surrogate is no character. */
  #escape(): CodePoints {
    const letter = this.#character();
    const known = classEscape(letter);
    if (known) return known;
    if (letter === "p" || letter === "P") {
      return propertyEscape(`\\${letter}${this.#match(/\{[^}]*\}/y)[0]}`);
    }
    const code = (text: string | undefined) => Number.parseInt(text!, 16);
    const only = (value: number): CodePoints => setOf([[value, value]]);
    if (letter === "x") return only(code(this.#match(/[0-9a-fA-F]{2}/y)[0]));
    if (letter === "c") return only(this.#character().charCodeAt(0) % 32);
    if (letter !== "u") return charactersOf(ESCAPES[letter] ?? letter);
    const [, braced, high, low] = this.#match(
      /\{([0-9a-fA-F]+)\}|([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|/y,
    );
    if (braced) return only(code(braced));
    if (high) return only(0x10000 + ((code(high) - 0xd800) << 10) + code(low) - 0xdc00);
    return only(code(this.#match(/[0-9a-fA-F]{4}/y)[0]));
  }
}
