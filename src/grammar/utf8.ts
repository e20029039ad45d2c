import type { CodePoints } from "./code_points.ts";

/** A range of values for each byte of a character. */
type ByteRanges = readonly (readonly [first: number, last: number])[];

/** Bytes from `first` to `last` lead to a node; −1: the character is complete. No two of one node have a byte in common. */
export type ByteEdge = readonly [first: number, last: number, node: number];

/** The UTF-8 of a set of characters as nodes, each with its edges; they lead to nodes before it. The last one is the start. */
export type Utf8 = readonly (readonly ByteEdge[])[];

const known = new WeakMap<CodePoints, Utf8>();

/** The UTF-8 of a set. */
export function utf8Of(set: CodePoints): Utf8 {
  const found = known.get(set) ?? nodesOf(utf8Ranges(set));
  known.set(set, found);
  return found;
}

function nodesOf(sequences: readonly ByteRanges[]): Utf8 {
  const nodes: ByteEdge[][] = [];
  const numbers = new Map<string, number>();
  /** The node of the sequences in [from, to), at byte `at` of each. */
  const visit = (from: number, to: number, at: number): number => {
    const edges: ByteEdge[] = [];
    for (let start = from; start < to; ) {
      // Sequences are in order, and ranges of first bytes are the same or have nothing in common.
      const [first, last] = sequences[start]![at]!;
      let end = start + 1;
      while (end < to && sequences[end]![at]![0] === first) end++;
      edges.push([first, last, at + 1 < sequences[start]!.length ? visit(start, end, at + 1) : -1]);
      start = end;
    }
    const key = edges.join(";");
    const node = numbers.get(key) ?? nodes.push(edges) - 1;
    numbers.set(key, node);
    return node;
  };
  visit(0, sequences.length, 0);
  return nodes;
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
