/**
 * Which middle keys a query attends to: of those between the pinned and the local ones, at most maxMiddle before the
 * latter, the middleK with the largest scores; of equal scores, the smaller position. see: LM-Infinite §3, top-k middle
 * tokens
 *
 * Scores are without ALiBi's bias, which is the same for all. A query's list in Attention.chosen is sorted by score.
 */
import { headOf, positionOf, rowOf, Work } from "./attention_keys";
import { Size } from "./layout";
import { Attention } from "./op";
import { word } from "./record";

/** Where query i's list starts. */
export function chosenAt(work: usize, i: u32): usize {
  const record = load<u32>(work, Work.record);
  const number = rowOf(work, i) * word(record, Attention.heads) + headOf(work, i);
  return word(record, Attention.chosen) + ((number * word(record, Attention.middleK)) << 3);
}

/** Empties query i's list: no middle key has distance 0. */
export function forget(work: usize, i: u32): void {
  const list = chosenAt(work, i);
  const end = list + (word(load<u32>(work, Work.record), Attention.middleK) << 3);
  for (let at = list; at < end; at += 8) {
    store<f32>(at, -Infinity);
    store<u32>(at, 0, 4);
  }
}

/** How many keys query i has chosen. */
export function chosen(work: usize, i: u32): u32 {
  const list = chosenAt(work, i);
  const most = word(load<u32>(work, Work.record), Attention.middleK);
  let count: u32 = 0;
  while (count < most && load<u32>(list + (count << 3), 4)) count++;
  return count;
}

/** Inserts the keys of a block, whose scores[KeyBlock] are −∞ where there is none, into query i's sorted list. */
export function choose(work: usize, block: u64, i: u32, scores: usize): void {
  const list = chosenAt(work, i);
  const last = list + ((word(load<u32>(work, Work.record), Attention.middleK) - 1) << 3);
  const position = positionOf(work, i);
  for (let t = 0; t < Size.KeyBlock; t += 4) {
    // Most keys are not among the best.
    if (!v128.any_true(f32x4.gt(v128.load(scores + (t << 2)), v128.load32_splat(last)))) continue;
    for (let n = t; n < t + 4; n++) {
      const score = load<f32>(scores + (n << 2));
      if (!(score > load<f32>(last))) continue;
      let at = last;
      for (; at > list && score > load<f32>(at - 8); at -= 8) store<u64>(at, load<u64>(at - 8));
      store<f32>(at, score);
      store<u32>(at, <u32>(position - block - <u64>n), 4);
    }
  }
}
