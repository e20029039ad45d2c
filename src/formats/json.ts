import { ModelError, mismatch } from "../base/errors.ts";

/**
 * Strict JSON (RFC 8259) with error positions: engines differ in their messages, and Bun's have no position. Nesting is
 * limited as in serde_json, which the reference reader of safetensors uses, so that no value can overflow the stack of
 * a function that walks it.
 */
const MAX_DEPTH = 127;
const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const LITERALS: readonly (readonly [string, unknown])[] = [
  ["true", true],
  ["false", false],
  ["null", null],
];
/** Additional literals that Python's json module writes and reads. */
const PYTHON_LITERALS: typeof LITERALS = [
  ...LITERALS,
  ["NaN", Number.NaN],
  ["Infinity", Number.POSITIVE_INFINITY],
  ["-Infinity", Number.NEGATIVE_INFINITY],
];

/** Entries that were replaced by a later one of the same key, by the object they were in. */
export type Replaced = Map<object, [key: string, value: unknown][]>;

/** An integer in a form other than digits: 1.0, 1e2, -0. */
class NotDigits {
  constructor(readonly text: string) {}

  toJSON(): string {
    return this.text;
  }
}

/**
 * The object that `text` is the JSON of, as Python's json module writes and reads it, with NaN and Infinity; a ModelError
 * with `name`, line and column if it is none. The last of two equal keys counts.
 */
export function parseObject(text: string, name: string): Record<string, unknown> {
  return parseQuickly(text) ?? new Parser(text, name).document();
}

/**
 * The same as serde_json reads it, which distinguishes what JSON.parse treats alike. Entries with a repeated key go
 * into `replaced`; an integer must be written in digits only; half of a surrogate pair, and a number beyond the range
 * of f64, are refused.
 */
export function parseExactly(text: string, name: string, replaced: Replaced): Record<string, unknown> {
  return new Parser(text, name, replaced).document();
}

/** The object, by the engine's parser; undefined if anything about it is wrong. */
function parseQuickly(text: string): Record<string, unknown> | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isRecord(value) && nestsAtMost(MAX_DEPTH, value) ? value : undefined;
}

function nestsAtMost(depth: number, value: object): boolean {
  if (depth === 0) return false;
  for (const key in value) {
    const item = (value as Record<string, unknown>)[key];
    if (typeof item === "object" && item && !nestsAtMost(depth - 1, item)) return false;
  }
  return true;
}

/**
 * Bytes as UTF-8 text; throws ModelError naming `name` if they are not UTF-8. A byte order mark is dropped by default.
 */
export function decodeUtf8(bytes: Uint8Array, name: string, options: { readonly ignoreBOM?: boolean } = {}): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ...options }).decode(bytes);
  } catch {
    throw new ModelError(mismatch(name, "UTF-8 text", "bytes that are not"));
  }
}

/** Whether a JSON value is an object (no array, no null, no number). */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof NotDigits);
}

class Parser {
  readonly #text: string;
  readonly #name: string;
  /** Only where the text is read exactly. */
  readonly #replaced: Replaced | undefined;
  #at = 0;

  constructor(text: string, name: string, replaced?: Replaced) {
    this.#text = text;
    this.#name = name;
    this.#replaced = replaced;
  }

  document(): Record<string, unknown> {
    this.#match(SPACE);
    if (this.#text[this.#at] !== "{") this.#fail("a JSON object");
    const object = this.#object(1);
    this.#match(SPACE);
    if (this.#at < this.#text.length) this.#fail("the end");
    return object;
  }

  #value(depth: number): unknown {
    const first = this.#text[this.#at];
    if (first === '"') return this.#string();
    if (first === "{" || first === "[") {
      if (depth > MAX_DEPTH) this.#fail(`at most ${MAX_DEPTH} nested values`);
      return first === "{" ? this.#object(depth) : this.#array(depth);
    }
    for (const [word, value] of this.#replaced ? LITERALS : PYTHON_LITERALS) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    return this.#number();
  }

  #number(): unknown {
    const start = this.#at;
    const text = this.#match(NUMBER);
    if (text === "") this.#fail("a value");
    const number = Number(text);
    if (!this.#replaced) return number;
    if (!Number.isFinite(number)) this.#fail("a number in the range of f64", start);
    return Number.isSafeInteger(number) && !/^-?[1-9][0-9]*$|^0$/.test(text) ? new NotDigits(text) : number;
  }

  #object(depth: number): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    this.#list("}", () => {
      if (this.#text[this.#at] !== '"') this.#fail("a key in double quotes");
      const key = this.#string();
      this.#match(SPACE);
      if (this.#text[this.#at] !== ":") this.#fail("':'");
      this.#at++;
      this.#match(SPACE);
      const value = this.#value(depth + 1);
      if (this.#replaced && Object.hasOwn(object, key)) {
        const entries = this.#replaced.get(object) ?? [];
        this.#replaced.set(object, entries);
        entries.push([key, object[key]]);
      }
      // Assigning to __proto__ would set the prototype instead of a key.
      if (key === "__proto__") {
        Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
      } else object[key] = value;
    });
    return object;
  }

  #array(depth: number): unknown[] {
    const array: unknown[] = [];
    this.#list("]", () => array.push(this.#value(depth + 1)));
    return array;
  }

  /** Consumes the opening bracket, the items and `end`; `item` is called where an item must start. */
  #list(end: string, item: () => void): void {
    this.#at++;
    this.#match(SPACE);
    if (this.#text[this.#at] !== end) {
      for (;;) {
        item();
        this.#match(SPACE);
        if (this.#text[this.#at] !== ",") break;
        this.#at++;
        this.#match(SPACE);
      }
      if (this.#text[this.#at] !== end) this.#fail(`',' or '${end}'`);
    }
    this.#at++;
  }

  #string(): string {
    const start = this.#at++;
    let escaped = false;
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code === 0x22) break;
      if (!(code >= 0x20)) this.#fail("the rest of a string"); // a control character, or NaN past the end
      escaped ||= code === 0x5c;
      this.#at += code === 0x5c ? 2 : 1;
    }
    this.#at++;
    if (!escaped) return this.#text.slice(start + 1, this.#at - 1);
    const text = unescaped(this.#text.slice(start, this.#at));
    return text?.isWellFormed() ? text : this.#fail("a string with valid escapes", start);
  }

  /** Consumes what the sticky pattern matches here, and returns it. */
  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const matched = pattern.exec(this.#text)?.[0] ?? "";
    this.#at += matched.length;
    return matched;
  }

  #fail(expected: string, at = this.#at): never {
    const line = this.#text.slice(0, at).split("\n");
    const where = `${this.#name}: line ${line.length}, column ${(line.at(-1)?.length ?? 0) + 1}`;
    throw new ModelError(mismatch(where, expected, this.#text.slice(at, at + 20) || "the end"));
  }
}

function unescaped(quoted: string): string | undefined {
  try {
    return JSON.parse(quoted);
  } catch {
    return undefined;
  }
}
