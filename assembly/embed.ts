import { rowAt } from "./format_f";
import { Bf16, even, F16, odd } from "./half";
import { Format, isQuantized } from "./layout";
import { loadStretch } from "./panel_q";
import { storeFloats } from "./simd";
import { stretchValues } from "./stretch";

/** y[dim] = row `id` of a packed matrix [vocab, dim], as f32. scratch: 128 bytes. */
export function embed(y: usize, table: usize, id: u32, dim: i32, format: Format, scratch: usize): void {
  if (isQuantized(format)) embedQ(y, table, id, dim, format, scratch);
  else if (format == Format.F32) embedF32(y, rowAt(table, id, dim, format), dim);
  else if (format == Format.Bf16) embedHalf<Bf16>(y, rowAt(table, id, dim, format), dim);
  else embedHalf<F16>(y, rowAt(table, id, dim, format), dim);
}

function embedF32(y: usize, p: usize, dim: i32): void {
  for (let i = 0; i < dim; i += 4) {
    storeFloats(y + ((<usize>i) << 2), v128.load(p), dim - i);
    p += 64;
  }
}

function embedHalf<T>(y: usize, p: usize, dim: i32): void {
  for (let i = 0; i < dim; i += 8) {
    const v = v128.load(p);
    const e = even<T>(v);
    const o = odd<T>(v);
    storeFloats(y + ((<usize>i) << 2), e, dim - i);
    if (dim - i > 4) storeFloats(y + ((<usize>i) << 2) + 16, o, dim - i - 4);
    p += 64;
  }
}

function embedQ(y: usize, table: usize, id: u32, dim: i32, format: Format, scratch: usize): void {
  for (let i = 0; i < dim; i += 32) {
    loadStretch(scratch, table, id, i >> 5, dim, format);
    stretchValues(scratch, scratch);
    memory.copy(y + ((<usize>i) << 2), scratch, (<usize>min(32, dim - i)) << 2);
  }
}
