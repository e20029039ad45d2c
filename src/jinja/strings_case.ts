/** Methods of Python's str about case, kinds of characters and width. */
import { indexOf, isInt, isText, stringOf, textOf } from "./basics.ts";
import { TemplateError } from "./errors.ts";
import { spendText } from "./limits.ts";
import { isPlain, size } from "./points.ts";
import { isSpace } from "./spaces.ts";
import type { Method } from "./strings.ts";
import { type Args, Dict, NONE, type Value } from "./values.ts";

/** Digraphs whose title case is not their upper case, each in its three cases: upper, title, lower. */
const DIGRAPHS = ["\u01c4\u01c5\u01c6", "\u01c7\u01c8\u01c9", "\u01ca\u01cb\u01cc", "\u01f1\u01f2\u01f3"];
const CASED = /[\p{Uppercase}\p{Lowercase}\p{Lt}]/u;
/** Characters that are digits but not decimals: superscripts, subscripts, circled and other enclosed digits. */
const DIGIT =
  /[\p{Nd}\u00b2\u00b3\u00b9\u1369-\u1371\u19da\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468\u2474-\u247c\u2488-\u2490\u24ea\u24f5-\u24fd\u24ff\u2776-\u277e\u2780-\u2788\u278a-\u2792]/u;
/** Numerals that are letters. */
const NUMERAL =
  /[\p{N}\u4e00\u4e8c\u4e09\u56db\u4e94\u516d\u4e03\u516b\u4e5d\u5341\u767e\u5343\u4e07\u842c\u5104\u3007\u96f6]/u;

function titleCase(character: string): string {
  const digraph = DIGRAPHS.find((cases) => cases.includes(character));
  if (digraph) return digraph[1]!;
  // Georgian has no title case.
  if (/[\u10d0-\u10ff]/.test(character)) return character;
  const [first = "", ...rest] = character.toUpperCase();
  return first + rest.join("").toLowerCase();
}

/** str.capitalize. */
export function capitalize(text: string): string {
  const [first = ""] = text;
  // A final sigma depends on what precedes it, so the whole text is lowered.
  return titleCase(first) + text.toLowerCase().slice(first.toLowerCase().length);
}

/** str.title, for which a word ends at every character without case. */
function title(text: string): string {
  const lower = text.toLowerCase();
  if (lower.length !== text.length || !isPlain(text)) return titleByPoint(text);
  let result = "";
  for (let i = 0; i < text.length; i++) result += i && CASED.test(text[i - 1]!) ? lower[i] : titleCase(text[i]!);
  return result;
}

function titleByPoint(text: string): string {
  let inside = false;
  let result = "";
  for (const character of text) {
    result += inside ? character.toLowerCase() : titleCase(character);
    inside = CASED.test(character);
  }
  return result;
}

function swapCase(text: string): string {
  return Array.from(text, (character) => {
    return /\p{Uppercase}/u.test(character) ? character.toLowerCase() : character.toUpperCase();
  }).join("");
}

function caseFold(text: string): string {
  // Compared in upper case, which distinguishes characters that expand to several letters.
  return Array.from(text, (character) => {
    return character === "\u0131" ? character : character.toUpperCase().toLowerCase();
  }).join("");
}

/** str.islower. */
export const isLower = (text: string) => !/[\p{Uppercase}\p{Lt}]/u.test(text) && /\p{Lowercase}/u.test(text);
/** str.isupper. */
export const isUpper = (text: string) => !/[\p{Lowercase}\p{Lt}]/u.test(text) && /\p{Uppercase}/u.test(text);

function isTitle(text: string): boolean {
  let [inside, any] = [false, false];
  for (const character of text) {
    const upper = /[\p{Uppercase}\p{Lt}]/u.test(character);
    const lower = !upper && /\p{Lowercase}/u.test(character);
    if ((upper && inside) || (lower && !inside)) return false;
    inside = upper || lower;
    any ||= inside;
  }
  return any;
}

/** Whether the text is not empty and all characters are of a kind. */
const all = (kind: (character: string) => boolean) => {
  return (text: string) => text !== "" && [...text].every(kind);
};
const isAlpha = (character: string) => /\p{L}/u.test(character);
const isNumeric = (character: string) => DIGIT.test(character) || NUMERAL.test(character);

/** Pads on both sides, or on one; as in Python, an odd space goes to the left if the width is odd. */
export function center(text: string, width: number, filler: string): string {
  const missing = Math.max(0, width - size(text));
  const left = (missing >> 1) + (missing & width & 1);
  return filler.repeat(left) + text + filler.repeat(missing - left);
}

