/** Python's str.format and the language of its fields. */
import { isInt, isText, textOf, typeName } from "./basics.ts";
import { floatForm, padded } from "./digits.ts";
import { TemplateError } from "./errors.ts";
import { spendText } from "./limits.ts";
import { floatOf, numberOf } from "./numbers.ts";
import { size, sliceText } from "./points.ts";
import { escapeHtml, floatText, marked, repr, str } from "./text.ts";
import { type Args, type Float, type Int, Markup, type Value } from "./values.ts";

/** What a field's name and the rest of its path stand for. */
export interface Access {
  attribute(value: Value, name: string): Value;
  item(value: Value, key: Value): Value;
}

interface Fields {
  readonly args: Args;
  readonly access: Access;
  readonly escapes: boolean;
  /** Of the next field without a name. */
  next: number;
}

/** Python's str.format; the result is markup if the format is. */
export function formatText(format: string | Markup, args: Args, access: Access): string | Markup {
  const text = fill(textOf(format), { args, access, escapes: format instanceof Markup, next: 0 }, 2);
  spendText(text.length);
  return marked(text, format);
}

/** `depth`: fields may stand in the form of fields. */
function fill(source: string, fields: Fields, depth: number): string {
  if (depth < 0) throw new TemplateError("Max string recursion exceeded");
  let text = "";
  for (let i = 0; i < source.length; i++) {
    const unit = source[i]!;
    if (unit !== "{" && unit !== "}") text += unit;
    else if (source[i + 1] === unit) text += source[++i];
    else if (unit === "}") throw new TemplateError("Single '}' encountered in format string");
    else {
      const end = closing(source, i);
      text += field(source.slice(i + 1, end), fields, depth);
      i = end;
    }
  }
  return text;
}

function closing(source: string, open: number): number {
  for (let [i, level] = [open, 0]; i < source.length; i++) {
    if (source[i] === "{") level++;
    else if (source[i] === "}" && --level === 0) return i;
  }
  throw new TemplateError("expected '}' before end of string");
}

function field(inner: string, fields: Fields, depth: number): string {
  const match = /^((?:[^:![]|\[[^\]]*\])*)(?:!([^:]*))?(?::(.*))?$/s.exec(inner);
  if (!match) throw new TemplateError(`malformed field '${inner}' in format string`);
  const [, name, conversion, form] = match as unknown as [string, string, string?, string?];
  let value = lookup(name, fields);
  if (conversion !== undefined && !/^[rsa]$/.test(conversion)) {
    throw new TemplateError(`Unknown conversion specifier '${conversion}'`);
  }
  if (conversion) value = conversion === "s" ? str(value) : repr(value);
  const text = formatValue(value, form ? fill(form, fields, depth - 1) : "");
  return fields.escapes ? escapeHtml(value instanceof Markup ? new Markup(text) : text).text : text;
}

/** `0.name[key]`, `name`, or the next argument. */
function lookup(path: string, fields: Fields): Value {
  const first = /^[^.[]*/.exec(path)![0];
  const key = first === "" ? String(fields.next++) : first;
  let value = /^\d+$/.test(key) ? fields.args.list[Number(key)] : fields.args.named.get(key);
  if (value === undefined) {
    throw new TemplateError(/^\d+$/.test(key) ? `format: there is no argument ${key}` : `KeyError: '${key}'`);
  }
  for (const [, name, item] of path.slice(first.length).matchAll(/\.([^.[]+)|\[([^\]]+)\]/g)) {
    if (name !== undefined) value = fields.access.attribute(value, name);
    else value = fields.access.item(value, /^\d+$/.test(item!) ? Number(item) : item!);
  }
  return value;
}

/** [[fill]align][sign][#][0][width][grouping][.precision][type] */
const FORM = /^(?:(.)?([<>=^]))?([+\- ])?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([bcdeEfFgGnosxX%])?$/su;

/**
 * Python's format(value, form).
 * @throws TemplateError for an invalid form
 */
export function formatValue(value: Value, form: string): string {
  if (form === "") return str(value);
  const match = FORM.exec(form);
  if (!match) throw new TemplateError(`Invalid format specifier '${form}' for object of type '${typeName(value)}'`);
  const [, filler, align, sign, hash, zero, wide, group, precision, type] = match;
  const width = Number(wide ?? 0);
  spendText(width + Number(precision ?? 0));
  const number = isText(value) ? undefined : numberOf(value);
  if (number === undefined) {
    if (!isText(value) || (type && type !== "s") || align === "=" || sign || group || hash) {
      throw new TemplateError(`unsupported format string '${form}' for '${typeName(value)}'`);
    }
    const text = precision ? sliceText(textOf(value), 0, Number(precision)) : textOf(value);
    return aligned(text, width, filler ?? (zero ? "0" : " "), align ?? "<");
  }
  // A bool without a type is a number here.
  let text = grouped(numberText(number, type, precision, hash !== undefined), group, type);
  if (!text.startsWith("-") && sign && sign !== "-") text = sign + text;
  if (zero && !align) return padded(text, width, true, false);
  if (align !== "=") return aligned(text, width, filler ?? (zero ? "0" : " "), align ?? ">");
  const head = /^[+\- ]?(?:0[xXob])?/.exec(text)![0];
  return head + aligned(text.slice(head.length), width - head.length, filler ?? (zero ? "0" : " "), ">");
}

function numberText(number: Int | Float, type: string | undefined, precision: string | undefined, hash: boolean) {
  const digits = precision === undefined ? undefined : Number(precision);
  if (type === "%") return `${floatForm(floatOf(number) * 100, "f", digits ?? 6)}%`;
  if (isInt(number) && (type === undefined || "bcdnoxX".includes(type))) {
    if (digits !== undefined) throw new TemplateError("Precision not allowed in integer format specifier");
    if (type === "c") return String.fromCodePoint(Number(number));
    const radix = { b: 2, o: 8, x: 16, X: 16 }[type ?? ""] ?? 10;
    const text = (number < 0 ? -number : number).toString(radix);
    const whole = `${number < 0 ? "-" : ""}${hash && radix !== 10 ? `0${type!.toLowerCase()}` : ""}${text}`;
    return type === "X" ? whole.toUpperCase() : whole;
  }
  if (type && !"eEfFgGn".includes(type)) {
    throw new TemplateError(`Unknown format code '${type}' for object of type '${typeName(number)}'`);
  }
  const value = floatOf(number);
  if (type) return floatForm(value, type === "n" ? "g" : type, digits ?? 6, hash);
  if (digits === undefined) return floatText(value);
  const short = floatForm(value, "g", digits);
  return /[.en]/.test(short) ? short : `${short}.0`;
}

function grouped(text: string, group: string | undefined, type: string | undefined): string {
  if (!group) return text;
  const every = type && "boxX".includes(type) ? 4 : 3;
  return text.replace(/\d+|[\da-fA-F]+/, (digits) => {
    return digits.replace(new RegExp(`\\B(?=(?:[\\da-fA-F]{${every}})+$)`, "g"), group);
  });
}

function aligned(text: string, width: number, filler: string, align: string): string {
  const missing = Math.max(0, width - size(text));
  const left = align === "<" ? 0 : align === "^" ? missing >> 1 : missing;
  return filler.repeat(left) + text + filler.repeat(missing - left);
}
