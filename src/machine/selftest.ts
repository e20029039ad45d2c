import { blockBytes, CacheFormat, Format, isQuantized, Size, Step, Tuning } from "../../assembly/layout.ts";
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
  Offset,
  Op,
  Pack,
  Quantize,
  Rope,
  Span,
} from "../../assembly/op.ts";
import { messageOf } from "../base/realm.ts";
import { Arena } from "./arena.ts";
import type { KernelModule } from "./kernel_exports.ts";
import { writeRow, writeSpan } from "./step.ts";

/**
 * What the small program below computes, as XXH64 over all of its buffers. The kernels themselves are compared with an f64
 * reference in the tests; this number says that an engine runs them as the engines did on which those tests passed.
 */
export const KNOWN_ANSWER = 0x3dc81df4ce0d599an;

/** Enough for engines to compile the kernels anew, with better compilers: some need a few dozen calls. */
const RUNS = 8;
/** Four rows of one session, then one of another that has just begun. */
const RUN_ROWS = [4, 1];
const ROWS = 5;
const STORED = [Format.F32, Format.Bf16, Format.F16] as const;
const FORMATS = [...STORED, Format.Q8, Format.Q7, Format.Q4] as const;
const CACHE_FORMATS = [CacheFormat.F32, CacheFormat.Bf16, CacheFormat.Int8] as const;
/**
 * Every remainder that a kernel treats on its own, of widths (heads · headDim: 33, 38, 43, 48) and of heads; groups of query
 * heads; a ring across blocks of keys, one shorter than the step; a ceiling below the ring's length, above it, and far off.
 */
const SHAPES = [
  { heads: 3, kvHeads: 1, headDim: 11, rotaryDim: 10, nGlobal: 5, nLocal: 70, limit: 40, unrotated: true },
  { heads: 2, kvHeads: 2, headDim: 19, rotaryDim: 6, nGlobal: 7, nLocal: 2, limit: 9, unrotated: false },
  { heads: 1, kvHeads: 1, headDim: 43, rotaryDim: 42, nGlobal: 1, nLocal: 5, limit: 5, unrotated: true },
  { heads: 4, kvHeads: 2, headDim: 12, rotaryDim: 12, nGlobal: 4, nLocal: 9, limit: 10000, unrotated: true },
] as const;

/** Runs every kernel on values at their extremes, first cold, then hot. Undefined if the answers are right. */
export function selfTest(kernels: KernelModule): string | undefined {
  try {
    const answers = knownAnswers(kernels);
    const wrong = answers.findIndex((answer) => answer !== KNOWN_ANSWER);
    if (wrong < 0) return undefined;
    return `computes ${(answers[wrong] as bigint).toString(16)} for ${KNOWN_ANSWER.toString(16)} in run ${wrong + 1}`;
  } catch (error) {
    return `fails its test: ${messageOf(error)}`;
  }
}

