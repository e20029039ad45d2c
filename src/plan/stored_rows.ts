import type { RowRange } from "../base/rows.ts";
import type { StoredTensor } from "../formats/checkpoint.ts";
import type { Weight } from "../models/program.ts";

/** The rows of a weight in the order of their file, in which they are read: it may be a stream. */
export interface StoredRows {
  /** [n], ascending. */
  readonly stored: Uint32Array;
  /** Which row of the weight each of them is; undefined: they are in its order. */
  readonly places: Uint32Array | undefined;
}

/** Where the rows of a weight are stored. */
export function storedRows({ rows }: Weight, tensor: StoredTensor): StoredRows {
  const all = tensor.rows && listed(tensor.rows);
  const own = listed(rows);
  const stored = all ? own.map((row) => all[row] as number) : own;
  if (stored.every((row, i) => i === 0 || row > (stored[i - 1] as number))) return { stored, places: undefined };
  const places = Uint32Array.from(stored.keys()).sort((a, b) => (stored[a] as number) - (stored[b] as number));
  return { stored: places.map((place) => stored[place] as number), places };
}

/** Consecutive rows among `stored[from]` to `stored[to - 1]`, as stretches of the file. */
export function* runsOf(stored: Uint32Array, from: number, to: number): Iterable<{ first: number; count: number }> {
  for (let begin = from; begin < to; ) {
    let end = begin + 1;
    while (end < to && stored[end] === (stored[end - 1] as number) + 1) end++;
    yield { first: stored[begin] as number, count: end - begin };
    begin = end;
  }
}

function listed(ranges: readonly RowRange[]): Uint32Array {
  const rows = new Uint32Array(ranges.reduce((sum, { count }) => sum + count, 0));
  let at = 0;
  for (const { first, count, step } of ranges) for (let i = 0; i < count; i++) rows[at++] = first + i * step;
  return rows;
}
