import { gelu, geluTanh, geluTanhMul, siluMul } from "./activation";
import { attention, chooseMiddle, followMiddle } from "./attention";
import { barrier } from "./barrier";
import { clip, scale, softCap } from "./elementwise";
import { blocksOf } from "./format_q";
import { Bf16, F16 } from "./half";
import { Format, isQuantized, panelRows, Row, Size, Step, sourceBytes, sourceColumns, Tuning } from "./layout";
import { matmulF } from "./matmul_f";
import { observe } from "./observe";
import { Attention, Elementwise, Matmul, Op, Pack, Quantize, Read, Span } from "./op";
import { pack } from "./pack";
import { quantisedMatmul } from "./quantised";
import { quantizeBlock, quantizedRowBytes } from "./quantize";
import { readBytes } from "./read";
import { float, formatOf, sliceBegin, sourceOf, word } from "./record";
import { at, executeRow, rowOf } from "./rows";

/**
 * Executes the records of a program for one step, as thread `thread` of `threads`; all threads run this at once and meet
 * at a barrier after every record. Returns how many records were executed; fewer than all if the step was aborted.
 */
export function run(program: usize, step: usize, control: usize, thread: u32, threads: u32): u32 {
  let count: u32 = 0;
  for (let record = program; word(record, 0) != Op.End; record += Size.RecordBytes) {
    execute(record, step, thread, threads);
    if (ASC_FEATURE_THREADS) {
      if (threads > 1 && !(word(record, 1) & Span.OnTheSide) && !barrier(control, threads)) return count;
    }
    count++;
  }
  return count;
}

/** Executes slice `slice` of `slices` of one record. Slices touch different outputs: their order does not matter. */
export function execute(record: usize, step: usize, slice: u32, slices: u32): void {
  const number = word(record, 1) & 255;
  if (number >= <u32>Size.Spans) unreachable();
  const first = word(step, Step.spans + 2 * number);
  const rows = word(step, Step.spans + 2 * number + 1);
  switch (word(record, 0)) {
    case Op.Matmul:
      executeMatmul(record, first, rows, word(step, Step.tuning), slice, slices);
      break;
    case Op.Quantize:
      executeQuantize(record, first, rows, slice, slices);
      break;
    case Op.Follow:
      executeFollow(record, step, first, rows, slice, slices);
      break;
    case Op.Choose:
    case Op.Attention:
    case Op.Observe:
      executeAttention(record, step, first, rows, slice, slices);
      break;
    case Op.SiluMul:
    case Op.Gelu:
    case Op.GeluTanh:
    case Op.GeluTanhMul:
    case Op.Scale:
    case Op.Clip:
    case Op.SoftCap:
      executeElementwise(record, first, rows, slice, slices);
      break;
    case Op.Pack:
      executePack(record, slice, slices);
      break;
    case Op.Read:
      executeRead(record, slice, slices);
      break;
    default: {
      const last = first + sliceBegin(rows, slice + 1, slices);
      for (let row = first + sliceBegin(rows, slice, slices); row < last; row++) executeRow(record, step, row, slice);
    }
  }
}

/** Matmuls are cut by panels, so that every slice reads a stretch of the weights of its own. */
function executeMatmul(record: usize, firstRow: u32, rows: u32, tuning: u32, slice: u32, slices: u32): void {
  const n = word(record, Matmul.n);
  const k = word(record, Matmul.k);
  const format = formatOf(record, Matmul.format);
  const panelSize = <u32>panelRows(format);
  const panels = (n + panelSize - 1) / panelSize;
  const first = sliceBegin(panels, slice, slices);
  const last = sliceBegin(panels, slice + 1, slices);
  const y = at(word(record, Matmul.y), firstRow, n);
  const x = word(record, Matmul.x) + firstRow * (isQuantized(format) ? <u32>quantizedRowBytes(k, format) : k << 2);
  const w = word(record, Matmul.weight);
  const bias = word(record, Matmul.bias);
  const added = word(record, Matmul.residual);
  const residual = added ? at(added, firstRow, n) : 0;
  const work = word(record, Matmul.work) + slice * Size.WorkBytes;
  const streams = tuning & Tuning.Streams;
  if (isQuantized(format)) {
    const quads = (tuning & Tuning.Quads) != 0;
    quantisedMatmul(format, quads, y, x, w, bias, residual, rows, n, k, first, last, streams, work);
  } else if (format == Format.F32) {
    matmulF<f32>(y, x, w, bias, residual, rows, n, k, first, last, streams, work);
  } else if (format == Format.Bf16) {
    matmulF<Bf16>(y, x, w, bias, residual, rows, n, k, first, last, streams, work);
  } else {
    matmulF<F16>(y, x, w, bias, residual, rows, n, k, first, last, streams, work);
  }
}

/** Quantising is cut by blocks. */
function executeQuantize(record: usize, firstRow: u32, rows: u32, slice: u32, slices: u32): void {
  const k = word(record, Quantize.k);
  const format = formatOf(record, Quantize.format);
  const blocks = <u32>blocksOf(k);
  const last = sliceBegin(rows * blocks, slice + 1, slices);
  for (let unit = sliceBegin(rows * blocks, slice, slices); unit < last; unit++) {
    const row = firstRow + unit / blocks;
    const y = word(record, Quantize.y) + row * <u32>quantizedRowBytes(k, format);
    quantizeBlock(y, at(word(record, Quantize.x), row, k), unit % blocks, k, format);
  }
}