const justifier = (put: (text: string, width: number, filler: string) => string): Method => {
  return (text, args, name) => {
    const [width, filler = " "] = args.take(name, ["width", "fillchar"], 1);
    const character = stringOf(filler, `${name}()`);
    if (size(character) !== 1) throw new TemplateError("The fill character must be exactly one character long");
    const wide = indexOf(width!, `${name}()`);
    spendText(Math.max(wide, text.length));
    return put(text, wide, character);
  };
};

/** A method without arguments. */
const plain = (change: (text: string) => Value): Method => {
  return (text, args, name) => {
    args.take(name, []);
    return change(text);
  };
};

function expandTabs(text: string, tab: number): string {
  let column = 0;
  let result = "";
  for (const character of text) {
    const spaces = tab > 0 ? tab - (column % tab) : 0;
    result += character === "\t" ? " ".repeat(spaces) : character;
    column = /[\n\r]/.test(character) ? 0 : column + (character === "\t" ? spaces : 1);
  }
  return result;
}

function translate(text: string, table: Value): string {
  if (!(table instanceof Dict)) throw new TemplateError("translate() needs a dict");
  return Array.from(text, (character) => {
    const found = table.get(character.codePointAt(0)!);
    if (found === undefined) return character;
    if (found === NONE) return "";
    return isInt(found) ? String.fromCodePoint(Number(found)) : stringOf(found, "translate()");
  }).join("");
}

function makeTable(args: Args): Dict {
  const [from, to, gone] = args.take("maketrans", ["x", "y", "z"], 1);
  const point = (text: string) => text.codePointAt(0)!;
  if (from instanceof Dict) {
    return new Dict(
      Array.from(from.entries(), ([key, value]) => [isText(key) ? point(textOf(key)) : key, value] as const),
    );
  }
  const [keys, values] = [from, to].map((value) => [...stringOf(value ?? NONE, "maketrans()")]);
  if (keys!.length !== values!.length) throw new TemplateError("maketrans(): the two texts differ in length");
  const table = new Dict(keys!.map((key, i) => [point(key), point(values![i]!)]));
  for (const character of gone === undefined ? "" : stringOf(gone, "maketrans()")) table.set(point(character), NONE);
  return table;
}

/** Methods of str about case, kinds of characters and width, by name. */
export const CASES: Readonly<Record<string, Method>> = {
  lower: plain((text) => text.toLowerCase()),
  upper: plain((text) => text.toUpperCase()),
  capitalize: plain(capitalize),
  title: plain(title),
  swapcase: plain(swapCase),
  casefold: plain(caseFold),
  islower: plain(isLower),
  isupper: plain(isUpper),
  istitle: plain(isTitle),
  isspace: plain(all(isSpace)),
  isalpha: plain(all(isAlpha)),
  isdecimal: plain(all((character) => /\p{Nd}/u.test(character))),
  isdigit: plain(all((character) => DIGIT.test(character))),
  isnumeric: plain(all(isNumeric)),
  isalnum: plain(all((character) => isAlpha(character) || isNumeric(character))),
  isascii: plain((text) => !/[^\0-\x7f]/.test(text)),
  isidentifier: plain((text) => /^[\p{XID_Start}_]\p{XID_Continue}*$/u.test(text)),
  isprintable: plain((text) => !/(?! )[\p{C}\p{Z}]/u.test(text)),
  center: justifier(center),
  ljust: justifier((text, width, filler) => text + filler.repeat(Math.max(0, width - size(text)))),
  rjust: justifier((text, width, filler) => filler.repeat(Math.max(0, width - size(text))) + text),
  zfill: (text, args, name) => {
    const width = indexOf(args.take(name, ["width"], 1)[0]!, "zfill()");
    spendText(Math.max(0, width));
    const sign = /^[+-]/.test(text) ? text[0]! : "";
    return sign + "0".repeat(Math.max(0, width - size(text))) + text.slice(sign.length);
  },
  expandtabs: (text, args, name) => {
    const tab = indexOf(args.take(name, ["tabsize"])[0] ?? 8, "expandtabs()");
    spendText(Math.max(0, tab) * text.length);
    return expandTabs(text, tab);
  },
  translate: (text, args, name) => translate(text, args.take(name, ["table"], 1)[0]!),
  maketrans: (_, args) => makeTable(args),
};
