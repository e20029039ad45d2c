import { gelu, geluTanh, siluMul } from "./activation";
import { attention } from "./attention";
import { barrier } from "./barrier";
import { storeRow } from "./cache";
import { castHeads } from "./cache_format";
import { add, clip } from "./elementwise";
import { embed } from "./embed";
import { Bf16, F16 } from "./half";
import { matmulF32 } from "./matmul_f32";
import { matmulHalf } from "./matmul_half";
import { layerNorm, rmsNorm } from "./norm";
import {
  Angles,
  Attention,
  Cast,
  Clamp,
  Clip,
  Elementwise,
  Embed,
  Gather,
  Matmul,
  Norm,
  Op,
  Rope,
  Row,
  Rows,
  Size,
  Step,
} from "./op";
import { float, sliceBegin, word } from "./record";
import { angles, rope } from "./rope";

/**
 * Executes the records of a program for one step, as thread `thread` of `threads`; all threads run this at once and meet
 * at a barrier after every record. Returns how many records were executed; fewer than all if the step was aborted.
 */
export function run(program: usize, step: usize, control: usize, thread: u32, threads: u32): u32 {
  let count: u32 = 0;
  for (let record = program; word(record, 0) != Op.End; record += Size.RecordBytes) {
    execute(record, step, thread, threads);
    if (ASC_FEATURE_THREADS) {
      if (threads > 1 && !barrier(control, threads)) return count;
    }
    count++;
  }
  return count;
}

/** Executes slice `slice` of `slices` of one record. Slices touch different outputs: their order does not matter. */
export function execute(record: usize, step: usize, slice: u32, slices: u32): void {
  const op = word(record, 0);
  const rows = word(record, 1) == Rows.All ? word(step, Step.rows) : word(step, Step.logitsRows);
  if (op == Op.MatmulF32 || op == Op.MatmulBf16 || op == Op.MatmulF16) {
    executeMatmul(record, rows, slice, slices);
  } else if (op == Op.Attention) {
    executeAttention(record, step, rows, slice, slices);
  } else {
    const last = sliceBegin(rows, slice + 1, slices);
    for (let row = sliceBegin(rows, slice, slices); row < last; row++) executeRow(record, step, row);
  }
}

/** Matmuls are cut by panels, so that every slice reads a stretch of the weights of its own. */
function executeMatmul(record: usize, rows: u32, slice: u32, slices: u32): void {
  const n = word(record, Matmul.n);
  const k = word(record, Matmul.k);
  const first = sliceBegin((n + 3) >> 2, slice, slices);
  const last = sliceBegin((n + 3) >> 2, slice + 1, slices);
  const y = word(record, Matmul.y);
  const x = word(record, Matmul.x);
  const weight = word(record, Matmul.weight);
  const bias = word(record, Matmul.bias);
  const op = word(record, 0);
  if (op == Op.MatmulF32) matmulF32(y, x, weight, bias, rows, n, k, first, last);
  else if (op == Op.MatmulBf16) matmulHalf<Bf16>(y, x, weight, bias, rows, n, k, first, last);
  else matmulHalf<F16>(y, x, weight, bias, rows, n, k, first, last);
}

/**
 * Attention is cut by queries, those of one KV head after those of another: a block is some neighbouring ones that share
 * their session and their KV head.
 */
function executeAttention(record: usize, step: usize, rows: u32, slice: u32, slices: u32): void {
  const kvHeads = word(record, Attention.kvHeads);
  const group = word(record, Attention.heads) / kvHeads;
  const queries = rows * group;
  const scratch = word(record, Attention.scratch) + slice * Size.ScratchBytes;
  const last = sliceBegin(queries * kvHeads, slice + 1, slices);
  for (let unit = sliceBegin(queries * kvHeads, slice, slices); unit < last; ) {
    const first = unit % queries;
    const row = rowOf(step, first / group);
    const end = (load<u32>(row, Row.runStart) + load<u32>(row, Row.runRows)) * group;
    const count = min<u32>(Size.QueryBlock, min(last - unit, end - first));
    attention(record, row, unit / queries, first, count, scratch);
    unit += count;
  }
}

