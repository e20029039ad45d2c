/** Which keys the queries of a block meet, where these are stored, and the scratch memory of attention. */
import { Row, Size } from "./layout";
import { Attention, Offset } from "./op";
import { Clamp } from "./op_positions";
import { word } from "./record";

/** Byte offsets in scratch: the state of a block of queries. */
export enum Work {
  /** u64: keys visited since the memory was made */
  visited = 0,
  record = 8,
  /** the first query's entry in the row table */
  row = 12,
  kvHead = 16,
  first = 20,
  count = 24,
  /** index of the session's first row in the step */
  runStart = 28,
  /** u64: the position of that row */
  stepBegin = 32,
  /** u64: the position of the session's first token */
  origin = 40,
  /** The Part of the section's keys; 1: they are at the fixed distance */
  part = 48,
  fixed = 52,
  /** what `locate` finds */
  base = 56,
  stride = 60,
  /** f32[QueryBlock]: running maxima of the softmax */
  maxima = 64,
  /** f32[QueryBlock, 4]: its running sums */
  sums = 128,
  /** u64[QueryBlock]: the section's keys of each query, [begin, end) */
  begins = 384,
  ends = 512,
  /** f32[QueryBlock, KeyBlock] */
  scores = 640,
}

/** Where the keys of a section are. Middle keys are between the others in position, and unrotated. */
export enum Part {
  Local,
  Pinned,
  Middle,
}

/** The number of query i's row. */
export function rowOf(work: usize, i: u32): u32 {
  const record = load<u32>(work, Work.record);
  return (load<u32>(work, Work.first) + i) / (word(record, Attention.heads) / word(record, Attention.kvHeads));
}

/** The query head of query i. */
export function headOf(work: usize, i: u32): u32 {
  const record = load<u32>(work, Work.record);
  const group = word(record, Attention.heads) / word(record, Attention.kvHeads);
  return load<u32>(work, Work.kvHead) * group + ((load<u32>(work, Work.first) + i) % group);
}

export function positionOf(work: usize, i: u32): u64 {
  return load<u64>(work, Work.stepBegin) + <u64>(rowOf(work, i) - load<u32>(work, Work.runStart));
}

/** Where query i is in a buffer [rows, heads, headDim]. */
export function queryAt(work: usize, field: Attention, i: u32): usize {
  const record = load<u32>(work, Work.record);
  const number = rowOf(work, i) * word(record, Attention.heads) + headOf(work, i);
  return word(record, field) + ((number * word(record, Attention.headDim)) << 2);
}

/** Starts a block of `count` queries from number `first` of a KV head on, the first of them in row `row`. */
export function beginBlock(work: usize, record: usize, row: usize, kvHead: u32, first: u32, count: u32): void {
  const runStart = load<u32>(row, Row.runStart);
  const group = word(record, Attention.heads) / word(record, Attention.kvHeads);
  store<u32>(work, record, Work.record);
  store<u32>(work, row, Work.row);
  store<u32>(work, kvHead, Work.kvHead);
  store<u32>(work, first, Work.first);
  store<u32>(work, count, Work.count);
  store<u32>(work, runStart, Work.runStart);
  store<u64>(work, load<u64>(row, Row.position) - <u64>(first / group - runStart), Work.stepBegin);
  store<u64>(work, load<u64>(row, Row.origin), Work.origin);
}

/** Determines which keys of the section query i attends to. */
export function setRange(work: usize, i: u32): void {
  const record = load<u32>(work, Work.record);
  const part = load<u32>(work, Work.part);
  const origin = load<u64>(work, Work.origin);
  const position = positionOf(work, i);
  const nLocal = <u64>word(record, Attention.nLocal);
  const row = entryOf(work, i);
  const ringBegin = position - origin >= nLocal ? position - nLocal + 1 : origin;
  const localBegin = max(ringBegin, load<u64>(row, Row.begin));
  let begin = localBegin;
  let end = position + 1;
  if (part == Part.Middle) {
    // Not localBegin: the codes of keys that are still in the ring may not be there yet.
    const most = min(<u64>word(record, Attention.recallTokens), ringBegin - origin);
    begin = max(origin + <u64>pinnedOf(record, row), ringBegin - most);
    end = load<u32>(row, Row.skipsRecall) ? begin : max(begin, ringBegin);
  } else {
    if (part == Part.Pinned) {
      begin = origin;
      end = min(origin + <u64>pinnedOf(record, row), localBegin);
    }
    const border = max(begin, min(end, clampedEnd(record, position, origin, part)));
    if (load<u32>(work, Work.fixed)) end = border;
    else begin = border;
  }
  store<u64>(work + (i << 3), begin, Work.begins);
  store<u64>(work + (i << 3), end, Work.ends);
}

