import { type CodePoints, charactersOf, complement, setOf, union } from "./code_points.ts";

const DIGITS = setOf([[0x30, 0x39]]);
const WORD = union(DIGITS, setOf([[0x41, 0x5a]]), charactersOf("_"), setOf([[0x61, 0x7a]]));
/** see: ECMA-262, WhiteSpace and LineTerminator */
const SPACE = union(
  charactersOf("\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff"),
  setOf([[0x2000, 0x200a]]),
);

/** What `.` matches. */
export const NO_LINE_END = complement(charactersOf("\n\r\u2028\u2029"));

/** The set of \d, \w and the like; undefined for other letters. */
export function classEscape(letter: string): CodePoints | undefined {
  const set = { d: DIGITS, w: WORD, s: SPACE }[letter.toLowerCase()];
  return set && letter !== letter.toLowerCase() ? complement(set) : set;
}

const properties = new Map<string, CodePoints>();

/** The set of \p{…}: what the host's regular expressions match. */
export function propertyEscape(property: string): CodePoints {
  const known = properties.get(property);
  if (known) return known;
  const pattern = new RegExp(`${property}+`, "gu");
  const planes: CodePoints[] = [];
  for (let plane = 0; plane < 17; plane++) {
    // Planes 4 to 13 have no characters, 15 and 16 private ones.
    const alike = plane > 4 && plane < 14 ? 4 : plane === 16 ? 15 : plane;
    planes.push(planes[alike] ?? scan(pattern, alike << 16));
  }
  const set = setOf(planes.flatMap((set, plane) => moved(set, plane)));
  properties.set(property, set);
  return set;
}

/** Characters that are looked at together. */
const PIECE = 4096;

/** Where in a plane a pattern matches, from 0 to 0xffff. */
function scan(pattern: RegExp, plane: number): CodePoints {
  const found: (readonly [number, number])[] = [];
  // Characters of one plane have equally many units.
  const units = plane > 0 ? 2 : 1;
  for (let start = 0; start < 0x10000; start += PIECE) {
    const text = String.fromCodePoint(...Array.from({ length: PIECE }, (_, i) => plane + start + i));
    for (const { index, 0: run } of text.matchAll(pattern)) {
      found.push([start + index / units, start + (index + run.length) / units - 1]);
    }
  }
  return found;
}

function moved(set: CodePoints, plane: number): CodePoints {
  return set.map(([first, last]) => [first + (plane << 16), last + (plane << 16)]);
}
