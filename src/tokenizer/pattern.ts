import { SplitPreTokenizer } from "@huggingface/tokenizers";
import type { Field } from "./field.ts";

/**
 * A `pattern` field, {"String": …} or {"Regex": …}, as a regular expression with the flags `gu`. Hugging Face's
 * expressions are Oniguruma's, whose \s, \w, \d, ^ and (?i:) differ from JavaScript's; the library rewrites them.
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
    const config = { type: "Split", pattern: { Regex: source.string() }, behavior: "Isolated", invert: false } as const;
    const { pattern } = new SplitPreTokenizer(config as never);
    if (pattern) return pattern;
  } catch {
    // Falls through: the library's words name neither the file nor the field.
  }
  return source.fail("a regular expression that can be translated to JavaScript");
}

export function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
}
