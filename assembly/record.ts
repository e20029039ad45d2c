import { Format, Source } from "./layout";

/** Operands of a record, by their word offsets (op.ts). */

export function word(record: usize, field: i32): u32 {
  return load<u32>(record + ((<usize>field) << 2));
}

export function float(record: usize, field: i32): f32 {
  return load<f32>(record + ((<usize>field) << 2));
}

/** The first of `total` units that slice `slice` of `slices` works on; its last is the next slice's first. */
export function sliceBegin(total: u32, slice: u32, slices: u32): u32 {
  return <u32>((<u64>total * slice) / slices);
}

/** The weights' format in a record's word `index`; an unknown one traps. */
export function formatOf(record: usize, index: u32): u32 {
  const format = word(record, index);
  if (format > <u32>Format.Q2_K) unreachable();
  return format;
}

/** The format of stored numbers in a record's word `index`; an unknown one traps. */
export function sourceOf(record: usize, index: u32): u32 {
  const source = word(record, index);
  if (source > <u32>Source.IQ4_XS) unreachable();
  return source;
}
