/** Jinja's tests, which follow `is`. */
import { isInt, isText, iterableOf, lengthOf } from "./basics.ts";
import { contains, equal, same } from "./compare.ts";
import { compare, type Test } from "./evaluate.ts";
import type { Comparison } from "./nodes.ts";
import { numberOf } from "./numbers.ts";
import { binary } from "./operators.ts";
import { isLower, isUpper } from "./strings_case.ts";
import { str } from "./text.ts";
import { Dict, Float, Fn, Markup, NONE, Thing, Undefined, type Value, View } from "./values.ts";

/** A test without arguments. */
const plain = (fits: (value: Value) => boolean): Test => {
  return (value, args) => {
    args.take("test", []);
    return fits(value);
  };
};

/** A test against one other value. */
const against = (fits: (value: Value, other: Value) => boolean): Test => {
  return (value, args) => fits(value, args.take("test", ["other"], 1)[0]!);
};

const comparison = (operator: Comparison) => against((value, other) => compare(operator, value, other));
const remainder = (value: Value, divisor: Value, rest: Value) => equal(binary("%", value, divisor), rest);

/** Whether a value has a length and items. */
const isSequence = (value: Value) =>
  lengthOf(value) !== undefined && !(value instanceof View || value instanceof Thing);

const COMPARISONS: Readonly<Record<string, Comparison>> = {
  "==": "==",
  eq: "==",
  equalto: "==",
  "!=": "!=",
  ne: "!=",
  "<": "<",
  lt: "<",
  lessthan: "<",
  "<=": "<=",
  le: "<=",
  ">": ">",
  gt: ">",
  greaterthan: ">",
  ">=": ">=",
  ge: ">=",
};

const OTHERS: Readonly<Record<string, Test>> = {
  defined: plain((value) => !(value instanceof Undefined)),
  undefined: plain((value) => value instanceof Undefined),
  none: plain((value) => value === NONE),
  boolean: plain((value) => typeof value === "boolean"),
  true: plain((value) => value === true),
  false: plain((value) => value === false),
  integer: plain(isInt),
  float: plain((value) => value instanceof Float),
  number: plain((value) => numberOf(value) !== undefined),
  string: plain(isText),
  mapping: plain((value) => value instanceof Dict),
  sequence: plain(isSequence),
  iterable: plain((value) => iterableOf(value) !== undefined),
  callable: plain((value) => value instanceof Fn || value instanceof Thing),
  escaped: plain((value) => value instanceof Markup),
  lower: plain((value) => isLower(str(value))),
  upper: plain((value) => isUpper(str(value))),
  even: plain((value) => remainder(value, 2, 0)),
  odd: plain((value) => remainder(value, 2, 1)),
  divisibleby: against((value, divisor) => remainder(value, divisor, 0)),
  sameas: against(same),
  in: against((value, values) => contains(values, value)),
  filter: (value, _, library) => typeof value === "string" && library.filters.has(value),
  test: (value, _, library) => typeof value === "string" && library.tests.has(value),
};

/** Jinja's tests by name. */
export const TESTS: ReadonlyMap<string, Test> = new Map([
  ...Object.entries(COMPARISONS).map(([name, operator]) => [name, comparison(operator)] as const),
  ...Object.entries(OTHERS),
]);
