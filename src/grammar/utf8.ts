import type { CodePoints } from "./code_points.ts";

/** A range of values for each byte of a character. */
type ByteRanges = readonly (readonly [first: number, last: number])[];

/** A byte from `first` to `last`, and the tail that has to follow; −1: the character is complete. */
export type ByteEdge = readonly [first: number, last: number, tail: number];

/** The UTF-8 of a set of characters: first bytes, and what follows them, of which no two tails are the same. */
export interface Utf8 {
  readonly starts: readonly ByteEdge[];
  /** A tail refers only to those before it. */
  readonly tails: readonly ByteEdge[];
}

const known = new WeakMap<CodePoints, Utf8>();

/** The UTF-8 of a set. */
export function utf8Of(set: CodePoints): Utf8 {
  const found = known.get(set) ?? shared(utf8Ranges(set));
  known.set(set, found);
  return found;
}

function shared(sequences: readonly ByteRanges[]): Utf8 {
  const tails: ByteEdge[] = [];
  const numbers = new Map<number, number>();
  const starts = new Map<number, ByteEdge>();
  for (const sequence of sequences) {
    let tail = -1;
    for (let i = sequence.length - 1; i >= 0; i--) {
      const [first, last] = sequence[i]!;
      const key = ((tail + 1) * 256 + first) * 256 + last;
      if (i === 0) starts.set(key, [first, last, tail]);
      else {
        const number = numbers.get(key) ?? tails.push([first, last, tail]) - 1;
        numbers.set(key, number);
        tail = number;
      }
    }
  }
  return { starts: [...starts.values()], tails };
}

/** Where the number of bytes changes. */
const ENDS = [0x7f, 0x7ff, 0xffff, 0x10ffff];

/** Byte sequences that each match one of these. see: Ken Thompson's utf8-ranges, as in Rust's regex */
function utf8Ranges(set: CodePoints): ByteRanges[] {
  const found: ByteRanges[] = [];
  for (const [first, last] of set) split(first, last, found);
  return found;
}

function split(first: number, last: number, found: ByteRanges[]): void {
  for (const end of ENDS) {
    if (first <= end && last > end) {
      split(first, end, found);
      split(end + 1, last, found);
      return;
    }
  }
  if (last > 0x7f) {
    // Continuation bytes run from their first to their last value, or stay the same.
    for (let bits = 6; bits <= 18; bits += 6) {
      const mask = 2 ** bits - 1;
      if ((first & ~mask) === (last & ~mask)) continue;
      if ((first & mask) !== 0) {
        split(first, first | mask, found);
        split((first | mask) + 1, last, found);
        return;
      }
      if ((last & mask) !== mask) {
        split(first, (last & ~mask) - 1, found);
        split(last & ~mask, last, found);
        return;
      }
    }
  }
  const [from, to] = [utf8(first), utf8(last)];
  found.push(from.map((byte, i) => [byte, to[i]!]));
}

function utf8(code: number): number[] {
  if (code < 0x80) return [code];
  if (code < 0x800) return [0xc0 | (code >> 6), 0x80 | (code & 63)];
  if (code < 0x10000) return [0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)];
  return [0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)];
}
