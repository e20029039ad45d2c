/** The records whose rows do not meet each other, one row at a time. */
import { storeRow } from "./cache";
import { castHeads } from "./cache_format";
import { keepChosen } from "./chosen";
import { sealRow } from "./codes";
import { embed } from "./embed";
import { Row, Size, Step } from "./layout";
import { nllRow } from "./nll";
import { layerNorm, rmsNorm } from "./norm";
import { Cast, Embed, Gather, Norm, Op, Tap } from "./op";
import { Angles, Clamp, Rope, Temper } from "./op_positions";
import { float, formatOf, word } from "./record";
import { angles, rope, temper } from "./rope";

export function rowOf(step: usize, index: u32): usize {
  return step + Size.StepHeaderBytes + index * Size.RowBytes;
}

/** `base` + row `index` of f32 rows of `width`. */
export function at(base: u32, index: u32, width: u32): usize {
  return base + ((index * width) << 2);
}

/** Executes a record for row `index` of the step, or of its span's buffers. */
export function executeRow(record: usize, step: usize, index: u32, slice: u32): void {
  switch (word(record, 0)) {
    case Op.Angles: {
      const pairs = word(record, Angles.pairs);
      const row = rowOf(step, index);
      const out = at(word(record, Angles.out), index, pairs << 2);
      const turns = word(record, Angles.turns);
      const limit = <u64>word(record, Angles.limit);
      const fixed = word(record, Angles.clamp) == Clamp.Sinks ? load<u64>(row, Row.origin) + limit : limit;
      angles(out, turns, pairs, load<u64>(row, Row.position), float(record, Angles.factor));
      angles(out + (pairs << 3), turns, pairs, fixed, float(record, Angles.fixedFactor));
      break;
    }
    case Op.Embed: {
      const dim = word(record, Embed.dim);
      const token = load<u32>(rowOf(step, index), Row.token);
      const y = at(word(record, Embed.y), index, dim);
      const work = word(record, Embed.work) + slice * Size.WorkBytes;
      embed(y, word(record, Embed.table), token, dim, formatOf(record, Embed.format), work);
      break;
    }
    case Op.Gather: {
      const dim = word(record, Gather.dim);
      const source = load<u32>(word(step, Step.gather) + (index << 2));
      memory.copy(at(word(record, Gather.y), index, dim), at(word(record, Gather.x), source, dim), dim << 2);
      break;
    }
    case Op.RmsNorm: {
      const dim = word(record, Norm.dim);
      const groups = word(record, Norm.groups);
      const residual = word(record, Norm.residual);
      for (let n = index * groups; n < (index + 1) * groups; n++) {
        const y = at(word(record, Norm.y), n, dim);
        const x = at(word(record, Norm.x), n, dim);
        const added = residual ? at(residual, n, dim) : 0;
        rmsNorm(y, x, word(record, Norm.weight), added, dim, float(record, Norm.eps));
      }
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
    case Op.Temper: {
      const dim = word(record, Temper.dim);
      const row = rowOf(step, index);
      const before = load<u64>(row, Row.position) - load<u64>(row, Row.origin);
      const limit = <u64>word(record, Temper.limit);
      const position = word(record, Temper.clamp) == Clamp.None ? before : min(before, limit);
      const x = at(word(record, Temper.x), index, dim);
      temper(
        at(word(record, Temper.y), index, dim),
        x,
        dim,
        position,
        word(record, Temper.original),
        float(record, Temper.beta),
      );
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
    case Op.Nll:
      nllRow(record, index);
      break;
    case Op.Tap: {
      const dim = word(record, Tap.dim);
      memory.copy(at(word(record, Tap.y), index, dim), at(word(record, Tap.x), index, dim), dim << 2);
      break;
    }
    case Op.Store:
      storeRow(record, rowOf(step, index), index);
      break;
    case Op.Seal:
      sealRow(record, rowOf(step, index));
      keepChosen(record, rowOf(step, index), index);
      break;
    default:
      unreachable(); // an unknown operation
  }
}