/** The hash of every buffer after each run. */
export function knownAnswers(kernels: KernelModule): bigint[] {
  const memory = new WebAssembly.Memory({ initial: 28, maximum: 28, shared: kernels.shared });
  const { run, execute, expand, firstNonFinite, ...hash } = kernels.instantiate(memory);
  const view = new DataView(memory.buffer);
  const arena = new Arena(Size.ControlBytes);

  // Inputs: a few decades of magnitude around 1, both signs, and in every eighth place something extreme.
  const extremes = [0, -0, 65504, -65504, 6e-8, -6e-8, 1e-30, 90];
  let state = 1;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    if (state >>> 29 === 0) return extremes[(state >>> 20) & 7] as number;
    return Math.fround(((state & 0xffff) - 32768) / 2 ** ((state >>> 16) & 15));
  };
  const plain = Float32Array.from({ length: 1021 }, next);
  const [small, tiny] = [plain.map((value) => value * 2 ** -13), plain.map((value) => value * 2 ** -24)] as const;
  let first = 0;
  /** Some of these over and over, from another one on each time: new ones would take longer than the kernels. */
  const floats = (count: number, numbers = plain): number => {
    const target = new Float32Array(memory.buffer, arena.take(4 * count), count);
    first = (first + 389) % numbers.length;
    for (let done = 0, at = first; done < count; done += numbers.length - at, at = 0) {
      target.set(numbers.subarray(at, at + count - done), done);
    }
    return target.byteOffset;
  };
  const bits = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0] as number;

  const words: number[][] = [];
  const record = (op: Op, rows: Span, fields: Readonly<Record<number, number>>): void => {
    const list = new Array<number>(Size.RecordBytes / 4).fill(0);
    list[0] = op;
    list[1] = rows;
    for (const [field, value] of Object.entries(fields)) list[Number(field)] = value;
    words.push(list);
  };

  // What slices need for themselves is no result.
  const work = arena.take(Size.WorkBytes * 2);
  const results = arena.take(4 * 2);
  const slot = arena.take(0);
  const slotBytes = SHAPES.reduce((sum, shape) => sum + CACHE_FORMATS.length * 6 * partBytes(shape), 0);
  floats((RUN_ROWS.length * slotBytes) / 4, small);
  const turns = arena.take(8 * 32);
  for (let i = 0; i < 32; i++) view.setBigUint64(turns + 8 * i, 0x9e3779b97f4a7c15n >> BigInt(2 * i), true);
  const scratch = arena.take(Size.ScratchBytes * 2);
  const scratchBytes = new Uint8Array(memory.buffer, scratch, 2 * Size.ScratchBytes);
  const buffers: Uint8Array[] = [];
  let offset = 0;
  for (const [number, shape] of SHAPES.entries()) {
    const { heads, kvHeads, headDim, rotaryDim } = shape;
    const width = heads * headDim;
    const buffer = (columns = width): number => {
      const address = arena.take(4 * (ROWS + 1) * columns);
      buffers.push(new Uint8Array(memory.buffer, address, 4 * (ROWS + 1) * columns));
      return address;
    };
    const all = (op: Op, fields: Readonly<Record<number, number>>): void => record(op, Span.All, fields);
    const [x, source, weight] = [floats(ROWS * width), floats(width * width), floats(width)];
    for (const format of FORMATS) {
      const table = arena.take(48 * 48 * (format === Format.F32 ? 4 : 2));
      const places = { [Pack.dst]: table, [Pack.src]: source, [Pack.results]: results, [Pack.work]: work };
      const sizes = { [Pack.rows]: width, [Pack.k]: width, [Pack.columns]: heads > 2 ? weight : 0 };
      all(Op.Pack, { ...places, ...sizes, [Pack.source]: Format.F32, [Pack.target]: format });
      const quantized = buffer(80);
      const whole = { [Quantize.y]: quantized, [Quantize.x]: x, [Quantize.k]: width, [Quantize.format]: format };
      if (isQuantized(format)) all(Op.Quantize, whole);
      const matmul = {
        ...{ [Matmul.x]: isQuantized(format) ? quantized : x, [Matmul.weight]: table, [Matmul.n]: width },
        ...{ [Matmul.k]: width, [Matmul.format]: format, [Matmul.work]: work },
      };
      for (const rows of [Span.All, Span.Logits]) {
        const added = { [Matmul.bias]: heads > 1 ? weight : 0, [Matmul.residual]: heads > 2 ? x : 0 };
        record(Op.Matmul, rows, { [Matmul.y]: buffer(), ...added, ...matmul });
      }
      const embedded = buffer();
      const embed = { [Embed.table]: table, [Embed.dim]: width, [Embed.format]: format, [Embed.work]: work };
      all(Op.Embed, { [Embed.y]: embedded, ...embed });
      all(Op.Clip, { [Clip.x]: embedded, [Clip.dim]: width, [Clip.bound]: bits(3) });
    }
    for (const op of [Op.RmsNorm, Op.LayerNorm]) {
      const bias = heads > 1 ? source : 0;
      const norm = { [Norm.x]: x, [Norm.weight]: weight, [Norm.bias]: bias, [Norm.dim]: width, [Norm.eps]: bits(1e-5) };
      all(op, { [Norm.y]: buffer(), ...norm });
      // Numbers so small that eps decides.
      all(op, { [Norm.y]: buffer(), ...norm, [Norm.x]: floats(ROWS * width, tiny) });
    }
    const less = floats(ROWS * width, small);
    for (const op of [Op.SiluMul, Op.Gelu, Op.GeluTanh]) {
      for (const a of [x, less]) {
        all(op, { [Elementwise.y]: buffer(), [Elementwise.a]: a, [Elementwise.b]: source, [Elementwise.n]: width });
      }
    }
    record(Op.Gather, Span.Logits, { [Gather.y]: buffer(), [Gather.x]: x, [Gather.dim]: width });

    const [q, k] = [floats(ROWS * width, small), floats(ROWS * kvHeads * headDim, small)];
    const [angles, qRotated, qFixed, kRotated] = [buffer(2 * rotaryDim), buffer(), buffer(), buffer()] as const;
    const pairs = { [Angles.turns]: turns, [Angles.pairs]: rotaryDim / 2, [Angles.limit]: shape.limit };
    all(Op.Angles, { [Angles.out]: buffer(2 * rotaryDim), [Angles.clamp]: Clamp.Sinks, ...pairs });
    all(Op.Angles, { [Angles.out]: angles, [Angles.clamp]: Clamp.Distance, ...pairs });
    const dims = { [Rope.angles]: angles, [Rope.headDim]: headDim, [Rope.rotaryDim]: rotaryDim };
    all(Op.Rope, { [Rope.y]: qRotated, [Rope.x]: q, [Rope.heads]: heads, ...dims });
    all(Op.Rope, { [Rope.y]: qFixed, [Rope.x]: q, [Rope.heads]: heads, [Rope.fixed]: 1, ...dims });
    all(Op.Rope, { [Rope.y]: kRotated, [Rope.x]: k, [Rope.heads]: kvHeads, [Rope.interleaved]: 1, ...dims });
    const v = floats(ROWS * kvHeads * headDim, small);
    const cacheHeads = Math.ceil((6 * partBytes(shape)) / (ROWS * 4 * headDim));
    const cacheSource = floats(ROWS * cacheHeads * headDim, small);
    for (const format of CACHE_FORMATS) {
      const scaleBytes = 4 * Math.ceil(headDim / Size.ScaleBlock);
      const int8Bytes = ((headDim + 3) & ~3) + scaleBytes;
      const headBytes = [4 * headDim, 2 * headDim, int8Bytes][format] as number;
      const partOffset = (part: number): number => offset + (part * partBytes(shape) * headBytes) / (4 * headDim);
      /** Heads of every row in the format; with f32 those that are there. */
      const cached = (x: number, heads: number, y = buffer(heads * headDim)): number => {
        if (format === CacheFormat.F32) return x;
        const sizes = { [Cast.kvHeads]: heads, [Cast.headDim]: headDim, [Cast.headBytes]: headBytes };
        all(Op.Cast, { [Cast.y]: y, [Cast.x]: x, [Cast.format]: format, ...sizes });
        return y;
      };
      cached(cacheSource, cacheHeads, slot + offset); // the other session's slot holds zeros
      const attention = {
        [Attention.q]: qRotated,
        [Attention.qFixed]: qFixed,
        [Attention.k]: cached(kRotated, kvHeads),
        [Attention.kUnrotated]: cached(k, kvHeads),
        [Attention.v]: cached(v, kvHeads),
        [Attention.kRing]: partOffset(0),
        [Attention.kRingUnrotated]: shape.unrotated ? partOffset(1) : Offset.Unused,
        [Attention.vRing]: partOffset(2),
        [Attention.kPinned]: partOffset(3),
        [Attention.kPinnedUnrotated]: shape.unrotated ? partOffset(4) : Offset.Unused,
        [Attention.vPinned]: partOffset(5),
        [Attention.heads]: heads,
        [Attention.kvHeads]: kvHeads,
        [Attention.headDim]: headDim,
        [Attention.scale]: bits(0.125),
        [Attention.nGlobal]: shape.nGlobal,
        [Attention.nLocal]: shape.nLocal,
        [Attention.limit]: shape.limit,
        [Attention.scratch]: scratch,
        [Attention.format]: format,
        [Attention.headBytes]: headBytes,
      };
      for (const clamp of format === CacheFormat.F32 ? [Clamp.None, Clamp.Distance, Clamp.Sinks] : [Clamp.Distance]) {
        // Every shape has half of the pairs, and every pair two shapes.
        const slopes = (number + clamp + format) & 1 ? less : 0;
        const rest = { [Attention.clamp]: clamp, [Attention.slopes]: slopes };
        all(Op.Attention, { [Attention.out]: buffer(), ...attention, ...rest });
      }
      all(Op.Store, attention);
      offset += 6 * partBytes(shape);
    }
  }
  record(Op.End, Span.All, {});
  // What packing and expand make of every format, and say of numbers that are not finite there.
  const raw = floats(64);
  const packs = STORED.flatMap((from) =>
    FORMATS.map((to) => ({ from, to, dst: arena.take(2 * blockBytes(Format.Q8)) })),
  );
  const notes = arena.take(4096);

  const program = arena.take(words.length * Size.RecordBytes);
  new Uint32Array(memory.buffer, program, words.length * (Size.RecordBytes / 4)).set(words.flat());
  const packing = arena.take(Size.RecordBytes);
  const step = arena.take(Size.StepHeaderBytes + ROWS * Size.RowBytes + 8);
  writeStep(view, step, slot, slotBytes);
  const digest = arena.take(Size.HashBytes);
  const cache = new Uint8Array(memory.buffer, slot, RUN_ROWS.length * slotBytes);
  const saved = cache.slice();
  const hashOf = (from: number, to: number, piece: number): bigint => {
    hash.hashInit(digest);
    for (let at = from; at < to; at += piece) hash.hashUpdate(digest, at, Math.min(piece, to - at));
    return hash.hashDigest(digest);
  };

  return Array.from({ length: RUNS }, (_, number) => {
    cache.set(saved);
    // Every way of being quick must give the same.
    view.setUint32(step + 4 * Step.tuning, 1 + (number % 4) + (number & 4 ? Tuning.Quads : 0), true);
    for (const buffer of buffers) buffer.fill(0x55);
    let records = words.length - 1;
    if (number & 1) records = run(program, step, 0, 0, 1);
    else {
      // The same in two slices, the second one first.
      for (let i = 0; i < records; i++) {
        for (const slice of [1, 0]) execute(program + i * Size.RecordBytes, step, slice, 2);
      }
    }
    let end = notes;
    const note = (value: bigint): void => {
      view.setBigUint64(end, value, true);
      end += 8;
    };
    for (const { from, to, dst } of packs) {
      for (const bad of [NaN, Infinity, 2 ** 128 - 2 ** 119, -65520, 65520, 65504, 0, 2]) {
        view.setFloat32(raw + 4 * 9, bad, true);
        const fields = [Op.Pack, Span.All, dst, raw, 0, 3, 7, from, to, 0, results, work];
        new Uint32Array(memory.buffer, packing, fields.length).set(fields);
        execute(packing, step, 0, 1);
        note(BigInt(view.getInt32(results, true) + 64 * expand(dst, raw, 15, from)));
        note(BigInt(firstNonFinite(raw, 20) + 64 * firstNonFinite(raw + 36, 5)));
      }
    }
    note(BigInt(records));
    for (const length of [3, 12, 31, 32, 40, 47]) note(hashOf(slot, slot + length, 7));
    // The keys counted in scratch are the same for any slices; what else it holds is not.
    note(view.getBigUint64(scratch, true) + view.getBigUint64(scratch + Size.ScratchBytes, true));
    scratchBytes.fill(0);
    return BigInt.asUintN(64, hashOf(slot, program, 4099));
  });
}

