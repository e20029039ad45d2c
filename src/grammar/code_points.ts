/** Sets of Unicode scalar values: pairs of first and last, ascending, not adjacent. Surrogates belong to none. */
export type CodePoints = readonly (readonly [first: number, last: number])[];

const LAST = 0x10ffff;
const SURROGATES: CodePoints = [[0xd800, 0xdfff]];

/** Every Unicode scalar value. */
export const ALL: CodePoints = [
  [0, 0xd7ff],
  [0xe000, LAST],
];

/** The set of these ranges, in any order. */
export function setOf(ranges: CodePoints): CodePoints {
  return minus(joined(ranges), SURROGATES);
}

const singles = new Map<string, CodePoints>();

/** The set of the characters of a text; of one character always the same one. */
export function charactersOf(text: string): CodePoints {
  const known = singles.get(text);
  if (known) return known;
  const codes = [...text].map((character) => character.codePointAt(0)!);
  const set = setOf(codes.map((code) => [code, code]));
  if (codes.length === 1 && codes[0]! < 0x80) singles.set(text, set);
  return set;
}

/** Whether a character is in a set. */
export function contains(set: CodePoints, code: number): boolean {
  return set.some(([first, last]) => first <= code && code <= last);
}

/** What is in one of them. */
export function union(...sets: readonly CodePoints[]): CodePoints {
  return joined(sets.flat());
}

/** What is not in the set. */
export function complement(set: CodePoints): CodePoints {
  return minus(ALL, set);
}

/** What is in both. */
export function intersection(a: CodePoints, b: CodePoints): CodePoints {
  const both: (readonly [number, number])[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const [first, last] = [Math.max(a[i]![0], b[j]![0]), Math.min(a[i]![1], b[j]![1])];
    if (first <= last) both.push([first, last]);
    if (a[i]![1] < b[j]![1]) i++;
    else j++;
  }
  return both;
}

/** What is in `a` and not in `b`. */
export function minus(a: CodePoints, b: CodePoints): CodePoints {
  const outside: (readonly [number, number])[] = [];
  let from = 0;
  for (const [first, last] of b) {
    if (first > from) outside.push([from, first - 1]);
    from = last + 1;
  }
  if (from <= LAST) outside.push([from, LAST]);
  return intersection(a, outside);
}

function joined(ranges: CodePoints): CodePoints {
  const sorted = [...ranges].sort(([a], [b]) => a - b);
  const merged: [number, number][] = [];
  for (const [first, last] of sorted) {
    const before = merged.at(-1);
    if (before && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else merged.push([first, last]);
  }
  return merged;
}
