/** Python's `format % values`. */
import { isInt, isText, textOf, typeName } from "./basics.ts";
import { floatForm, padded } from "./digits.ts";
import { TemplateError } from "./errors.ts";
import { spendText } from "./limits.ts";
import { floatOf, numberOf, truncated } from "./numbers.ts";
import { size, sliceText } from "./points.ts";
import { escapeHtml, marked, repr, str } from "./text.ts";
import { Dict, Float, Markup, Range, Tuple, Undefined, type Value } from "./values.ts";

interface Field {
  readonly flags: string;
  readonly width: number;
  readonly precision: number | undefined;
  readonly type: string;
}

/** Python's `format % values`; the result is markup if the format is. */
export function percent(format: string | Markup, values: Value): string | Markup {
  const source = textOf(format);
  spendText(source.length);
  const list = values instanceof Tuple ? values.items : [values];
  let used = 0;
  const next = () => {
    if (used >= list.length) throw new TemplateError("not enough arguments for format string");
    return list[used++]!;
  };
  const number = (text: string | undefined) => (text === "*" ? Number(next()) : text ? Number(text) : undefined);
  const form = /%(?:\(([^)]*)\))?([#0\- +]*)(\*|\d+)?(?:\.(\*|\d+)?)?[hlL]?(.|$)/gsu;
  const text = source.replace(
    form,
    (whole, key?: string, flags = "", width?: string, precision?: string, type = "") => {
      if (type === "%") return "%";
      const dot = /\.[\d*]*[hlL]?.?$/u.test(whole);
      const [wide, digits] = [number(width) ?? 0, number(precision) ?? (dot ? 0 : undefined)];
      const value = key === undefined ? next() : member(values, key);
      const escaped = format instanceof Markup && !numberOf(value) ? escapeHtml(value) : value;
      spendText(Math.abs(wide) + (digits ?? 0));
      return field(escaped, { flags, width: wide, precision: digits, type });
    },
  );
  // Python treats everything with items as a mapping.
  const mapping = Array.isArray(values) || [Dict, Range, Undefined].some((type) => values instanceof type);
  if (used < list.length && !mapping) {
    throw new TemplateError("not all arguments converted during string formatting");
  }
  spendText(text.length);
  return marked(text, format);
}

function member(values: Value, key: string): Value {
  if (!(values instanceof Dict)) throw new TemplateError("format requires a mapping");
  const value = values.get(key);
  if (value === undefined) throw new TemplateError(`KeyError: '${key}'`);
  return value;
}

function field(value: Value, { flags, width, precision, type }: Field): string {
  const left = flags.includes("-") || width < 0;
  const zero = flags.includes("0") && !left;
  if (type === "s" || type === "r" || type === "a") {
    const text = type === "s" ? str(value) : repr(value);
    return padded(precision === undefined ? text : sliceText(text, 0, precision), Math.abs(width), false, left);
  }
  if (type === "c") return padded(character(value), Math.abs(width), false, left);
  const number = numberOf(value);
  if (number === undefined || type === "" || !"diouxXeEfFgG".includes(type)) {
    if (type && "diouxXeEfFgG".includes(type)) {
      throw new TemplateError(`%${type} format: a number is required, not ${typeName(value)}`);
    }
    throw new TemplateError(type ? `unsupported format character '${type}'` : "incomplete format");
  }
  let text: string;
  if ("eEfFgG".includes(type)) text = floatForm(floatOf(number), type, precision ?? 6, flags.includes("#"));
  else text = wholeForm(number, type, precision ?? 0, flags.includes("#"));
  if (!text.startsWith("-")) text = (flags.includes("+") ? "+" : flags.includes(" ") ? " " : "") + text;
  return padded(text, Math.abs(width), zero, left);
}

function wholeForm(number: ReturnType<typeof numberOf> & {}, type: string, precision: number, prefix: boolean): string {
  if (number instanceof Float && !"diu".includes(type)) {
    throw new TemplateError(`%${type} format: an integer is required, not float`);
  }
  const whole = number instanceof Float ? truncated(number.value) : number;
  const radix = { o: 8, x: 16, X: 16 }[type] ?? 10;
  const digits = (whole < 0 ? -whole : whole).toString(radix).padStart(precision, "0");
  const text = `${whole < 0 ? "-" : ""}${prefix && radix !== 10 ? `0${type.toLowerCase()}` : ""}${digits}`;
  return type === "X" ? text.toUpperCase() : text;
}

function character(value: Value): string {
  if (isText(value) && size(textOf(value)) === 1) return textOf(value);
  if (isInt(value) && value >= 0 && value < 0x110000) return String.fromCodePoint(Number(value));
  throw new TemplateError("%c requires int or char");
}
