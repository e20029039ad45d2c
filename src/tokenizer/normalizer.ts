import { compileBertNormalizer } from "./bert.ts";
import type { Field } from "./field.ts";
import { compilePattern } from "./pattern.ts";
import { compilePrecompiled } from "./precompiled.ts";
import { accent, known, lowerCase } from "./unicode.ts";

/** A function from text to normalized text. */
export type Normalizer = (text: string) => string;

const KNOWN = [
  "Sequence",
  "Prepend",
  "Replace",
  "NFC",
  "NFD",
  "NFKC",
  "NFKD",
  "Lowercase",
  "Strip",
  "StripAccents",
  "Precompiled",
  "Nmt",
  "BertNormalizer",
] as const;

/** What Nmt drops or makes spaces of. see: tokenizers, normalizers/unicode.rs */
const NMT = /[\p{Cc}\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/gu;
const NMT_SPACES = "\t\n\f\r";
/** Control characters that stay. */
const isKept = (code: number) => code === 0 || (code >= 0x80 && code !== 0x8f && code !== 0x9f);

/** The `normalizer` of a tokenizer.json; null and missing leave text as it is. */
export function compileNormalizer(field: Field): Normalizer {
  if (!field.present) return (text) => text;
  const type = field.get("type").oneOf(KNOWN);
  switch (type) {
    case "Sequence": {
      const steps = field.get("normalizers").array().map(compileNormalizer);
      return (text) => steps.reduce((t, step) => step(t), text);
    }
    case "Prepend": {
      const prefix = field.get("prepend").string();
      return (text) => (text === "" ? "" : prefix + text);
    }
    case "Replace": {
      const pattern = compilePattern(field.get("pattern"));
      const content = field.get("content").string();
      // A function, because "$" has a meaning in a replacement string.
      return (text) => text.replace(pattern, () => content);
    }
    case "Lowercase":
      return lowerCase();
    case "Strip": {
      const left = field.get("strip_left").flag(true);
      const right = field.get("strip_right").flag(true);
      return (text) => {
        const rest = left ? text.replace(/^\p{White_Space}+/u, "") : text;
        return right ? rest.slice(0, rest.length - trailingSpace(rest)) : rest;
      };
    }
    case "StripAccents": {
      const accents = accent();
      return (text) => text.replace(accents, "");
    }
    case "Precompiled":
      return compilePrecompiled(field);
    case "Nmt":
      return (text) =>
        text.replace(NMT, (char) => {
          if (NMT_SPACES.includes(char) || char.charCodeAt(0) > 0x9f) return " ";
          return isKept(char.charCodeAt(0)) ? char : "";
        });
    case "BertNormalizer":
      return compileBertNormalizer(field);
    default: {
      const runs = known();
      return (text) => text.replace(runs, (run) => run.normalize(type));
    }
  }
}

const SPACE = /^\p{White_Space}$/u;

/** The number of UTF-16 units of white space at the end of `text`; Unicode's White_Space, all in the first plane. */
export function trailingSpace(text: string): number {
  let n = 0;
  while (n < text.length && SPACE.test(text.charAt(text.length - 1 - n))) n++;
  return n;
}

/** The number of UTF-16 units of white space after `start` in `text`. */
export function leadingSpace(text: string, start: number): number {
  let n = 0;
  while (start + n < text.length && SPACE.test(text.charAt(start + n))) n++;
  return n;
}