function rowOf(step: usize, index: u32): usize {
  return step + Size.StepHeaderBytes + index * Size.RowBytes;
}

/** `base` + row `index` of f32 rows of `width`. */
function at(base: u32, index: u32, width: u32): usize {
  return base + ((index * width) << 2);
}

/** The records whose rows do not meet each other. */
function executeRow(record: usize, step: usize, index: u32): void {
  switch (word(record, 0)) {
    case Op.Angles: {
      const pairs = word(record, Angles.pairs);
      const row = rowOf(step, index);
      const out = at(word(record, Angles.out), index, pairs << 2);
      const turns = word(record, Angles.turns);
      const limit = <u64>word(record, Angles.limit);
      const fixed = word(record, Angles.clamp) == Clamp.Sinks ? load<u64>(row, Row.origin) + limit : limit;
      angles(out, turns, pairs, load<u64>(row, Row.position));
      angles(out + (pairs << 3), turns, pairs, fixed);
      break;
    }
    case Op.Embed: {
      const dim = word(record, Embed.dim);
      const token = load<u32>(rowOf(step, index), Row.token);
      embed(at(word(record, Embed.y), index, dim), word(record, Embed.table), token, dim, word(record, Embed.format));
      break;
    }
    case Op.Gather: {
      const dim = word(record, Gather.dim);
      const source = load<u32>(word(step, Step.logitsIndex) + (index << 2));
      memory.copy(at(word(record, Gather.y), index, dim), at(word(record, Gather.x), source, dim), dim << 2);
      break;
    }
    case Op.RmsNorm: {
      const dim = word(record, Norm.dim);
      const x = at(word(record, Norm.x), index, dim);
      rmsNorm(at(word(record, Norm.y), index, dim), x, word(record, Norm.weight), dim, float(record, Norm.eps));
      break;
    }
    case Op.LayerNorm: {
      const dim = word(record, Norm.dim);
      const y = at(word(record, Norm.y), index, dim);
      const x = at(word(record, Norm.x), index, dim);
      layerNorm(y, x, word(record, Norm.weight), word(record, Norm.bias), dim, float(record, Norm.eps));
      break;
    }
    case Op.Rope: {
      const heads = word(record, Rope.heads);
      const headDim = word(record, Rope.headDim);
      const rotaryDim = word(record, Rope.rotaryDim);
      const y = at(word(record, Rope.y), index, heads * headDim);
      const x = at(word(record, Rope.x), index, heads * headDim);
      const cosSin = at(word(record, Rope.angles), (index << 1) + (word(record, Rope.fixed) ? 1 : 0), rotaryDim);
      rope(y, x, cosSin, heads, headDim, rotaryDim, word(record, Rope.interleaved) != 0);
      break;
    }
    case Op.Clip: {
      const dim = word(record, Clip.dim);
      clip(at(word(record, Clip.x), index, dim), dim, float(record, Clip.bound));
      break;
    }
    case Op.Cast: {
      const kvHeads = word(record, Cast.kvHeads);
      const headDim = word(record, Cast.headDim);
      const headBytes = word(record, Cast.headBytes);
      const y = word(record, Cast.y) + index * kvHeads * headBytes;
      const x = at(word(record, Cast.x), index, kvHeads * headDim);
      castHeads(y, x, kvHeads, headDim, headBytes, word(record, Cast.format));
      break;
    }
    case Op.Store:
      storeRow(record, rowOf(step, index), index);
      break;
    default:
      executeElementwise(record, index);
  }
}

function executeElementwise(record: usize, index: u32): void {
  const n = word(record, Elementwise.n);
  const y = at(word(record, Elementwise.y), index, n);
  const a = at(word(record, Elementwise.a), index, n);
  const b = at(word(record, Elementwise.b), index, n);
  switch (word(record, 0)) {
    case Op.SiluMul:
      siluMul(y, a, b, n);
      break;
    case Op.Gelu:
      gelu(y, a, n);
      break;
    case Op.GeluTanh:
      geluTanh(y, a, n);
      break;
    default:
      add(y, a, b, n);
  }
}