/** Bytes of one part of a slot: keys or values of a shape, in the ring or pinned. */
function partBytes({ kvHeads, headDim, nLocal, nGlobal }: (typeof SHAPES)[number]): number {
  return 4 * kvHeads * headDim * Math.max(nLocal, nGlobal);
}

function writeStep(view: DataView, step: number, slot: number, slotBytes: number): void {
  const index = step + Size.StepHeaderBytes + ROWS * Size.RowBytes;
  writeSpan(view, step, Span.All, 0, ROWS);
  writeSpan(view, step, Span.Logits, 0, 2);
  view.setUint32(step + 4 * Step.gather, index, true);
  view.setUint32(index, 1, true);
  view.setUint32(index + 4, ROWS - 1, true);
  let row = 0;
  for (const [session, rows] of RUN_ROWS.entries()) {
    for (let i = 0; i < rows; i++, row++) {
      // 90 tokens before the first session's first row, 4 before the other's.
      const origin = 2n ** 53n - 200n + 7n * BigInt(session);
      const position = origin + BigInt(i) + (session ? 4n : 90n);
      const run = { slot: slot + session * slotBytes, runStart: row - i, runRows: rows };
      writeRow(view, step, row, { token: row * 7 + 2, ...run, origin, position, skipsMiddle: false });
    }
  }
}
