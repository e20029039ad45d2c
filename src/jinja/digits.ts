/** Numbers in a given form, as %, .format and |round share them. */
import { TemplateError } from "./errors.ts";

const MOST_DIGITS = 1000;

/** Whether a number is exactly halfway between two texts, of which this one is the upper. */
const isTie = (value: number, digits: number) => {
  if (digits >= 100) return false;
  const exact = value.toFixed(100);
  return /^0*$/.test(exact.slice(exact.indexOf(".") + digits + 2)) && exact.at(exact.indexOf(".") + digits + 1) === "5";
};

/** With `digits` digits after the point; ties go to the even digit, as in Python. */
export function fixed(value: number, digits: number): string {
  if (digits > MOST_DIGITS) throw new TemplateError(`at most ${MOST_DIGITS} digits, found ${digits}`);
  const size = Math.abs(value);
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  if (size >= 1e21) return sign + BigInt(size) + (digits ? `.${"0".repeat(digits)}` : "");
  let text = size.toFixed(Math.min(digits, 100));
  if (isTie(size, digits) && /[13579]$/.test(text)) text = below(text);
  return sign + text + "0".repeat(Math.max(0, digits - 100));
}

/** One less in the last digit, which is odd. */
const below = (text: string) => text.slice(0, -1) + (Number(text.at(-1)) - 1);

/** Like 1.5e-07. */
export function scientific(value: number, digits: number): string {
  const [mantissa, power] = value.toExponential(Math.min(digits, 100)).split("e") as [string, string];
  return `${Object.is(value, -0) ? "-" : ""}${mantissa}e${power[0]}${power.slice(1).padStart(2, "0")}`;
}

/** The shorter of the two, `digits` significant digits, zeros at the end removed unless `keep`. */
export function general(value: number, digits: number, keep: boolean): string {
  const most = digits || 1;
  const exponent = value === 0 ? 0 : Number(value.toExponential(Math.min(most - 1, 100)).split("e")[1]);
  const plain = exponent >= -4 && exponent < most;
  const text = plain ? fixed(value, most - 1 - exponent) : scientific(value, most - 1);
  if (keep) return text;
  const [head, tail] = text.split("e");
  const short = head!.includes(".") ? head!.replace(/\.?0+$/, "") : head!;
  return tail === undefined ? short : `${short}e${tail}`;
}

/** A float by a type letter (e, f, g, or % of .format); infinities and NaN are words. */
export function floatForm(value: number, type: string, precision: number, keep = false): string {
  const lower = type.toLowerCase();
  const text = Number.isFinite(value)
    ? finite(value, lower, precision, keep)
    : Number.isNaN(value)
      ? "nan"
      : value < 0
        ? "-inf"
        : "inf";
  return type === lower ? text : text.toUpperCase();
}

function finite(value: number, type: string, precision: number, keep: boolean): string {
  if (type === "e") return scientific(value, precision);
  return type === "g" ? general(value, precision, keep) : fixed(value, precision);
}

/** Pads with zeros or other characters between sign (and prefix) and digits. */
export function padded(text: string, width: number, zero: boolean, left: boolean): string {
  const missing = width - [...text].length;
  if (missing <= 0) return text;
  if (left) return text + " ".repeat(missing);
  if (!zero) return " ".repeat(missing) + text;
  const head = /^[+\- ]?(?:0[xXoObB])?/.exec(text)![0];
  return head + "0".repeat(missing) + text.slice(head.length);
}
