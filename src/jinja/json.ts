/** Python's json.dumps. */
import { isInt, isTrue, iterableOf, textOf, typeName } from "./basics.ts";
import { compareValues } from "./compare.ts";
import { TemplateError } from "./errors.ts";
import { spend, spendText } from "./limits.ts";
import { floatText } from "./text.ts";
import { type Args, Dict, Float, Markup, NONE, Tuple, type Value } from "./values.ts";

interface Style {
  readonly ascii: boolean;
  readonly sort: boolean;
  /** One level's; undefined: all on one line. */
  readonly indent: string | undefined;
  readonly comma: string;
  readonly colon: string;
}

/** The tojson of transformers: `ensure_ascii=False`, and no HTML escapes. */
export function toJson(value: Value, args: Args): string {
  const names = ["ensure_ascii", "indent", "separators", "sort_keys"];
  const [ascii, indent, separators, sort] = args.take("tojson", names);
  const unit = indentUnit(indent ?? NONE);
  const [comma, colon] = separators ? [...(iterableOf(separators) ?? [])] : [unit === undefined ? ", " : ",", ": "];
  if (typeof comma !== "string" || typeof colon !== "string") {
    throw new TemplateError("tojson(): expected two strings as separators");
  }
  return write(value, { ascii: isTrue(ascii ?? NONE), sort: isTrue(sort ?? NONE), indent: unit, comma, colon }, "\n");
}

function indentUnit(indent: Value): string | undefined {
  if (indent === NONE) return undefined;
  if (typeof indent === "string") return indent;
  const count = typeof indent === "boolean" ? Number(indent) : indent;
  if (typeof count !== "number") throw new TemplateError("tojson(): expected an integer or a string as indent");
  spendText(count);
  return " ".repeat(Math.max(0, count));
}

/** `line`: a line end and the indentation here. */
function write(value: Value, style: Style, line: string): string {
  spend();
  if (value === NONE) return "null";
  if (typeof value === "boolean" || isInt(value)) return String(value);
  if (typeof value === "string") return quoted(value, style);
  if (value instanceof Markup) return quoted(textOf(value), style);
  if (value instanceof Float) return number(value.value);
  if (Array.isArray(value)) return list(value, style, line);
  if (value instanceof Tuple) return list(value.items, style, line);
  if (!(value instanceof Dict)) throw new TemplateError(`Object of type ${typeName(value)} is not JSON serializable`);
  const inner = line + (style.indent ?? "");
  const entries = [...value.entries()];
  if (style.sort) entries.sort(([a], [b]) => compareValues(a, b));
  const members = entries.map(([key, item]) => {
    return `${quoted(keyText(key), style)}${style.colon}${write(item, style, inner)}`;
  });
  return enclosed("{", members, "}", style, line);
}

function list(values: readonly Value[], style: Style, line: string): string {
  const inner = line + (style.indent ?? "");
  return enclosed(
    "[",
    values.map((value) => write(value, style, inner)),
    "]",
    style,
    line,
  );
}

function enclosed(open: string, parts: readonly string[], close: string, style: Style, line: string): string {
  if (parts.length === 0) return open + close;
  if (style.indent === undefined) return open + parts.join(style.comma) + close;
  const inner = line + style.indent;
  return open + inner + parts.join(style.comma + inner) + line + close;
}

function number(value: number): string {
  if (Number.isFinite(value)) return floatText(value);
  return Number.isNaN(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity";
}

function keyText(key: Value): string {
  if (typeof key === "string") return key;
  if (key === NONE) return "null";
  if (typeof key === "boolean" || isInt(key)) return String(key);
  if (key instanceof Float) return number(key.value);
  throw new TemplateError(`keys must be str, int, float, bool or None, not ${typeName(key)}`);
}

function quoted(text: string, style: Style): string {
  spendText(text.length);
  const json = JSON.stringify(text);
  if (!style.ascii) return json;
  return json.replace(/[\u007f-\uffff]/g, (unit) => {
    return unit === "\x7f" ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
