/** `value.name` and `value[key]`, as the sandbox exposes them. */
import { describe, indexOf, isInt, isText, lengthOf, textOf, typeName } from "./basics.ts";
import { TemplateError } from "./errors.ts";
import { formatText } from "./format.ts";
import { spendItems } from "./limits.ts";
import { methodOf } from "./methods.ts";
import { isPlain, sliceIndices, sliceText, unitOf } from "./points.ts";
import { marked, repr, str } from "./text.ts";
import { Args, Dict, Fn, type Markup, NONE, Range, Thing, Tuple, Undefined, type Value } from "./values.ts";

/** The bounds of a slice, None where omitted. */
export interface Slice {
  readonly start: Value;
  readonly stop: Value;
  readonly step: Value;
}

/** Jinja's `value.name`: Python's attribute, else the item of that name, else undefined. */
export function getAttribute(value: Value, name: string): Value {
  if (value instanceof Undefined) value.fail();
  return attributeOf(value, name) ?? itemOf(value, name) ?? missing(value, name);
}

/** Jinja's `value[key]`: the item, else the attribute of that name, else undefined. */
export function getItem(value: Value, key: Value): Value {
  if (value instanceof Undefined) value.fail();
  const item = itemOf(value, key);
  if (item !== undefined) return item;
  return (isText(key) ? attributeOf(value, textOf(key)) : undefined) ?? missing(value, key);
}

function missing(value: Value, key: Value): Undefined {
  if (isText(key)) return new Undefined(`${describe(value)} has no attribute '${textOf(key)}'`);
  return new Undefined(`${describe(value)} has no element ${repr(key)}`);
}

/**
 * Python's attribute; undefined if there is none. What the sandbox forbids gives an Undefined that fails when it is
 * used.
 */
export function attributeOf(value: Value, name: string): Value | undefined {
  if (/^__\w+__$/.test(name)) return forbidden(value, name);
  if (value instanceof Thing) return value.attribute(name);
  if (value instanceof Tuple && value.names.includes(name)) return value.items[value.names.indexOf(name)];
  if (isText(value) && (name === "format" || name === "format_map")) return formatter(value, name);
  return methodOf(value, name);
}

function formatter(format: string | Markup, name: string): Fn {
  const access = { attribute: getAttribute, item: getItem };
  return new Fn(name, (args) => {
    if (name === "format") return formatText(format, args, access);
    const [mapping] = args.take(name, ["mapping"], 1);
    if (!(mapping instanceof Dict)) throw new TemplateError("format_map() needs a mapping");
    const named = Array.from(mapping.entries(), ([key, value]) => [str(key), value] as const);
    return formatText(format, new Args([], new Map(named)), access);
  });
}

/** The value of an attribute that the sandbox forbids: an error when it is used. */
export function forbidden(value: Value, name: string): Undefined {
  return new Undefined(`access to attribute '${name}' of '${typeName(value)}' object is unsafe`);
}

function itemOf(value: Value, key: Value): Value | undefined {
  if (value instanceof Dict) return Array.isArray(key) || key instanceof Dict ? undefined : value.get(key);
  if (!(isInt(key) || typeof key === "boolean")) return undefined;
  const length = lengthOf(value);
  if (length === undefined || value instanceof Undefined) return undefined;
  const at = Number(key) < 0 ? Number(key) + length : Number(key);
  if (!(at >= 0 && at < length)) return undefined;
  if (Array.isArray(value)) return value[at];
  if (value instanceof Tuple) return value.items[at];
  if (value instanceof Range) return value.start + at * value.step;
  if (!isText(value)) return undefined;
  const text = textOf(value);
  const unit = unitOf(text, at);
  return marked(isPlain(text) ? text[unit]! : String.fromCodePoint(text.codePointAt(unit)!), value);
}

/** `value[start:stop:step]`. @throws TemplateError for what has no slices */
export function getSlice(value: Value, slice: Slice): Value {
  if (value instanceof Undefined) value.fail();
  const [start, stop, step = 1] = [slice.start, slice.stop, slice.step].map((part) => {
    return part === NONE ? undefined : indexOf(part, "slice");
  });
  if (step === 0) throw new TemplateError("slice step cannot be zero");
  if (isText(value)) return marked(sliceText(textOf(value), start, stop, step), value);
  if (value instanceof Range) {
    const [from, to] = sliceBounds(value, start, stop, step);
    return new Range(value.start + from * value.step, value.start + to * value.step, value.step * step);
  }
  const items = Array.isArray(value) ? value : value instanceof Tuple ? value.items : undefined;
  if (!items) throw new TemplateError(`${describe(value)} has no slices`);
  spendItems(items.length);
  const picked = Array.from(sliceIndices(items.length, start, stop, step), (i) => items[i]!);
  return Array.isArray(value) ? picked : new Tuple(picked);
}

function sliceBounds(range: Range, start: number | undefined, stop: number | undefined, step: number) {
  const indices = [...sliceIndices(range.length, start, stop, step)];
  const from = indices[0] ?? 0;
  return [from, from + indices.length * step] as const;
}