/** Elementwise records are cut by fours of numbers, wherever rows begin. */
function executeElementwise(record: usize, firstRow: u32, rows: u32, slice: u32, slices: u32): void {
  const n = word(record, Elementwise.n);
  const total = rows * n;
  const begin = sliceBegin((total + 3) >> 2, slice, slices) << 2;
  const end = min(total, sliceBegin((total + 3) >> 2, slice + 1, slices) << 2);
  if (begin >= end) return;
  const first = firstRow * n + begin;
  const count = end - begin;
  const y = at(word(record, Elementwise.y), first, 1);
  const a = at(word(record, Elementwise.a), first, 1);
  const b = at(word(record, Elementwise.b), first, 1);
  const factor = float(record, Elementwise.factor);
  switch (word(record, 0)) {
    case Op.SiluMul:
      siluMul(y, a, b, count);
      break;
    case Op.Gelu:
      gelu(y, a, count);
      break;
    case Op.GeluTanh:
      geluTanh(y, a, count);
      break;
    case Op.GeluTanhMul:
      geluTanhMul(y, a, b, count);
      break;
    case Op.Scale:
      scale(y, a, count, factor);
      break;
    case Op.Clip:
      clip(y, a, count, factor);
      break;
    default: // SoftCap
      softCap(y, a, count, factor);
  }
}

/** Reading is cut by lines of 64 bytes. */
function executeRead(record: usize, slice: u32, slices: u32): void {
  const lines = word(record, Read.bytes) >> 6;
  const first = sliceBegin(lines, slice, slices);
  const count = sliceBegin(lines, slice + 1, slices) - first;
  const digest = readBytes(word(record, Read.src) + (first << 6), count << 6);
  store<u32>(word(record, Read.results) + (slice << 2), digest);
}

/** Packing is cut by rows. */
function executePack(record: usize, slice: u32, slices: u32): void {
  const rows = word(record, Pack.rows);
  const k = word(record, Pack.k);
  const source = sourceOf(record, Pack.source);
  const target = formatOf(record, Pack.target);
  if (target >= <u32>Format.Q8_0 && sourceColumns(source) == 1) unreachable();
  const first = sliceBegin(rows, slice, slices);
  const count = sliceBegin(rows, slice + 1, slices) - first;
  const src = word(record, Pack.src) + first * (k / <u32>sourceColumns(source)) * <u32>sourceBytes(source);
  const columns = word(record, Pack.columns);
  const work = word(record, Pack.work) + slice * Size.WorkBytes;
  const firstRow = word(record, Pack.firstRow) + first;
  const table = word(record, Pack.places);
  const places = table ? table + (first << 2) : 0;
  const bad = pack(word(record, Pack.dst), src, firstRow, places, count, k, source, target, columns, work);
  store<i32>(word(record, Pack.results) + (slice << 2), bad < 0 ? -1 : bad + first * k);
}

/**
 * Attention is cut by queries, those of one KV head after those of another: a block is some neighbouring ones that share
 * their session and their KV head.
 */
function executeAttention(record: usize, step: usize, firstRow: u32, rows: u32, slice: u32, slices: u32): void {
  const kvHeads = word(record, Attention.kvHeads);
  const group = word(record, Attention.heads) / kvHeads;
  const queries = rows * group;
  const scratch = word(record, Attention.scratch) + slice * Size.ScratchBytes;
  const last = sliceBegin(queries * kvHeads, slice + 1, slices);
  for (let unit = sliceBegin(queries * kvHeads, slice, slices); unit < last; ) {
    const first = firstRow * group + (unit % queries);
    const row = rowOf(step, first / group);
    const end = min(load<u32>(row, Row.runStart) + load<u32>(row, Row.runRows), firstRow + rows) * group;
    const count = min<u32>(Size.QueryBlock, min(last - unit, end - first));
    if (word(record, 0) == Op.Attention) attention(record, row, unit / queries, first, count, scratch);
    else if (word(record, 0) == Op.Choose) chooseMiddle(record, row, unit / queries, first, count, scratch);
    else observe(record, row, unit / queries, first, count, scratch, firstRow + rows - 1);
    unit += count;
  }
}

/** Following is cut by heads: what one chose for a token hangs on what it chose for those before. */
function executeFollow(record: usize, step: usize, firstRow: u32, rows: u32, slice: u32, slices: u32): void {
  const heads = word(record, Attention.heads);
  const group = heads / word(record, Attention.kvHeads);
  const scratch = word(record, Attention.scratch) + slice * Size.ScratchBytes;
  const last = sliceBegin(heads, slice + 1, slices);
  for (let head = sliceBegin(heads, slice, slices); head < last; head++) {
    for (let row = firstRow; row < firstRow + rows; row++) {
      followMiddle(record, rowOf(step, row), head / group, row * group + (head % group), scratch);
    }
  }
}