/** Query i's entry in the row table. */
function entryOf(work: usize, i: u32): usize {
  return load<u32>(work, Work.row) + (rowOf(work, i) - rowOf(work, 0)) * Size.RowBytes;
}

/** How many of its session's first tokens a row attends to wherever it is. */
export function pinnedOf(record: usize, row: usize): u32 {
  return min(word(record, Attention.nGlobal), load<u32>(row, Row.nGlobal));
}

/** Keys before this position meet the query at the fixed distance. */
function clampedEnd(record: usize, position: u64, origin: u64, part: Part): u64 {
  const clamp = word(record, Attention.clamp);
  const limit = <u64>word(record, Attention.limit);
  if (position - origin < limit) return 0;
  if (clamp == Clamp.Distance) return position - limit + 1;
  return clamp == Clamp.Sinks && part == Part.Pinned ? u64.MAX_VALUE : 0;
}

/** The keys of query i in a block, [begin, end); none if begin ≥ end. */
export function keysBegin(work: usize, block: u64, i: u32): u64 {
  return max(load<u64>(work + (i << 3), Work.begins), block);
}

export function keysEnd(work: usize, block: u64, i: u32): u64 {
  return min(load<u64>(work + (i << 3), Work.ends), block + Size.KeyBlock);
}

/**
 * Locates key (or value) j of the section: stores its address and the stride to the next in `work`; returns how many
 * are contiguous.
 */
export function locate(work: usize, j: u64, end: u64, values: bool): u32 {
  const record = load<u32>(work, Work.record);
  const part = load<u32>(work, Work.part);
  const kvHead = load<u32>(work, Work.kvHead);
  const kvHeads = word(record, Attention.kvHeads);
  const headBytes = word(record, Attention.headBytes);
  const stepBegin = load<u64>(work, Work.stepBegin);
  const distance = load<u32>(work, Work.fixed) && word(record, Attention.clamp) == Clamp.Distance;
  const unrotated = distance || part == Part.Middle;
  if (j >= stepBegin) {
    const field = values ? Attention.v : unrotated ? Attention.kUnrotated : Attention.k;
    const index = load<u32>(work, Work.runStart) + <u32>(j - stepBegin);
    store<u32>(work, word(record, field) + (index * kvHeads + kvHead) * headBytes, Work.base);
    store<u32>(work, kvHeads * headBytes, Work.stride);
    return <u32>(end - j);
  }
  let stop = min(end, stepBegin);
  const pinned = part == Part.Pinned;
  let places = word(record, pinned ? Attention.nGlobal : Attention.nLocal);
  let field = pinned ? Attention.vPinned : Attention.vRing;
  if (!values) {
    field = pinned ? Attention.kPinned : Attention.kRing;
    const other = pinned ? Attention.kPinnedUnrotated : Attention.kRingUnrotated;
    if (unrotated && word(record, other) != <u32>Offset.Unused) field = other;
  }
  let from = word(record, field);
  if (part == Part.Middle) {
    places = word(record, Attention.recallPlaces);
    from = word(record, Attention.kvRecall) + (values ? kvHeads * places * headBytes : 0);
  }
  const place = pinned ? <u32>(j - load<u64>(work, Work.origin)) : <u32>(j % <u64>places);
  if (!pinned) stop = min(stop, j + <u64>(places - place));
  const at = (kvHead * places + place) * headBytes;
  store<u32>(work, load<u32>(load<u32>(work, Work.row), Row.slot) + from + at, Work.base);
  store<u32>(work, headBytes, Work.stride);
  return <u32>(stop - j);
}
