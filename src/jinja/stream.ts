import { TemplateError } from "./errors.ts";
import type { Token, TokenType } from "./lexer.ts";

/** A stream of tokens. */
export class Stream {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  get current(): Token {
    return this.#tokens[this.#at]!;
  }

  get following(): Token {
    return this.#tokens[Math.min(this.#at + 1, this.#tokens.length - 1)]!;
  }

  next(): Token {
    const token = this.current;
    if (token.type !== "eof") this.#at++;
    return token;
  }

  /** Whether the current token is of a type and, if given, one of some values. */
  is(type: TokenType, ...values: readonly string[]): boolean {
    return this.current.type === type && (values.length === 0 || values.includes(this.current.value));
  }

  /** Takes the current token if it is that one. */
  skip(type: TokenType, value: string): boolean {
    if (!this.is(type, value)) return false;
    this.next();
    return true;
  }

  expect(type: TokenType, ...values: readonly string[]): Token {
    if (this.is(type, ...values)) return this.next();
    this.fail(`expected ${values.length ? values.map((value) => `'${value}'`).join(" or ") : type}`);
  }

  /** @throws TemplateError: `expected X, found Y` */
  fail(expected: string, line = this.current.line): never {
    const { type, value } = this.current;
    throw new TemplateError(`${expected}, found ${type === "eof" ? "the end of the template" : `'${value}'`}`, line);
  }
}
