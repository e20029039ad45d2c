import type { StringTable } from "../base/string_table.ts";
import { PieceType } from "./sentencepiece.ts";

/** A space in the tokens of SentencePiece. */
export const MARK = "▁";
const MARK_BYTES = 3;
const encoder = new TextEncoder();

/** Runs of spaces as the tokenizer has them, "▁▁": llama.cpp's converter writes those that are user-defined as spaces. */
export function withMarks(tokens: StringTable, types: ArrayLike<number> | undefined): StringTable {
  const { count, bytes, offsets } = tokens;
  const runs: number[] = [];
  let spaces = 0;
  for (let id = 0; id < count; id++) {
    if (types?.[id] !== PieceType.userDefined) continue;
    const run = bytes.subarray(offsets[id], offsets[id + 1]);
    if (!run.every((byte) => byte === 0x20)) continue;
    runs.push(id);
    spaces += run.length;
  }
  if (spaces === 0) return tokens;
  const marked = new Uint8Array(bytes.length + (MARK_BYTES - 1) * spaces);
  const ends = new Uint32Array(count + 1);
  let added = 0;
  // Each run and, as they are, the tokens before it, and at last those behind the last run.
  for (let i = 0, from = 0; i <= runs.length; i++) {
    const run = runs[i] ?? count;
    const start = offsets[run] as number;
    marked.set(bytes.subarray(offsets[from], start), (offsets[from] as number) + added);
    for (; from < run; from++) ends[from + 1] = (offsets[from + 1] as number) + added;
    if (run === count) break;
    const length = (offsets[run + 1] as number) - start;
    marked.set(encoder.encode(MARK.repeat(length)), start + added);
    added += (MARK_BYTES - 1) * length;
    from = run + 1;
    ends[from] = (offsets[from] as number) + added;
  }
  return { count, bytes: marked, offsets: ends };
}
