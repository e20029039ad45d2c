/**
 * The lists of middle keys that queries have chosen (Attention.chosen), the largest product of codes first, and which of these
 * keys run on: at Code.RunTimes of the Code.RunTokens tokens before, or more, the head chose a key at the same distance, as it
 * does where a text is repeated. Op.Choose and Op.Follow make the lists, attention puts weights in the place of products, and
 * Op.Seal keeps distances in the slot for later steps. see: docs/RECALL.md
 */
import { headOf, positionOf, rowOf, Work } from "./attention_keys";
import { Row } from "./layout";
import { Code } from "./layout_codes";
import { exp2 } from "./math";
import { Attention } from "./op";
import { word } from "./record";

/** Where query i's list starts. */
export function chosenAt(work: usize, i: u32): usize {
  const record = load<u32>(work, Work.record);
  const number = rowOf(work, i) * word(record, Attention.heads) + headOf(work, i);
  return word(record, Attention.chosen) + ((number * word(record, Attention.recall)) << 3);
}

/** Where key and value of entry n of query i's list were brought; 0: they are in the cache. */
export function gatheredAt(work: usize, i: u32, n: u32): usize {
  const record = load<u32>(work, Work.record);
  const gathered = <usize>word(record, Attention.gathered);
  if (!gathered) return 0;
  const number = ((chosenAt(work, i) - word(record, Attention.chosen)) >> 3) + n;
  return gathered + ((number * word(record, Attention.headBytes)) << 1);
}

/** How many keys query i has chosen: no middle key has distance 0. */
export function chosen(work: usize, i: u32): u32 {
  const list = chosenAt(work, i);
  const most = word(load<u32>(work, Work.record), Attention.recall);
  let count: u32 = 0;
  while (count < most && load<u32>(list + (count << 3), 4)) count++;
  return count;
}

/** Whether entry n of query i's list runs on. */
export function runsOn(work: usize, i: u32, n: u32): bool {
  const distance = load<u32>(chosenAt(work, i) + (n << 3), 4);
  let times: u32 = 0;
  for (let back = tokensBefore(work, i); back; back--) if (hasChosen(work, i, back, distance)) times++;
  return times >= <u32>Code.RunTimes;
}

/** How many of the tokens before query i's may say what runs on. */
export function tokensBefore(work: usize, i: u32): u32 {
  return <u32>min<u64>(Code.RunTokens, positionOf(work, i) - load<u64>(work, Work.origin));
}

/** Whether query i's head chose a key at `distance` for the token `back` before it. */
function hasChosen(work: usize, i: u32, back: u32, distance: u32): bool {
  for (let n: u32 = 0; n < keysBefore(work); n++) if (distanceBefore(work, i, back, n) == distance) return true;
  return false;
}

/** How many of a token's best keys later ones look at. */
export function keysBefore(work: usize): u32 {
  return min<u32>(Code.RunKeys, word(load<u32>(work, Work.record), Attention.recall));
}

/** Entry n of what query i's head chose for the token `back` before it, whose list is in this step or in the slot. */
export function distanceBefore(work: usize, i: u32, back: u32, n: u32): u32 {
  const record = load<u32>(work, Work.record);
  if (rowOf(work, i) - load<u32>(work, Work.runStart) >= back) {
    const entries = back * word(record, Attention.heads) * word(record, Attention.recall) - n;
    return load<u32>(chosenAt(work, i) - (entries << 3), 4);
  }
  const slot = <usize>load<u32>(load<u32>(work, Work.row), Row.slot);
  return load<u32>(slot + runsAt(record, headOf(work, i), positionOf(work, i) - back) + (n << 2));
}

/** Where in a slot the distances are that a head chose at a position. */
function runsAt(record: usize, head: u32, position: u64): usize {
  const place = head * Code.RunPlaces + <u32>(position % <u64>Code.RunPlaces);
  return word(record, Attention.runs) + ((place * Code.RunKeys) << 2);
}

/** Keeps what a row's heads have chosen for later steps, unless a later row of this step takes its place. */
export function keepChosen(record: usize, row: usize, index: u32): void {
  const most = word(record, Attention.recall);
  if (!most || load<u32>(row, Row.runStart) + load<u32>(row, Row.runRows) > index + Code.RunPlaces) return;
  const heads = word(record, Attention.heads);
  for (let head: u32 = 0; head < heads; head++) {
    const list = word(record, Attention.chosen) + (((index * heads + head) * most) << 3);
    const to = <usize>load<u32>(row, Row.slot) + runsAt(record, head, load<u64>(row, Row.position));
    for (let n: u32 = 0; n < min<u32>(most, Code.RunKeys); n++) {
      store<u32>(to + (n << 2), load<u32>(list + (n << 3), 4));
    }
  }
}

/** Empties query i's list. */
export function clearChosen(work: usize, i: u32): void {
  const list = chosenAt(work, i);
  const end = list + (word(load<u32>(work, Work.record), Attention.recall) << 3);
  for (let at = list; at < end; at += 8) {
    store<f32>(at, -Infinity);
    store<u32>(at, 0, 4);
  }
}

/** The scores in query i's list become weights: their shares of its softmax. */
export function weigh(work: usize, i: u32, factor: f32): void {
  const list = chosenAt(work, i);
  const largest = load<f32>(work + (i << 2), Work.maxima);
  const end = list + (chosen(work, i) << 3);
  for (let at = list; at < end; at += 8) {
    const power = exp2(f32x4.splat(load<f32>(at) - largest));
    store<f32>(at, f32x4.extract_lane(power, 0) * factor);
  }
}

/** Puts a key into a list, whose last entry is at `last`, if it is better than that. */
export function insert(list: usize, last: usize, product: f32, distance: u32): void {
  if (!isBetter(product, distance, last)) return;
  let at = last;
  for (; at > list && isBetter(product, distance, at - 8); at -= 8) store<u64>(at, load<u64>(at - 8));
  store<f32>(at, product);
  store<u32>(at, distance, 4);
}

/** Whether a key is to stand before an entry of a list. */
function isBetter(product: f32, distance: u32, at: usize): bool {
  const other = load<f32>(at);
  return product > other || (product == other && distance > load<u32>(at, 4));
}
