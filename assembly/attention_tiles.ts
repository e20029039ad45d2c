/** Queries of a block times keys, and weights times values, in tiles. */
import { dots1, dots4 } from "./attention_dots";
import { keysBegin, keysEnd, locate, Part, queryAt, Work } from "./attention_keys";
import { values1, values4 } from "./attention_values";
import { Int8 } from "./cache_format";
import { Bf16 } from "./half";
import { CacheFormat, Size } from "./layout";
import { Attention } from "./op";
import { float, word } from "./record";

/** Scores are logits times this, so that powers of 2 are needed, which take half the time. */
export const LOG2E: f32 = 1.44269504088896341;

/** f32[KeyBlock]: query i's scores. */
export function scoresOf(work: usize, i: u32): usize {
  return work + Work.scores + i * (Size.KeyBlock << 2);
}

/**
 * The scores of all queries in a block, or the weighted values: four queries at a time over the keys that all of them
 * attend to, one at a time over those before and after.
 */
export function eachTile(work: usize, block: u64, values: bool): void {
  const count = load<u32>(work, Work.count);
  let i: u32 = 0;
  for (; i + 4 <= count; i += 4) {
    const begin = keysBegin(work, block, i + 3);
    const end = max(begin, keysEnd(work, block, i));
    for (let n = i; n < i + 4; n++) {
      eachRun(work, block, n, 1, keysBegin(work, block, n), min(begin, keysEnd(work, block, n)), values);
    }
    eachRun(work, block, i, 4, begin, end, values);
    for (let n = i; n < i + 4; n++) eachRun(work, block, n, 1, end, keysEnd(work, block, n), values);
  }
  for (; i < count; i++) {
    eachRun(work, block, i, 1, keysBegin(work, block, i), keysEnd(work, block, i), values);
  }
}

/**
 * The same for `queries` (1 or 4) from i on and the keys [begin, end), run by run of keys that are contiguous in
 * memory.
 */
function eachRun(work: usize, block: u64, i: u32, queries: u32, begin: u64, end: u64, values: bool): void {
  while (begin < end) {
    const keys = locate(work, begin, end, values);
    anyTile(work, i, queries, scoresOf(work, i) + ((<usize>(begin - block)) << 2), keys, values);
    begin += keys;
  }
}

/** `tile` in the format of the cache, of keys that were located. */
export function anyTile(work: usize, i: u32, queries: u32, scores: usize, keys: u32, values: bool): void {
  const format = word(load<u32>(work, Work.record), Attention.format);
  if (format == CacheFormat.F32) tile<f32>(work, i, queries, scores, keys, values);
  else if (format == CacheFormat.Bf16) tile<Bf16>(work, i, queries, scores, keys, values);
  else tile<Int8>(work, i, queries, scores, keys, values);
}

function tile<T>(work: usize, i: u32, queries: u32, scores: usize, keys: u32, values: bool): void {
  const record = load<u32>(work, Work.record);
  const base = load<u32>(work, Work.base);
  const stride = load<u32>(work, Work.stride);
  const headDim = word(record, Attention.headDim);
  const scale = float(record, Attention.scale) * LOG2E;
  let field = values ? Attention.out : Attention.q;
  if (!values && load<u32>(work, Work.fixed)) {
    field = load<u32>(work, Work.part) == Part.Middle ? Attention.qRecall : Attention.qFixed;
  }
  const x0 = queryAt(work, field, i);
  if (queries == 1) {
    if (values) values1<T>(x0, scores, base, stride, keys, headDim);
    else dots1<T>(scores, x0, base, stride, keys, headDim, scale);
    return;
  }
  const x1 = queryAt(work, field, i + 1);
  const x2 = queryAt(work, field, i + 2);
  const x3 = queryAt(work, field, i + 3);
  if (values) values4<T>(x0, x1, x2, x3, scores, base, stride, keys, headDim);
  else dots4<T>(scores, x0, x1, x2, x3, base, stride, keys, headDim, scale);
}
