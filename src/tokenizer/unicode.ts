/**
 * Characters as the reference, Hugging Face's library `tokenizers`, sees them, so that ids are the same on every host:
 * hosts implement Unicode 15.1 to 17 and newer, the parts of the reference Unicode 8 to 17, each its own version.
 */
import {
  ACCENT,
  ALPHABETIC,
  BERT_CONTROL,
  CATEGORY_RUNS,
  LOWERCASE,
  NONSPACING,
  NUMERIC,
  PUNCTUATION,
  SCRIPTS,
  UNKNOWN_TO_FORMS,
  UPPERCASE,
  YOUNG_CASES,
} from "./unicode_tables.ts";

type Range = readonly [first: number, last: number];

const LAST = 0x10ffff;
/** General categories in the order of their signs in CATEGORY_RUNS (SIGNS); alternating Lu and Ll come last. */
const CATEGORIES =
  "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn LuLl LlLu".split(" ");
const SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%&(";

/** Ranges in the notation of unicode_tables.ts. */
function ranges(steps: string): Range[] {
  let at = 0;
  return steps.split(" ").map((step) => {
    const [gap = "", more = "0"] = step.split(",");
    const first = at + Number.parseInt(gap, 36);
    at = first + Number.parseInt(more, 36) + 1;
    return [first, at - 1];
  });
}

/** Sorted, and joined where adjacent. A code point in an even number of `sets` is left out. */
function oddOnes(...sets: readonly (readonly Range[])[]): Range[] {
  const edges = sets.flatMap((set) => set.flatMap(([first, last]) => [first, last + 1])).sort((a, b) => a - b);
  const kept: number[] = [];
  for (const edge of edges) {
    if (kept.at(-1) === edge) kept.pop();
    else kept.push(edge);
  }
  return Array.from({ length: kept.length / 2 }, (_, i) => [kept[2 * i] as number, (kept[2 * i + 1] as number) - 1]);
}

let categories: ReadonlyMap<string, readonly Range[]> | undefined;

/** General category → its ranges. */
function readCategories(): ReadonlyMap<string, readonly Range[]> {
  const found = new Map(CATEGORIES.slice(0, -2).map((name) => [name, [] as Range[]]));
  let at = 0;
  for (const [, sign = "", digits] of CATEGORY_RUNS.matchAll(/([^0-9a-z])([0-9a-z]*)/g)) {
    const length = digits ? Number.parseInt(digits, 36) : 1;
    const name = CATEGORIES[SIGNS.indexOf(sign)] ?? "";
    if (name.length === 2) found.get(name)?.push([at, at + length - 1]);
    for (let i = 0; name.length > 2 && i < length; i++) {
      found.get(name.slice((2 * i) % 4, ((2 * i) % 4) + 2))?.push([at + i, at + i]);
    }
    at += length;
  }
  return found;
}

/** The ranges of a general category, or of all with this prefix. */
function category(name: string): Range[] {
  categories ??= readCategories();
  return [...categories].flatMap(([key, found]) => (key.startsWith(name) ? found : []));
}

/** The ranges of a property of regular expressions, by JavaScript's short name. */
function propertyRanges(name: string): Range[] | undefined {
  switch (name) {
    case "Alphabetic":
      return oddOnes(category("L"), category("Nl"), category("M"), ranges(ALPHABETIC));
    case "Uppercase":
      return oddOnes(category("Lu"), ranges(UPPERCASE));
    case "Lowercase":
      return oddOnes(category("Ll"), ranges(LOWERCASE));
  }
  const script = SCRIPTS[name.replace("Script=", "")];
  if (script !== undefined) return ranges(script);
  const found = name.length <= 2 ? oddOnes(category(name)) : [];
  return found.length > 0 ? found : undefined;
}

const show = (code: number) => `\\u{${code.toString(16)}}`;
const content = (set: readonly Range[]) => set.map(([first, last]) => `${show(first)}-${show(last)}`).join("");

/** Property, optionally prefixed by "^" → its expansion inside [ ]; undefined: left to the host. */
const contents = new Map<string, string | undefined>();

function contentOf(name: string, outside: boolean): string | undefined {
  const key = outside ? `^${name}` : name;
  if (!contents.has(key)) {
    const set = propertyRanges(name);
    contents.set(key, set && content(outside ? oddOnes(set, [[0, LAST]]) : set));
  }
  return contents.get(key);
}

/**
 * A JavaScript expression with its \p{…} expanded from the tables. White_Space is kept, which has not changed since
 * Unicode 6.3, and so are properties that no published tokenizer uses: scripts other than those of SCRIPTS, emoji.
 */
export function writeOut(source: string): string {
  let inside = false;
  return source.replace(/\\[pP]\{([^}]*)\}|\\.|[[\]]/gs, (text, name: string | undefined) => {
    if (name === undefined) {
      if (text === "[" || text === "]") inside = text === "[";
      return text;
    }
    const found = contentOf(name, text[1] === "P");
    if (found === undefined) return text;
    return inside ? found : `[${found}]`;
  });
}

const ASCII = /^[\0-\x7f]*$/;

/**
 * A regular expression that is the same for a text of ASCII alone in the host's own classes, `plain`, of which all hosts
 * know the same, and otherwise `exact`, which takes long to make: it has tens of kB.
 */
export function byText(plain: string, exact: () => RegExp): (text: string) => RegExp {
  let ascii: RegExp | undefined;
  let whole: RegExp | undefined;
  return (text) => {
    if (!ASCII.test(text)) return (whole ??= exact());
    return (ascii ??= new RegExp(plain, "gu"));
  };
}

/** The same as a regular expression. */
export const unicode = (source: string, flags = "gu") => new RegExp(writeOut(source), flags);

/** Inside [ ]: the meaning of \w in Rust's regular expressions. */
export const WORD = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}";

const classOf = (group: string, differences: string) =>
  new RegExp(`[${content(oddOnes(category(group), ranges(differences)))}]`, "gu");

/** The characters that Digits, Punctuation and StripAccents match, which have tables of their own. */
export const numeric = () => classOf("N", NUMERIC);
/** The class of punctuation, inside [ ]. */
export const punctuation = () => classOf("P", PUNCTUATION);
/** The class of combining marks, inside [ ]. */
export const accent = () => classOf("M", ACCENT);

/** The marks that BertNormalizer strips. */
export const nonspacing = () => classOf("Mn", NONSPACING);
/** The characters that it cleans away. */
export const bertControl = () =>
  new RegExp(`[${content(oddOnes(...["Cc", "Cf", "Co"].map(category), ranges(BERT_CONTROL)))}]`, "gu");

/**
 * What normalization forms apply to: runs of characters that the reference's tables know. Others are kept, and separate
 * the runs.
 */
export const known = () => new RegExp(`[^${content([...category("Cn"), ...ranges(UNKNOWN_TO_FORMS)])}]+`, "gu");

/**
 * Lower case, character by character: Σ becomes σ everywhere, even at the end of a word (Rust's char::to_lowercase).
 */
export function lowerCase(): (text: string) => string {
  const own = new Map([["Σ", "σ"]]);
  for (const [first, last, distance] of YOUNG_CASES) {
    for (let code = first; code <= last; code++)
      own.set(String.fromCodePoint(code), String.fromCodePoint(code + distance));
  }
  const keys = [...own.keys()].join("");
  const mine = new RegExp(`[${keys}]`, "gu");
  const hosts = new RegExp(`[^${keys}${content(category("Cn"))}]+`, "gu");
  return (text) =>
    text.replace(hosts, (run) => run.toLowerCase()).replace(mine, (character) => own.get(character) as string);
}
