/** What every operation needs to know about values: type, truth, length, order of iteration. */

import { TemplateError } from "./errors.ts";
import { size } from "./points.ts";
import {
  Dict,
  Float,
  Fn,
  type Int,
  Iter,
  Markup,
  NONE,
  Range,
  Thing,
  Tuple,
  Undefined,
  type Value,
  View,
} from "./values.ts";

/** Python's name of a value's type. */
export function typeName(value: Value): string {
  if (value === NONE) return "NoneType";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "string") return "str";
  if (isInt(value)) return "int";
  if (value instanceof Float) return "float";
  if (Array.isArray(value)) return "list";
  if (value instanceof View) return `dict_${value.kind}`;
  if (value instanceof Thing) return value.type;
  const names = [
    [Tuple, "tuple"],
    [Dict, "dict"],
    [Markup, "Markup"],
    [Range, "range"],
    [Iter, "generator"],
    [Undefined, "Undefined"],
    [Fn, "builtin_function_or_method"],
  ] as const;
  return names.find(([type]) => value instanceof type)?.[1] ?? "object";
}

/** The name of a value in Jinja's errors. */
export function describe(value: Value): string {
  if (value === NONE) return "'None'";
  return `'${typeName(value)} object'`;
}

/** Whether a value is a Python int. */
export function isInt(value: Value): value is Int {
  return typeof value === "number" || typeof value === "bigint";
}

/** A str, marked up or not. */
export function isText(value: Value): value is string | Markup {
  return typeof value === "string" || value instanceof Markup;
}

/** The text of a str, marked up or not. */
export function textOf(value: string | Markup): string {
  return typeof value === "string" ? value : value.text;
}

/** Python's truth of a value. */
export function isTrue(value: Value): boolean {
  if (value instanceof Float) return value.value !== 0;
  if (isInt(value)) return value !== 0;
  if (value === NONE || typeof value === "boolean") return value === true;
  if (value instanceof Undefined) return false;
  return lengthOf(value) !== 0;
}

/** Python's len(), undefined for what has none. */
export function lengthOf(value: Value): number | undefined {
  if (isText(value)) return size(textOf(value));
  if (Array.isArray(value)) return value.length;
  if (value instanceof Tuple) return value.items.length;
  if (value instanceof Dict) return value.size;
  if (value instanceof View) return value.dict.size;
  if (value instanceof Range || value instanceof Thing) return value.length;
  return value instanceof Undefined ? 0 : undefined;
}

/** What a value gives one after the other, undefined for what cannot be iterated. */
export function iterableOf(value: Value): Iterable<Value> | undefined {
  if (isText(value)) return textOf(value);
  if (Array.isArray(value)) return value;
  if (value instanceof Tuple) return value.items;
  if (value instanceof Dict) return value.keys();
  if (value instanceof View || value instanceof Range || value instanceof Iter) return value;
  return value instanceof Undefined ? [] : undefined;
}

/**
 * The items of a value.
 * @throws TemplateError if it cannot be iterated
 */
export function iterate(value: Value): Iterable<Value> {
  const values = iterableOf(value);
  if (values === undefined) throw new TemplateError(`'${typeName(value)}' object is not iterable`);
  return values;
}

/** A whole number that an index, width or count can be; a bool counts as one. */
export function indexOf(value: Value, what: string): number {
  if (typeof value === "boolean") return Number(value);
  if (typeof value === "number") return value;
  if (value instanceof Undefined) value.fail();
  if (typeof value === "bigint") throw new TemplateError(`${what}: the number ${value} is too large`);
  throw new TemplateError(`${what}: expected an integer, found '${typeName(value)}'`);
}

/** A str. */
export function stringOf(value: Value, what: string): string {
  if (isText(value)) return textOf(value);
  if (value instanceof Undefined) value.fail();
  throw new TemplateError(`${what}: expected a string, found '${typeName(value)}'`);
}
