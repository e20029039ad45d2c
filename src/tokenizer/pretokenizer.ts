import { bytesToChars } from "./bytelevel.ts";
import type { Field } from "./field.ts";
import { compilePattern, escapeRegExp } from "./pattern.ts";
import { byText, numeric, punctuation, unicode, WORD } from "./unicode.ts";

/** Splits normalized text into the pieces that merges do not cross. `first`: the piece starts the whole text. */
export type PreTokenizer = (text: string, first: boolean) => string[];

const KNOWN = [
  "Sequence",
  "ByteLevel",
  "Split",
  "Digits",
  "Punctuation",
  "Metaspace",
  "Whitespace",
  "WhitespaceSplit",
  "BertPreTokenizer",
] as const;

const BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"] as const;
type Behavior = (typeof BEHAVIORS)[number];

// \p{White_Space} and not \s, which in JavaScript contains U+FEFF and lacks U+0085.
const GPT2_WORDS =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\p{White_Space}\\p{L}\\p{N}]+|\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+";

/** The `pre_tokenizer` of a tokenizer.json; null and missing leave text in one piece. */
export function compilePreTokenizer(field: Field): PreTokenizer {
  if (!field.present) return (text) => [text];
  const type = field.get("type").oneOf(KNOWN);
  switch (type) {
    case "Sequence": {
      const steps = field.get("pretokenizers").array().map(compilePreTokenizer);
      return (text, first) =>
        steps.reduce((pieces, step) => pieces.flatMap((piece, i) => step(piece, first && i === 0)), [text]);
    }
    case "ByteLevel": {
      const prefix = field.get("add_prefix_space").flag(true);
      const words = field.get("use_regex").flag(true) ? byText(GPT2_WORDS, () => unicode(GPT2_WORDS)) : undefined;
      return (text) => {
        const spaced = prefix && !text.startsWith(" ") ? ` ${text}` : text;
        return (words ? split(spaced, words(spaced), "Isolated", false) : [spaced]).map(bytesToChars);
      };
    }
    case "Split": {
      const pattern = compilePattern(field.get("pattern"));
      const behavior = field.get("behavior").oneOf(BEHAVIORS);
      const invert = field.get("invert").flag(false);
      return (text) => split(text, pattern, behavior, invert);
    }
    case "Digits": {
      const behavior = field.get("individual_digits").flag(false) ? "Isolated" : "Contiguous";
      const digits = byText("[0-9]", numeric);
      return (text) => split(text, digits(text), behavior, false);
    }
    case "Punctuation": {
      const behavior = field.get("behavior");
      const kind = behavior.present ? behavior.oneOf(BEHAVIORS) : "Isolated";
      const signs = punctuation();
      return (text) => split(text, signs, kind, false);
    }
    case "Metaspace":
      return metaspace(field);
    case "Whitespace": {
      const words = unicode(`[${WORD}]+|[^${WORD}\\p{White_Space}]+`);
      return (text) => text.match(words) ?? [];
    }
    case "WhitespaceSplit":
      return words;
    case "BertPreTokenizer": {
      const signs = punctuation();
      return (text) => words(text).flatMap((word) => split(word, signs, "Isolated", false));
    }
  }
}

const words = (text: string): string[] => text.match(/\P{White_Space}+/gu) ?? [];

/** When Metaspace prepends a space to a text; `add_prefix_space` is the key in older files. */
export function prependScheme(field: Field): "always" | "first" | "never" {
  const scheme = field.get("prepend_scheme");
  if (scheme.present) return scheme.oneOf(["always", "first", "never"]);
  return field.get("add_prefix_space").flag(true) ? "always" : "never";
}

function metaspace(field: Field): PreTokenizer {
  const mark = field.get("replacement").character();
  const scheme = prependScheme(field);
  const words = field.get("split").flag(true);
  const pattern = new RegExp(escapeRegExp(mark), "gu");
  return (text, first) => {
    const marked = text.replaceAll(" ", () => mark);
    const prepend = !marked.startsWith(mark) && (scheme === "always" || (scheme === "first" && first));
    const whole = prepend ? mark + marked : marked;
    return words ? split(whole, pattern, "MergedWithNext", false) : [whole];
  };
}

/** Hugging Face's five ways to split a text at the matches of a pattern; empty pieces are dropped. */
export function split(text: string, pattern: RegExp, behavior: Behavior, invert: boolean): string[] {
  // [start, end) and whether it is a delimiter, covering the whole text
  const spans: [start: number, end: number, delimiter: boolean][] = [];
  let at = 0;
  // Not matchAll, which compiles the expression anew: with our classes its source has about 40 kB.
  pattern.lastIndex = 0;
  for (let found = pattern.exec(text); found; found = pattern.exec(text)) {
    const { 0: match, index } = found;
    if (match === "") {
      pattern.lastIndex += (text.codePointAt(index) ?? 0) > 0xffff ? 2 : 1;
      continue;
    }
    if (index > at) spans.push([at, index, invert]);
    at = index + match.length;
    spans.push([index, at, !invert]);
  }
  if (at < text.length) spans.push([at, text.length, invert]);

  const pieces: [start: number, end: number][] = [];
  let before = false;
  switch (behavior) {
    case "Isolated":
      for (const [start, end] of spans) pieces.push([start, end]);
      break;
    case "Removed":
      for (const [start, end, delimiter] of spans) if (!delimiter) pieces.push([start, end]);
      break;
    case "Contiguous":
    case "MergedWithPrevious":
      for (const [start, end, delimiter] of spans) {
        const join = behavior === "Contiguous" ? delimiter === before : delimiter && !before;
        const last = pieces.at(-1);
        if (join && last) last[1] = end;
        else pieces.push([start, end]);
        before = delimiter;
      }
      break;
    case "MergedWithNext":
      for (const [start, end, delimiter] of spans.reverse()) {
        const next = pieces.at(-1);
        if (delimiter && !before && next) next[0] = start;
        else pieces.push([start, end]);
        before = delimiter;
      }
      pieces.reverse();
  }
  return pieces.map(([start, end]) => text.slice(start, end));
}
