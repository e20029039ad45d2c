/** Python's ==, <, in and `is`. */
import { isText, iterate, textOf, typeName } from "./basics.ts";
import { TemplateError } from "./errors.ts";
import { spend, spendText } from "./limits.ts";
import { numberOf } from "./numbers.ts";
import { isPlain } from "./points.ts";
import { Dict, Float, type Int, Range, Tuple, Undefined, type Value, View } from "./values.ts";

/** Python's ==. */
export function equal(left: Value, right: Value): boolean {
  if (left === right) return true;
  if (isText(left)) return isText(right) && textOf(left) === textOf(right);
  const [a, b] = [numberOf(left), numberOf(right)];
  if (a !== undefined) return b !== undefined && order(a, b) === 0;
  if (left instanceof Undefined) return right instanceof Undefined;
  if (Array.isArray(left)) return Array.isArray(right) && sameItems(left, right);
  if (left instanceof Tuple) return right instanceof Tuple && sameItems(left.items, right.items);
  if (left instanceof Range) return right instanceof Range && sameItems([...left], [...right]);
  if (left instanceof View && left.kind !== "values" && right instanceof View && left.kind === right.kind) {
    return equal(left.dict, right.dict);
  }
  if (!(left instanceof Dict && right instanceof Dict) || left.size !== right.size) return false;
  for (const [key, value] of left.entries()) {
    spend();
    const other = right.get(key);
    if (other === undefined || !equal(value, other)) return false;
  }
  return true;
}

function sameItems(left: readonly Value[], right: readonly Value[]): boolean {
  spend(1 + left.length);
  return left.length === right.length && left.every((value, i) => equal(value, right[i]!));
}

const raw = (value: Int | Float) => (value instanceof Float ? value.value : value);

/** Negative, 0, positive; NaN where there is no order. */
function order(left: Int | Float, right: Int | Float): number {
  const [a, b] = [raw(left), raw(right)];
  return a < b ? -1 : a > b ? 1 : a <= b ? 0 : Number.NaN;
}

/** Negative, 0, positive; NaN where there is no order. @throws TemplateError for what cannot be compared */
export function compareValues(left: Value, right: Value, operator = "<"): number {
  spend();
  if (left instanceof Undefined) left.fail();
  if (right instanceof Undefined) right.fail();
  const [a, b] = [numberOf(left), numberOf(right)];
  if (a !== undefined && b !== undefined) return order(a, b);
  if (isText(left) && isText(right)) return compareTexts(textOf(left), textOf(right));
  if (Array.isArray(left) && Array.isArray(right)) return compareItems(left, right, operator);
  if (left instanceof Tuple && right instanceof Tuple) return compareItems(left.items, right.items, operator);
  throw new TemplateError(
    `'${operator}' not supported between instances of '${typeName(left)}' and '${typeName(right)}'`,
  );
}

/** By code points. */
function compareTexts(left: string, right: string): number {
  if (left === right) return 0;
  if (isPlain(left) && isPlain(right)) return left < right ? -1 : 1;
  const [a, b] = [[...left], [...right]];
  const i = a.findIndex((character, at) => character !== b[at]);
  if (i < 0) return -1;
  return (a[i]!.codePointAt(0) as number) - (b[i]?.codePointAt(0) ?? -1);
}

function compareItems(left: readonly Value[], right: readonly Value[], operator: string): number {
  for (const [i, value] of left.entries()) {
    if (i >= right.length) return 1;
    if (!equal(value, right[i]!)) return compareValues(value, right[i]!, operator);
  }
  return left.length - right.length;
}

/** `needle in haystack`. */
export function contains(haystack: Value, needle: Value): boolean {
  if (isText(haystack)) {
    if (needle instanceof Undefined) throw new TemplateError(needle.hint);
    if (!isText(needle)) {
      throw new TemplateError(`'in <string>' requires string as left operand, not ${typeName(needle)}`);
    }
    const text = textOf(haystack);
    spendText(text.length);
    return text.includes(textOf(needle));
  }
  if (haystack instanceof Dict) return haystack.get(needle) !== undefined;
  for (const value of iterate(haystack)) {
    spend();
    if (equal(value, needle)) return true;
  }
  return false;
}

/** Python's `is`: equal numbers and texts count as the same. */
export function same(left: Value, right: Value): boolean {
  if (left instanceof Float && right instanceof Float) return Object.is(left.value, right.value);
  return left === right;
}
