/** Jinja's filters on texts and numbers. */
import { indexOf, isText, isTrue, stringOf, textOf } from "./basics.ts";
import { fixed } from "./digits.ts";
import { TemplateError } from "./errors.ts";
import type { Filter } from "./evaluate.ts";
import { toJson } from "./json.ts";
import { spendText } from "./limits.ts";
import { arithmetic, floatOf, negative, numberOf, parseFloat_, parseInt_, truncated } from "./numbers.ts";
import { percent } from "./percent.ts";
import { size, sliceText } from "./points.ts";
import { splitLines, stripSpaces } from "./spaces.ts";
import { replace, split, strip } from "./strings.ts";
import { capitalize, center } from "./strings_case.ts";
import { escapeHtml, marked, softText, str } from "./text.ts";
import { Args, Dict, Float, type Int, Markup, NONE, Tuple, Undefined, type Value } from "./values.ts";

/** A filter without arguments that changes a text; markup stays markup. */
const change = (to: (text: string) => string): Filter => {
  return (value, args) => {
    args.take("filter", []);
    const text = softText(value);
    spendText(textOf(text).length);
    return marked(to(textOf(text)), text);
  };
};

/** Upper case for every word's first letter, lower case for all others. */
function title(text: string): string {
  return text
    .split(/([-\s({[<]+)/)
    .map((word) => {
      const [first = ""] = word;
      return first.toUpperCase() + word.slice(first.length).toLowerCase();
    })
    .join("");
}

function indent(value: Value, args: Args): Value {
  const [width = 4, first = false, blank = false] = args.take("indent", ["width", "first", "blank"]);
  const text = stringOf(value, "indent");
  const unit = isText(width) ? textOf(width) : " ".repeat(Math.max(0, indexOf(width, "indent")));
  const lines = splitLines(`${text}\n`);
  spendText(text.length + lines.length * unit.length);
  const indented = lines.map((line, i) => (i === 0 || (line === "" && !isTrue(blank)) ? line : unit + line));
  return marked((isTrue(first) ? unit : "") + indented.join("\n"), value);
}

function truncate(value: Value, args: Args): Value {
  const [length = 255, words = false, end = "...", leeway = 5] = args.take("truncate", [
    "length",
    "killwords",
    "end",
    "leeway",
  ]);
  const [text, tail] = [stringOf(value, "truncate"), stringOf(end, "truncate")];
  const most = indexOf(length, "truncate");
  const slack = leeway === NONE ? 5 : indexOf(leeway, "truncate");
  if (most < size(tail) || slack < 0) throw new TemplateError(`truncate: expected length >= ${size(tail)}`);
  if (size(text) <= most + slack) return value;
  const head = sliceText(text, 0, most - size(tail));
  return marked((isTrue(words) ? head : split(head, " ", 1, true)[0]!) + tail, value);
}

function replaced(value: Value, args: Args): Value {
  const [old, fresh, count = NONE] = args.take("replace", ["old", "new", "count"], 2);
  const most = count === NONE ? -1 : indexOf(count, "replace");
  return replace(str(value), str(old!), str(fresh!), most);
}

/** Python's int(), undefined where it fails. */
function toInt(value: Value, base: number): Int | undefined {
  if (isText(value)) {
    const text = stripSpaces(textOf(value));
    const float = () => parseFloat_(text);
    return parseInt_(text, base) ?? finite(float());
  }
  if (value instanceof Undefined) value.fail();
  const number = numberOf(value);
  if (!(number instanceof Float)) return number;
  return Number.isNaN(number.value) ? undefined : truncated(number.value);
}

const finite = (value: number | undefined) => {
  return value !== undefined && Number.isFinite(value) ? truncated(value) : undefined;
};

function int(value: Value, args: Args): Value {
  const [missing = 0, base = 10] = args.take("int", ["default", "base"]);
  return toInt(value, indexOf(base, "int")) ?? missing;
}

function float(value: Value, args: Args): Value {
  const [missing = new Float(0)] = args.take("float", ["default"]);
  if (value instanceof Undefined) value.fail();
  const number = isText(value) ? parseFloat_(stripSpaces(textOf(value))) : numberOf(value);
  if (number === undefined) return missing;
  return new Float(typeof number === "number" ? number : floatOf(number));
}

function round(value: Value, args: Args): Value {
  const [precision = 0, method = "common"] = args.take("round", ["precision", "method"]);
  if (value instanceof Undefined) value.fail();
  const number = numberOf(value);
  if (number === undefined) throw new TemplateError("round: expected a number");
  const digits = indexOf(precision, "round");
  if (method === "common") return common(number, digits);
  if (method !== "ceil" && method !== "floor") throw new TemplateError("method must be common, ceil or floor");
  const scale = arithmetic("**", 10, digits);
  const scaled = floatOf(arithmetic("*", number, scale));
  return arithmetic("/", truncated(method === "ceil" ? Math.ceil(scaled) : Math.floor(scaled)), scale);
}

/** Python's round(): ties go to even. */
function common(number: Int | Float, digits: number): Value {
  if (number instanceof Float) {
    if (!Number.isFinite(number.value)) return number;
    if (digits >= 0) return new Float(Number(fixed(number.value, digits)));
    const scale = 10 ** -digits;
    return new Float(Number(fixed(number.value / scale, 0)) * scale);
  }
  if (digits >= 0) return number;
  const scale = 10n ** BigInt(-digits);
  const [whole, rest] = [BigInt(number) / scale, BigInt(number) % scale];
  const double = (rest < 0n ? -rest : rest) * 2n;
  const up = double > scale || (double === scale && whole % 2n !== 0n);
  return arithmetic("+", 0, (whole + (up ? (number < 0 ? -1n : 1n) : 0n)) * scale);
}

function fileSize(value: Value, args: Args): Value {
  const [binaryUnits = false] = args.take("filesizeformat", ["binary"]);
  const bytes = floatOf(numberOf(float(value, new Args()))!);
  const base = isTrue(binaryUnits) ? 1024 : 1000;
  if (bytes === 1) return "1 Byte";
  if (bytes < base) return `${Math.trunc(bytes)} Bytes`;
  const prefixes = isTrue(binaryUnits)
    ? ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"]
    : ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
  const found = prefixes.findIndex((_, i) => bytes < base ** (i + 2));
  const i = found < 0 ? prefixes.length - 1 : found;
  return `${fixed((base * bytes) / base ** (i + 2), 1)} ${prefixes[i]}`;
}

function stripTags(text: string): string {
  const bare = text.replace(/<!--[\s\S]*?-->/g, "").replace(/<[^>]*>/g, "");
  const named: Record<string, string> = {
    "&amp;": "&",
    "&lt;": "<",
    "&gt;": ">",
    "&#34;": '"',
    "&quot;": '"',
    "&#39;": "'",
  };
  return (bare.match(/[^\s]+/g) ?? []).join(" ").replace(/&(?:amp|lt|gt|quot|#34|#39);/g, (entity) => named[entity]!);
}

/** Percent-encodes everything but letters, digits, - . _ ~ and /. */
const quote = (text: string, slash: boolean) => {
  const encoded = encodeURIComponent(text.toWellFormed()).replace(/[!'()*]/g, (character) => {
    return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
  });
  return slash ? encoded.replaceAll("%2F", "/") : encoded;
};

function urlEncode(value: Value): Value {
  if (isText(value) || !(value instanceof Dict || value instanceof Tuple || Array.isArray(value))) {
    return quote(str(value), true);
  }
  const pairs =
    value instanceof Dict ? Array.from(value.entries()) : (value instanceof Tuple ? value.items : value).map(pair);
  return pairs
    .map(([key, item]) => [key, item].map((part) => quote(str(part), false).replaceAll("%20", "+")).join("="))
    .join("&");
}

function pair(value: Value): readonly [Value, Value] {
  const items = value instanceof Tuple ? value.items : value;
  if (!Array.isArray(items) || items.length !== 2) throw new TemplateError("urlencode: expected pairs");
  return [items[0]!, items[1]!];
}

function attributes(value: Value, args: Args): Value {
  const [space = true] = args.take("xmlattr", ["autospace"]);
  if (!(value instanceof Dict)) throw new TemplateError("xmlattr: expected a mapping");
  const parts: string[] = [];
  for (const [key, item] of value.entries()) {
    if (item === NONE || item instanceof Undefined) continue;
    if (/[\s/>=]/.test(str(key))) throw new TemplateError(`invalid character in attribute name: '${str(key)}'`);
    parts.push(`${escapeHtml(key).text}="${escapeHtml(item).text}"`);
  }
  return (isTrue(space) && parts.length ? " " : "") + parts.join(" ");
}

/** Filters on texts and numbers, by name. */
export const TEXT_FILTERS: Readonly<Record<string, Filter>> = {
  upper: change((text) => text.toUpperCase()),
  lower: change((text) => text.toLowerCase()),
  capitalize: change(capitalize),
  title: change(title),
  trim: (value, args) => {
    const [chars = NONE] = args.take("trim", ["chars"]);
    const text = softText(value);
    spendText(textOf(text).length);
    return marked(strip(textOf(text), chars), text);
  },
  center: (value, args) => {
    const width = indexOf(args.take("center", ["width"])[0] ?? 80, "center");
    spendText(Math.max(0, width));
    return marked(center(str(value), width, " "), value);
  },
  string: softText,
  replace: replaced,
  indent,
  truncate,
  wordcount: (value) => str(value).match(/[\p{L}\p{N}_]+/gu)?.length ?? 0,
  escape: escapeHtml,
  e: escapeHtml,
  forceescape: (value) => escapeHtml(str(value)),
  safe: (value) => new Markup(str(value)),
  striptags: (value) => stripTags(str(value)),
  urlencode: urlEncode,
  xmlattr: attributes,
  tojson: toJson,
  format: (value, args) => {
    if (args.list.length && args.named.size) throw new TemplateError("format: expected positional or named arguments");
    const named = new Dict(args.named);
    return percent(softText(value), args.named.size ? named : new Tuple(args.list));
  },
  int,
  float,
  round,
  abs: (value) => {
    if (value instanceof Undefined) value.fail();
    const number = numberOf(value);
    if (number === undefined) throw new TemplateError("abs: expected a number");
    if (number instanceof Float) return new Float(Math.abs(number.value));
    return number < 0 ? negative(number) : number;
  },
  filesizeformat: fileSize,
};
