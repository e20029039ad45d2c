/**
 * Which middle keys a query attends to. Of those between the pinned and the local ones, at most `recallTokens` before the
 * latter: the `recall` keys with the largest products of codes (codes.ts) in the `recallBlocks` blocks whose means have the
 * largest products, in the blocks that are not whole, and at the distances that the head chose for the tokens before; of equal
 * ones, the smaller position. The weight of a key that is chosen and does not run on is lowered by its head's gate times that of
 * the pinned and local keys together, and times the root of how many middle keys there are; where nothing is left it is not
 * attended to. see: docs/RECALL.md; LM-Infinite §3, top-k middle tokens
 */
import { headOf, positionOf, queryAt, Work } from "./attention_keys";
import { chosenAt, clearChosen, distanceBefore, insert, keysBefore, tokensBefore } from "./chosen";
import { codeBlock, codeQuery, codesAt, codeWidth, dotKeys, dotMeans, meanAt, meanBytes, powerOf } from "./codes";
import { Row, Size } from "./layout";
import { Code } from "./layout_codes";
import { Attention } from "./op";
import { word } from "./record";

/** Fills the lists of `count` queries; their middle keys are the section's. */
export function recall(work: usize, count: u32): void {
  for (let i: u32 = 0; i < count; i += Code.Queries) recallSome(work, i, min(count, i + Code.Queries));
}

/** Fills the lists of the queries [from, to), Code.Queries at most. */
function recallSome(work: usize, from: u32, to: u32): void {
  const record = load<u32>(work, Work.record);
  const most = word(record, Attention.recallBlocks);
  let first = u64.MAX_VALUE;
  let last: u64 = 0;
  for (let i = from; i < to; i++) {
    clearChosen(work, i);
    if (!looks(work, i)) continue;
    codeQuery(areaOf(work, i), queryAt(work, Attention.qRecall, i), word(record, Attention.headDim));
    store<u32>(areaOf(work, i), 0, Code.Count);
    if (!sieves(work, i)) continue;
    first = min(first, wholeBegin(work, i));
    last = max(last, wholeEnd(work, i));
  }
  for (; first < last; first += Code.Stretch) {
    for (let i = from; i < to; i++) {
      if (!sieves(work, i)) continue;
      const begin = max(first, wholeBegin(work, i));
      const end = min(first + Code.Stretch, wholeEnd(work, i));
      if (begin < end) sieve(areaOf(work, i), work, begin, end, most);
    }
  }
  for (let i = from; i < to; i++) if (looks(work, i)) chooseAll(work, i);
}

/**
 * Query i's head also looks at the keys at the distances that it chose for the tokens before, so that what runs on is found
 * where the sieve does not keep its block. These are middle keys, as those were.
 */
export function follow(work: usize, i: u32): void {
  if (!sieves(work, i)) return;
  codeQuery(
    areaOf(work, i),
    queryAt(work, Attention.qRecall, i),
    word(load<u32>(work, Work.record), Attention.headDim),
  );
  const number = positionOf(work, i) - load<u64>(work, Work.origin);
  for (let back = tokensBefore(work, i); back; back--) {
    for (let n: u32 = 0; n < keysBefore(work); n++) {
      const distance = <u64>distanceBefore(work, i, back, n);
      if (distance) offer(work, i, number - distance, <u32>distance);
    }
  }
}

/** Inserts key j of the session into query i's list, unless it is there. */
function offer(work: usize, i: u32, j: u64, distance: u32): void {
  const list = chosenAt(work, i);
  const end = list + (word(load<u32>(work, Work.record), Attention.recall) << 3);
  for (let at = list; at < end; at += 8) if (load<u32>(at, 4) == distance) return;
  choose(work, i, j / blockOf(work), j, j + 1);
}

/** What one of Code.GateTokens middle keys of query i loses of its weight, relative to that of its pinned and local keys. */
export function gateOf(work: usize, i: u32): f32 {
  return load<f32>(word(load<u32>(work, Work.record), Attention.gates) + (headOf(work, i) << 2));
}

