/** How JSON is written: a subset of all ways, of which every text is as long as its values need. */
import { charactersOf, setOf } from "./code_points.ts";
import { ANY_IN_JSON, choice, type Expression, literal, oneOf, optional, repeat, sequence } from "./expression.ts";
import { type RuleBook, ruleOf } from "./rule_book.ts";

const QUOTE = literal('"');
const DIGIT = oneOf(setOf([[0x30, 0x39]]));
const NOT_ZERO = oneOf(setOf([[0x31, 0x39]]));

/** White space between values: none, a space, or a line end and an indent. see: llama.cpp, json_schema_to_grammar */
const SPACE = optional(choice(literal(" "), sequence(literal("\n"), repeat(oneOf(charactersOf(" \t")), 0, 20))));

/** Behind an element of a list, before the next. */
export const COMMA = sequence(SPACE, literal(","), SPACE);

/** A string whose characters are these, already as JSON writes them. */
export function quoted(characters: Expression): Expression {
  return sequence(QUOTE, characters, QUOTE);
}

/** Any string. */
export const ANY_STRING = quoted(repeat(ANY_IN_JSON, 0, Infinity));

/** Any whole number that JSON.parse gives exactly enough: at most 16 digits. */
export const ANY_INTEGER = sequence(
  optional(literal("-")),
  choice(literal("0"), sequence(NOT_ZERO, repeat(DIGIT, 0, 15))),
);

/** Any number, of at most 16 digits before and after the point, and two of the exponent: all are finite. */
export const ANY_NUMBER = sequence(
  ANY_INTEGER,
  optional(sequence(literal("."), repeat(DIGIT, 1, 16))),
  optional(sequence(oneOf(charactersOf("eE")), optional(oneOf(charactersOf("+-"))), repeat(DIGIT, 1, 2))),
);

/** A member of an object. */
export function member(key: Expression, value: Expression): Expression {
  return sequence(key, literal(":"), SPACE, value);
}

/** What stands between brackets. */
export function enclosed(open: string, inside: Expression, close: string): Expression {
  return sequence(literal(open), SPACE, inside, closing(close));
}

/** The start of what stands between brackets. */
export function opening(bracket: string): Expression {
  return sequence(literal(bracket), SPACE);
}

/** Its end. */
export function closing(bracket: string): Expression {
  return sequence(SPACE, literal(bracket));
}

/** Items between commas, so many. */
export function listOf(item: Expression, least: number, most: number): Expression {
  if (most === 0) return repeat(item, 0, 0);
  const list = sequence(item, repeat(sequence(COMMA, item), Math.max(0, least - 1), most - 1));
  return least === 0 ? optional(list) : list;
}

/** Any value. */
export function anyValue(book: RuleBook): Expression {
  const rule = book.add("any value");
  const value = ruleOf(rule);
  const words = ["true", "false", "null"].map((word) => literal(word));
  const object = enclosed("{", listOf(member(ANY_STRING, value), 0, Infinity), "}");
  const array = enclosed("[", listOf(value, 0, Infinity), "]");
  book.set(rule, choice(object, array, ANY_STRING, ANY_NUMBER, ...words));
  return value;
}
