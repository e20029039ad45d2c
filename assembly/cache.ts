import { Row } from "./layout";
import { Attention, Offset } from "./op";
import { word } from "./record";

/**
 * Stores one row's keys and values in its session's slot, after the layer's attention: in the ring, unless a later row
 * of the step will take the same place; in the pinned slots if the position is one of the first nGlobal; and in the
 * ring of middle keys if there is one.
 */
export function storeRow(record: usize, row: usize, index: u32): void {
  const position = load<u64>(row, Row.position);
  const slot = <usize>load<u32>(row, Row.slot);
  const later = load<u32>(row, Row.runStart) + load<u32>(row, Row.runRows) - 1 - index;
  const nLocal = word(record, Attention.nLocal);
  if (later < nLocal) {
    const at = <u32>(position % <u64>nLocal);
    copyHeads(record, Attention.kRing, Attention.k, slot, index, at, nLocal);
    copyHeads(record, Attention.kRingUnrotated, Attention.kUnrotated, slot, index, at, nLocal);
    copyHeads(record, Attention.vRing, Attention.v, slot, index, at, nLocal);
  }
  const nGlobal = word(record, Attention.nGlobal);
  const number = position - load<u64>(row, Row.origin);
  if (number < <u64>nGlobal) {
    copyHeads(record, Attention.kPinned, Attention.k, slot, index, <u32>number, nGlobal);
    copyHeads(record, Attention.kPinnedUnrotated, Attention.kUnrotated, slot, index, <u32>number, nGlobal);
    copyHeads(record, Attention.vPinned, Attention.v, slot, index, <u32>number, nGlobal);
  }
  const places = word(record, Attention.recallPlaces);
  if (word(record, Attention.recall) && later < places) {
    const at = <u32>(position % <u64>places);
    const values = slot + word(record, Attention.kvHeads) * places * word(record, Attention.headBytes);
    copyHeads(record, Attention.kvRecall, Attention.kUnrotated, slot, index, at, places);
    copyHeads(record, Attention.kvRecall, Attention.v, values, index, at, places);
  }
}

/**
 * slot.to[kvHeads, places, headBytes] at `place` = from[row, kvHeads, headBytes]; does nothing if the slot has no such
 * part.
 */
function copyHeads(
  record: usize,
  to: Attention,
  from: Attention,
  slot: usize,
  index: u32,
  place: u32,
  places: u32,
): void {
  const offset = word(record, to);
  if (offset == <u32>Offset.Unused) return;
  const kvHeads = word(record, Attention.kvHeads);
  const bytes = word(record, Attention.headBytes);
  let source = word(record, from) + index * kvHeads * bytes;
  let target = slot + offset + place * bytes;
  for (let head: u32 = 0; head < kvHeads; head++) {
    memory.copy(target, source, bytes);
    source += bytes;
    target += <usize>places * bytes;
  }
}