/** Whether query i has middle keys, and its head looks for them. */
function looks(work: usize, i: u32): bool {
  return gateOf(work, i) != Infinity && beginOf(work, i) < endOf(work, i);
}

/** Whether query i looks, and not into all whole blocks among its middle keys. */
function sieves(work: usize, i: u32): bool {
  const most = <u64>word(load<u32>(work, Work.record), Attention.recallBlocks);
  return looks(work, i) && wholeEnd(work, i) > wholeBegin(work, i) + most;
}

/** The numbers of query i's middle keys in the session, [beginOf, endOf), and the blocks that are in there as a whole. */
function beginOf(work: usize, i: u32): u64 {
  return load<u64>(work + (i << 3), Work.begins) - load<u64>(work, Work.origin);
}

function endOf(work: usize, i: u32): u64 {
  return load<u64>(work + (i << 3), Work.ends) - load<u64>(work, Work.origin);
}

function wholeBegin(work: usize, i: u32): u64 {
  return (beginOf(work, i) + (blockOf(work) - 1)) / blockOf(work);
}

function wholeEnd(work: usize, i: u32): u64 {
  return endOf(work, i) / blockOf(work);
}

/** Keys of a block. */
function blockOf(work: usize): u32 {
  return codeBlock(word(load<u32>(work, Work.record), Attention.headDim));
}

/** Looks into the blocks that the sieve has kept, or all if it was not needed, and into those that are not whole. */
function chooseAll(work: usize, i: u32): void {
  const begin = beginOf(work, i);
  const end = endOf(work, i);
  const first = wholeBegin(work, i);
  const last = wholeEnd(work, i);
  const area = areaOf(work, i);
  const kept = load<u32>(area, Code.Count);
  for (let n: u32 = 0; n < kept; n++) {
    choose(work, i, <u64>load<u32>(entry(area + Code.Heap, n), 4), begin, end);
  }
  if (!kept) for (let block = first; block < last; block++) choose(work, i, block, begin, end);
  // Those that are not whole, which may be one.
  if (begin % blockOf(work)) choose(work, i, first - 1, begin, end);
  if (end % blockOf(work) && last + 1 != first) choose(work, i, last, begin, end);
}

/** Inserts the keys of a block that are among [begin, end) into query i's list. */
function choose(work: usize, i: u32, block: u64, begin: u64, end: u64): void {
  const record = load<u32>(work, Work.record);
  const headDim = word(record, Attention.headDim);
  const slot = <usize>load<u32>(load<u32>(work, Work.row), Row.slot);
  const kvHead = load<u32>(work, Work.kvHead);
  const place = <u32>(block % <u64>word(record, Attention.codeBlocks));
  const power = powerOf(meanAt(record, slot, kvHead, place), headDim);
  const codes = codesAt(record, slot, kvHead, place);
  const width = codeWidth(headDim);
  const code = areaOf(work, i);
  const list = chosenAt(work, i);
  const last = list + ((word(record, Attention.recall) - 1) << 3);
  const number = positionOf(work, i) - load<u64>(work, Work.origin);
  const size = codeBlock(headDim);
  const from = block * size;
  const stop = min(end, from + size);
  for (let t = <u32>(max(begin, from) - from) & ~3; from + t < stop; t += 4) {
    const products = f32x4.mul(dotKeys(code, codes + t * width, width), f32x4.splat(power));
    if (!v128.any_true(f32x4.ge(products, f32x4.splat(load<f32>(last))))) continue;
    v128.store(code, products, Code.Products);
    for (let n: u32 = 0; n < 4; n++) {
      const j = from + <u64>(t + n);
      if (j >= begin && j < stop) insert(list, last, load<f32>(code + (n << 2), Code.Products), <u32>(number - j));
    }
  }
}

