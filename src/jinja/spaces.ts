/** White space and line ends in Python; JavaScript's sets differ (U+FEFF, U+0085, U+001C …). */
const CLASS = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

const SPACE = new RegExp(`[${CLASS}]`);
/** What is between whitespace. */
export const WORDS = new RegExp(`[^${CLASS}]+`, "g");
const LINE_END_CLASS = "\\n-\\r\\x1c-\\x1e\\x85\\u2028\\u2029";
const LINE_ENDS = new RegExp(`\\r\\n|[${LINE_END_CLASS}]`, "g");

/** Whether a character is white space in Python. */
export const isSpace = (character: string) => SPACE.test(character);

/** The first unit from `start` on that is not white space. */
export function skipSpaces(text: string, start: number): number {
  while (start < text.length && isSpace(text[start]!)) start++;
  return start;
}

/** A text without white space at its start, its end or both. */
export function stripSpaces(text: string, left = true, right = true): string {
  const start = left ? skipSpaces(text, 0) : 0;
  let end = text.length;
  while (right && end > start && isSpace(text[end - 1]!)) end--;
  return text.slice(start, end);
}

/** The lines of a text as str.splitlines gives them, with their line ends if `keepEnds`. */
export function splitLines(text: string, keepEnds = false): string[] {
  const lines: string[] = [];
  let start = 0;
  for (const { 0: end, index } of text.matchAll(LINE_ENDS)) {
    lines.push(text.slice(start, keepEnds ? index + end.length : index));
    start = index + end.length;
  }
  if (start < text.length) lines.push(text.slice(start));
  return lines;
}
