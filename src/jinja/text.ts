/** Values as text: Python's str() and repr(). */
import { isText, typeName } from "./basics.ts";
import { TemplateError } from "./errors.ts";
import { spend, spendText } from "./limits.ts";
import { Dict, Float, Markup, NONE, Range, Thing, Tuple, Undefined, type Value, View } from "./values.ts";

/** Python's str(value). */
export function str(value: Value): string {
  if (typeof value === "string") return value;
  if (value instanceof Undefined) return "";
  return value instanceof Markup ? value.text : repr(value);
}

/** Python's repr(value). */
export function repr(value: Value): string {
  spend();
  if (value === NONE) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  if (value instanceof Float) return floatText(value.value);
  if (typeof value === "string") return quoted(value);
  if (value instanceof Markup) return `Markup(${quoted(value.text)})`;
  if (value instanceof Undefined) return "Undefined";
  if (value instanceof Range) {
    return `range(${value.start}, ${value.stop}${value.step === 1 ? "" : `, ${value.step}`})`;
  }
  const open = (value instanceof Thing && value.repr) || container(value);
  // Python would write its address.
  if (open === undefined) throw new TemplateError(`a '${typeName(value)}' object has no text`);
  spendText(open.length);
  return open;
}

function container(value: Value): string | undefined {
  if (Array.isArray(value)) return `[${value.map(repr).join(", ")}]`;
  if (value instanceof Tuple) return `(${value.items.map(repr).join(", ")}${value.items.length === 1 ? "," : ""})`;
  if (value instanceof View) return `dict_${value.kind}([${Array.from(value, repr).join(", ")}])`;
  if (!(value instanceof Dict)) return undefined;
  return `{${Array.from(value.entries(), ([key, item]) => `${repr(key)}: ${repr(item)}`).join(", ")}}`;
}

/** The shortest digits that give the same number, as in Python. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf";
  const [digits, power] = value.toExponential().split("e") as [string, string];
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16) {
    return `${digits}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }
  const sign = Object.is(value, -0) ? "-" : "";
  // JavaScript writes 0.00001 as 1e-5, where Python uses an exponent as well.
  const plain = String(value);
  return sign + (/[.e]/.test(plain) ? plain : `${plain}.0`);
}

const ESCAPES: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\" };

function quoted(text: string): string {
  spendText(text.length);
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const inner = text.replace(/[\\'"]|(?! )[\p{C}\p{Z}]/gu, (character) => {
    if (character === "'" || character === '"') return character === quote ? `\\${character}` : character;
    return ESCAPES[character] ?? hexEscape(character.codePointAt(0)!);
  });
  return quote + inner + quote;
}

function hexEscape(point: number): string {
  const hex = point.toString(16);
  if (point < 0x100) return `\\x${hex.padStart(2, "0")}`;
  return point < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}

const HTML: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;" };

/** markupsafe.escape: markup is kept. */
export function escapeHtml(value: Value): Markup {
  if (value instanceof Markup) return value;
  const text = str(value);
  spendText(text.length);
  return new Markup(text.replace(/[&<>"']/g, (character) => HTML[character]!));
}

/** A str that is markup if `like` is. */
export function marked(text: string, like: Value): string | Markup {
  return like instanceof Markup ? new Markup(text) : text;
}

/** soft_str: markup stays markup. */
export function softText(value: Value): string | Markup {
  return isText(value) ? value : str(value);
}
