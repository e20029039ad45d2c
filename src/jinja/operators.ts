import { indexOf, isInt, isText, textOf, typeName } from "./basics.ts";
import { TemplateError } from "./errors.ts";
import { checkText, spendItems, spendText } from "./limits.ts";
import { type Arithmetic, arithmetic, numberOf } from "./numbers.ts";
import { percent } from "./percent.ts";
import { escapeHtml } from "./text.ts";
import { Markup, Tuple, Undefined, type Value } from "./values.ts";

/**
 * An arithmetic operator on any values: numbers, texts, lists.
 * @throws TemplateError for types that it does not support
 */
export function binary(operator: Arithmetic, left: Value, right: Value): Value {
  if (operator === "%" && isText(left)) return percent(left, right);
  if (left instanceof Undefined) left.fail();
  if (right instanceof Undefined) right.fail();
  const [a, b] = [numberOf(left), numberOf(right)];
  if (a !== undefined && b !== undefined) return arithmetic(operator, a, b);
  const result = operator === "+" ? joined(left, right) : operator === "*" ? repeated(left, right) : undefined;
  if (result !== undefined) return result;
  throw new TemplateError(`unsupported operand type(s) for ${operator}: '${typeName(left)}' and '${typeName(right)}'`);
}

function joined(left: Value, right: Value): Value | undefined {
  if (isText(left) && isText(right)) {
    if (typeof left === "string" && typeof right === "string") return concat(left, right);
    return new Markup(concat(escapeHtml(left).text, escapeHtml(right).text));
  }
  if (Array.isArray(left) && Array.isArray(right)) {
    spendItems(left.length + right.length);
    return [...left, ...right];
  }
  if (!(left instanceof Tuple && right instanceof Tuple)) return undefined;
  spendItems(left.items.length + right.items.length);
  return new Tuple([...left.items, ...right.items]);
}

/** Engines join long texts without copying them, so only the length of the result counts. */
export function concat(left: string, right: string): string {
  checkText(left.length + right.length);
  return left + right;
}

function repeated(left: Value, right: Value): Value | undefined {
  if (isInt(left) || typeof left === "boolean") [left, right] = [right, left];
  if (!(isInt(right) || typeof right === "boolean")) return undefined;
  const count = Math.max(0, indexOf(right, "*"));
  if (isText(left)) {
    const text = textOf(left);
    spendText(text.length * count);
    return left instanceof Markup ? new Markup(text.repeat(count)) : text.repeat(count);
  }
  const items = Array.isArray(left) ? left : left instanceof Tuple ? left.items : undefined;
  if (!items) return undefined;
  spendItems(items.length * count);
  const all = Array.from({ length: items.length * count }, (_, i) => items[i % items.length]!);
  return Array.isArray(left) ? all : new Tuple(all);
}