/** What query i has for itself: at its start its codes. */
function areaOf(work: usize, i: u32): usize {
  const record = load<u32>(work, Work.record);
  const slice = (work - word(record, Attention.scratch)) / Size.ScratchBytes;
  const number = slice * Code.Queries + (i % Code.Queries);
  return <usize>word(record, Attention.recallWork) + number * queryBytes(word(record, Attention.recallBlocks));
}

/** Bytes of that: no heap where all blocks are looked into. src/machine/code_sizes.ts has the same. */
function queryBytes(recallBlocks: u32): u32 {
  return Code.Heap + (recallBlocks > <u32>Code.MostBlocks ? 0 : recallBlocks << 3);
}

/** Entry n of the sieve: f32 product, u32 block. */
function entry(heap: usize, n: u32): usize {
  return heap + (n << 3);
}

/**
 * Keeps the `most` blocks with the largest products of their means among those before and [first, last); of equal ones, the
 * smaller ones. In the heap an entry is no better than those at 2 n + 1 and 2 n + 2.
 */
function sieve(area: usize, work: usize, first: u64, last: u64, most: u32): void {
  const record = load<u32>(work, Work.record);
  const headDim = word(record, Attention.headDim);
  const slot = <usize>load<u32>(load<u32>(work, Work.row), Row.slot);
  const kvHead = load<u32>(work, Work.kvHead);
  const places = word(record, Attention.codeBlocks);
  const heap = area + Code.Heap;
  const width = codeWidth(headDim);
  let count = load<u32>(area, Code.Count);
  const bytes = meanBytes(headDim);
  const begin = meanAt(record, slot, kvHead, 0);
  const end = meanAt(record, slot, kvHead, places);
  let mean = meanAt(record, slot, kvHead, <u32>(first % <u64>places));
  for (let block = first; block < last; ) {
    // At the end of all, and of the ring, one at a time.
    const some: u32 = last - block >= 4 && mean + 4 * bytes <= end ? 4 : 1;
    const stride = some == 4 ? bytes : 0;
    const products = dotMeans(area, mean, stride, width);
    if (count < most || v128.any_true(f32x4.gt(products, f32x4.splat(load<f32>(heap))))) {
      v128.store(area, products, Code.Products);
      for (let n: u32 = 0; n < some; n++) {
        const product = load<f32>(area + (n << 2), Code.Products);
        if (count < most) rise(heap, count++, product, <u32>block + n);
        else if (product > load<f32>(heap)) sink(heap, most, product, <u32>block + n);
      }
    }
    block += some;
    mean += some * bytes;
    if (mean == end) mean = begin;
  }
  store<u32>(area, count, Code.Count);
}

/** Puts a block at entry n, or above it. */
function rise(heap: usize, n: u32, product: f32, block: u32): void {
  while (n) {
    const above = (n - 1) >> 1;
    const at = entry(heap, above);
    if (!isWorse(product, block, at)) break;
    store<u64>(entry(heap, n), load<u64>(at));
    n = above;
  }
  store<f32>(entry(heap, n), product);
  store<u32>(entry(heap, n), block, 4);
}

/** Puts a block in the place of the worst of `count`, or below it. */
function sink(heap: usize, count: u32, product: f32, block: u32): void {
  let n: u32 = 0;
  for (let below: u32 = 1; below < count; below = 2 * n + 1) {
    const right = entry(heap, below + 1);
    if (below + 1 < count && isWorse(load<f32>(right), load<u32>(right, 4), entry(heap, below))) below++;
    const at = entry(heap, below);
    if (isWorse(product, block, at)) break;
    store<u64>(entry(heap, n), load<u64>(at));
    n = below;
  }
  store<f32>(entry(heap, n), product);
  store<u32>(entry(heap, n), block, 4);
}

function isWorse(product: f32, block: u32, at: usize): bool {
  const other = load<f32>(at);
  return product < other || (product == other && block > load<u32>(at, 4));
}
