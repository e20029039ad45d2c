import { SplitPreTokenizer } from "@huggingface/tokenizers";
import type { Field } from "./field.ts";
import { writeOut } from "./unicode.ts";

/**
 * A `pattern` field, {"String": …} or {"Regex": …}, as a regular expression with the flags `gu`. Hugging Face's
 * expressions are Oniguruma's, whose \s, \w, \d, ^ and (?i:) differ from JavaScript's; the library rewrites them. The
 * characters of \p{…} and \w are those of our tables.
 */
export function compilePattern(field: Field): RegExp {
  const literal = field.get("String");
  if (literal.present) {
    const text = literal.string();
    if (text === "") literal.fail("at least one character");
    return new RegExp(escapeRegExp(text), "gu");
  }
  const source = field.get("Regex");
  if (!source.present) field.fail('{"String": …} or {"Regex": …}');
  try {
    const pattern = { Regex: withoutAtomic(withoutCase(withJavaScriptNames(source.string()))) };
    const config = { type: "Split", pattern, behavior: "Isolated", invert: false } as const;
    const translated = new SplitPreTokenizer(config as never).pattern;
    if (translated) return new RegExp(writeOut(translated.source), "gu");
  } catch {
    // Fall through: the library's messages name neither the file nor the field.
  }
  return source.fail("a regular expression that can be translated to JavaScript");
}

/** The source of a regular expression that matches a text literally. */
export function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
}

/** Oniguruma's names of properties that JavaScript lacks, in lower case, and the long names of general categories. */
const NAMES: Readonly<Record<string, string>> = {
  ...{ alpha: "Alphabetic", upper: "Uppercase", lower: "Lowercase", space: "White_Space", word: "Word" },
  ...{ digit: "Nd", punct: "P", cntrl: "Cc", letter: "L", uppercaseletter: "Lu", lowercaseletter: "Ll" },
  ...{ titlecaseletter: "Lt", modifierletter: "Lm", otherletter: "Lo", mark: "M", nonspacingmark: "Mn" },
  ...{
    spacingmark: "Mc",
    enclosingmark: "Me",
    number: "N",
    decimalnumber: "Nd",
    letternumber: "Nl",
    othernumber: "No",
  },
  ...{ punctuation: "P", connectorpunctuation: "Pc", dashpunctuation: "Pd", openpunctuation: "Ps" },
  ...{ closepunctuation: "Pe", initialpunctuation: "Pi", finalpunctuation: "Pf", otherpunctuation: "Po" },
  ...{ symbol: "S", mathsymbol: "Sm", currencysymbol: "Sc", modifiersymbol: "Sk", othersymbol: "So" },
  ...{ separator: "Z", spaceseparator: "Zs", lineseparator: "Zl", paragraphseparator: "Zp" },
  ...{ other: "C", control: "Cc", format: "Cf", surrogate: "Cs", privateuse: "Co", unassigned: "Cn" },
  ...{ alphabetic: "Alphabetic", uppercase: "Uppercase", lowercase: "Lowercase", whitespace: "White_Space" },
};

/** \p{^lu} → \P{Lu}: JavaScript's names, which are case-sensitive and have no "^". */
function withJavaScriptNames(source: string): string {
  return source.replace(/\\([pP])\{(\^?)([\w -]+)\}|\\./gsu, (text, sign?: string, not?: string, name = "") => {
    if (sign === undefined) return text;
    const words = name.toLowerCase().split(/[_ -]+/);
    const title = words.map((word: string) => word.replace(/^./, (first) => first.toUpperCase())).join("_");
    return `\\${(sign === "P") === (not === "^") ? "p" : "P"}{${NAMES[words.join("")] ?? title}}`;
  });
}

/**
 * A leading (?i) as a group. In such groups, in which the library lets ASCII letters match both cases, s and k also
 * match U+017F and U+212A. Characters that fold to several letters, as ß to ss, do not.
 */
function withoutCase(source: string): string {
  const whole = source.startsWith("(?i)") ? `(?i:${source.slice(4)})` : source;
  const groups: boolean[] = [];
  let classes = 0;
  const tokens = /\\[pPxu]\{[^}]*\}|\\.|\(\?i:|[()[\]]|a-z|A-Z|(?<![^\\]-)[sSkK](?!-[^\]])/gsu;
  return whole.replace(tokens, (text) => {
    const folds = groups.at(-1) ?? false;
    if (text === "[") classes++;
    else if (text === "]") classes = Math.max(0, classes - 1);
    else if (classes === 0 && text[0] === "(") groups.push(folds || text.length > 1);
    else if (classes === 0 && text === ")") groups.pop();
    else if (folds && classes > 0 && text.length === 3) return `${text}\u017f\u212a`;
    else if (folds && text.length === 1) {
      const both = text + (text.toLowerCase() === "s" ? "\u017f" : "\u212a");
      return classes > 0 ? both : `[${both}]`;
    }
    return text;
  });
}

const TOKEN =
  /\\[pPxu]\{[^}]*\}|\\k<[^>]*>|\\.|\(\?(?:<[=!]|<\w+>|[:=!>]|i:)|[?*+][+?]?|\{\d+(?:,\d*)?\}|\{,\d+\}|./gsuy;

/**
 * Possessive and atomic constructs, X++ and (?>X), as a group in a lookahead and a reference to it, which is the only
 * way in JavaScript. The library would let X backtrack.
 */
function withoutAtomic(source: string): string {
  let out = "";
  /** Where in `out` the last atom starts; -1: there is none. */
  let atom = -1;
  let count = 0;
  const groups: { readonly start: number; readonly atomic: boolean }[] = [];
  const once = (inner: string) => {
    count++;
    out = `${out.slice(0, atom)}(?:(?=(?<_${count}>${inner}))\\k<_${count}>)`;
  };
  for (let at = 0; at < source.length; ) {
    TOKEN.lastIndex = at;
    const text = source[at] === "[" ? source.slice(at, classEnd(source, at)) : (TOKEN.exec(source)?.[0] ?? "");
    at += text.length || 1;
    if (atom >= 0 && /^[?*+]\+$/.test(text)) once(out.slice(atom) + text[0]);
    else if (text[0] === "(") {
      groups.push({ start: out.length, atomic: text === "(?>" });
      out += text === "(?>" ? "(?:" : text;
      atom = -1;
    } else if (text === ")") {
      out += text;
      const group = groups.pop();
      atom = group?.start ?? -1;
      if (group?.atomic) once(out.slice(atom));
    } else {
      if (text === "|") atom = -1;
      else if (!/^(?:[?*+]|\{.+\}$)/.test(text)) atom = out.length;
      out += text;
    }
  }
  return out;
}

/**
 * The position after the character class that starts at `start`, which may contain others; the end of the source if it
 * is unclosed.
 */
function classEnd(source: string, start: number): number {
  let depth = 0;
  for (let at = start; at < source.length; at++) {
    if (source[at] === "\\") at++;
    else if (source[at] === "]" && --depth === 0) return at + 1;
    else if (source[at] === "[") {
      depth++;
      if (source[at + 1] === "^") at++;
      if (source[at + 1] === "]") at++; // a literal one
    }
  }
  return source.length;
}
