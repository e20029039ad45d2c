/** What the self-test runs: every kernel, in a small program over one memory. */
import {
  blockBytes,
  CacheFormat,
  Format,
  isQuantized,
  Size,
  SourceColumns,
  sourceColumns,
} from "../../assembly/layout.ts";
import {
  Attention,
  Cast,
  Elementwise,
  Embed,
  Gather,
  Matmul,
  Norm,
  Op,
  Pack,
  Quantize,
  Span,
} from "../../assembly/op.ts";
import { Angles, Clamp, Rope, Temper } from "../../assembly/op_positions.ts";
import { Arena } from "./arena.ts";
import { choosingBytes } from "./code_sizes.ts";
import type { Fields } from "./selftest_caches.ts";
import { bits, cacheOf, partBytes, RECALL_BLOCKS, recallBytes, recallOf, writeChosen } from "./selftest_caches.ts";
import {
  CACHES,
  entryOf,
  KEPT,
  type Kept,
  MATRICES,
  type Part,
  SHAPES,
  type Shape,
  someBlocks,
  someNumbers,
} from "./selftest_inputs.ts";
import { ROWS, RUN_ROWS } from "./selftest_step.ts";

/** Rows of matrices that keep blocks: not whole panels, and one for each id of a token. */
const KEPT_ROWS = 31;

/** The records of a part, the addresses of what they read and write, and the step that they run on. */
export class TestProgram {
  readonly view: DataView;
  readonly arena = new Arena(Size.ControlBytes);
  /** What slices need for themselves, which is no result, and what packing says of each. */
  readonly work: number;
  readonly results: number;
  /** Two session slots of some numbers. */
  readonly slot: number;
  readonly slotBytes: number;
  readonly scratch: number;
  /** All that is written but the slots. */
  readonly buffers: Uint8Array[] = [];
  readonly words: number[][] = [];
  readonly #memory: WebAssembly.Memory;
  readonly #numbers = someNumbers();
  readonly #turns: number;
  /** Where in a slot the next shape's middle keys and values are: behind all caches. */
  #recalled: number;
  #first = 0;

  constructor(memory: WebAssembly.Memory, part: Part) {
    this.#memory = memory;
    this.view = new DataView(memory.buffer);
    const { arena, view } = this;
    this.work = arena.take(2 * Math.max(Size.WorkBytes, choosingBytes(RECALL_BLOCKS)));
    this.results = arena.take(4 * 2);
    this.slot = arena.take(0);
    const caches = part === "recall" ? Object.values(CACHES) : [entryOf(CACHES, part)];
    const size = (bytes: (shape: Shape) => number) => SHAPES.reduce((sum, shape) => sum + bytes(shape), 0);
    this.#recalled = caches[0] === undefined ? 0 : size((shape) => 6 * partBytes(shape));
    this.slotBytes = this.#recalled + (part === "recall" ? size(recallBytes) : 0);
    this.floats((RUN_ROWS.length * this.slotBytes) / 4, "small");
    this.#turns = arena.take(8 * 32);
    for (let i = 0; i < 32; i++) view.setBigUint64(this.#turns + 8 * i, 0x9e3779b97f4a7c15n >> BigInt(2 * i), true);
    this.scratch = arena.take(Size.ScratchBytes * 2);
    const [format, kept] = [entryOf(MATRICES, part), entryOf(KEPT, part)];
    let offset = 0;
    for (const [number, shape] of kept ? [] : SHAPES.entries()) {
      const width = shape.heads * shape.headDim;
      const [x, source, weight] = [this.floats(ROWS * width), this.floats(width * width), this.floats(width)];
      const less = this.floats(ROWS * width, "small");
      const cache = caches[number % caches.length];
      if (format !== undefined) this.#matmuls(shape, format, x, source, weight);
      else if (cache !== undefined) {
        this.#attentions(number, shape, cache, less, offset, part === "recall");
        offset += 6 * partBytes(shape);
      } else {
        this.#norms(shape, x, source, weight);
        this.#elementwise(width, x, less, source);
      }
    }
    if (kept) this.#kept(kept, this.floats(ROWS * SourceColumns.SuperBlock));
    this.#record(Op.End, Span.All, {});
  }

  /** Some numbers over and over, from another one on each time: new ones would take longer than the kernels. */
  floats(count: number, kind: "plain" | "small" | "tiny" = "plain"): number {
    const numbers = this.#numbers[kind];
    const target = new Float32Array(this.#memory.buffer, this.arena.take(4 * count), count);
    this.#first = (this.#first + 389) % numbers.length;
    for (let done = 0, at = this.#first; done < count; done += numbers.length - at, at = 0) {
      target.set(numbers.subarray(at, at + count - done), done);
    }
    return target.byteOffset;
  }

  #buffer(columns: number): number {
    const address = this.arena.take(4 * (ROWS + 1) * columns);
    this.buffers.push(new Uint8Array(this.#memory.buffer, address, 4 * (ROWS + 1) * columns));
    return address;
  }

  #record(op: Op, span: Span, fields: Fields): void {
    const list = new Array<number>(Size.RecordBytes / 4).fill(0);
    list[0] = op;
    list[1] = span;
    for (const [field, value] of Object.entries(fields)) list[Number(field)] = value;
    this.words.push(list);
  }

  #all(op: Op, fields: Fields): void {
    this.#record(op, Span.All, fields);
  }

  /** A matrix of a format: packed, multiplied by, and its rows as embeddings. */
  #matmuls({ heads, headDim }: Shape, format: Format, x: number, source: number, weight: number): void {
    const { work, results } = this;
    const width = heads * headDim;
    const table = this.arena.take(48 * 48 * (format === Format.F32 ? 4 : 2));
    const places = { [Pack.dst]: table, [Pack.src]: source, [Pack.results]: results, [Pack.work]: work };
    const sizes = { [Pack.rows]: width, [Pack.k]: width, [Pack.columns]: heads > 2 ? weight : 0 };
    this.#all(Op.Pack, { ...places, ...sizes, [Pack.source]: Format.F32, [Pack.target]: format });
    const added = { [Matmul.bias]: heads > 1 ? weight : 0, [Matmul.residual]: heads > 2 ? x : 0 };
    const embedded = this.#uses(width, width, format, table, x, added);
    const clip = { [Elementwise.y]: embedded, [Elementwise.a]: embedded, [Elementwise.factor]: bits(3) };
    this.#all(Op.Clip, { ...clip, [Elementwise.n]: width });
  }

  /** A packed matrix [n, k] multiplied by, and its rows as embeddings, whose buffer is returned. */
  #uses(n: number, k: number, format: Format, table: number, x: number, added: Fields): number {
    const quantized = this.#buffer(18 * Math.ceil(k / 32));
    const whole = { [Quantize.y]: quantized, [Quantize.x]: x, [Quantize.k]: k, [Quantize.format]: format };
    if (isQuantized(format)) this.#all(Op.Quantize, whole);
    const matmul = {
      ...{ [Matmul.x]: isQuantized(format) ? quantized : x, [Matmul.weight]: table, [Matmul.n]: n },
      ...{ [Matmul.k]: k, [Matmul.format]: format, [Matmul.work]: this.work },
    };
    for (const span of [Span.All, Span.Logits]) {
      this.#record(Op.Matmul, span, { [Matmul.y]: this.#buffer(n), ...added, ...matmul });
    }
    const embedded = this.#buffer(k);
    const embed = { [Embed.table]: table, [Embed.dim]: k, [Embed.format]: format, [Embed.work]: this.work };
    this.#all(Op.Embed, { [Embed.y]: embedded, ...embed });
    return embedded;
  }

  /** A matrix that keeps the numbers of ggml's blocks. */
  #kept(kept: Kept, x: number): void {
    const { format, source } = kept;
    const k = Math.max(64, sourceColumns(source));
    const bytes = someBlocks((KEPT_ROWS * k) / sourceColumns(source), kept);
    const src = this.arena.take(bytes.length + 16);
    new Uint8Array(this.#memory.buffer).set(bytes, src);
    const table = this.arena.take(2 * (k / 32) * blockBytes(format));
    const places = { [Pack.dst]: table, [Pack.src]: src, [Pack.results]: this.results, [Pack.work]: this.work };
    const sizes = { [Pack.rows]: KEPT_ROWS, [Pack.k]: k, [Pack.source]: source, [Pack.target]: format };
    this.#all(Op.Pack, { ...places, ...sizes });
    this.#uses(KEPT_ROWS, k, format, table, x, {});
  }

  #norms({ heads, headDim }: Shape, x: number, source: number, weight: number): void {
    const width = heads * headDim;
    for (const op of [Op.RmsNorm, Op.LayerNorm]) {
      const bias = heads > 1 ? source : 0;
      const norm = {
        [Norm.x]: x,
        [Norm.weight]: weight,
        [Norm.bias]: bias,
        [Norm.dim]: width,
        [Norm.eps]: bits(1e-5),
        [Norm.groups]: 1,
      };
      this.#all(op, { [Norm.y]: this.#buffer(width), ...norm });
      this.#all(op, { [Norm.y]: this.#buffer(width), ...norm, [Norm.x]: this.floats(ROWS * width, "tiny") });
    }
    const byHead = { [Norm.dim]: headDim, [Norm.groups]: heads, [Norm.residual]: heads > 1 ? x : 0 };
    const rest = { [Norm.x]: x, [Norm.weight]: weight, [Norm.eps]: bits(1e-5) };
    this.#all(Op.RmsNorm, { [Norm.y]: this.#buffer(width), ...rest, ...byHead });
  }

  #elementwise(width: number, x: number, less: number, source: number): void {
    for (const op of [Op.SiluMul, Op.Gelu, Op.GeluTanh, Op.GeluTanhMul, Op.Scale, Op.SoftCap]) {
      for (const a of [x, less]) {
        const places = { [Elementwise.y]: this.#buffer(width), [Elementwise.a]: a, [Elementwise.b]: source };
        this.#all(op, { ...places, [Elementwise.n]: width, [Elementwise.factor]: bits(3) });
      }
    }
    this.#record(Op.Gather, Span.Logits, { [Gather.y]: this.#buffer(width), [Gather.x]: x, [Gather.dim]: width });
  }

  /** Rotations, then attention over a cache at `offset` of a slot; `recalls`: also over middle tokens. */
  #attentions(number: number, shape: Shape, format: CacheFormat, less: number, offset: number, recalls: boolean): void {
    const { heads, kvHeads, headDim } = shape;
    const [q, k] = [this.floats(ROWS * heads * headDim, "small"), this.floats(ROWS * kvHeads * headDim, "small")];
    const { qRotated, qFixed, kRotated } = this.#rotations(shape, q, k);
    const v = this.floats(ROWS * kvHeads * headDim, "small");
    const scaleBytes = 4 * Math.ceil(headDim / Size.ScaleBlock);
    const int8Bytes = ((headDim + 3) & ~3) + scaleBytes;
    const headBytes = [4 * headDim, 2 * headDim, int8Bytes][format] as number;
    /** Heads of every row in the format; with f32 those that are there. */
    const cached = (x: number, count: number, y = this.#buffer(count * headDim)): number => {
      if (format === CacheFormat.F32) return x;
      const sizes = { [Cast.kvHeads]: count, [Cast.headDim]: headDim, [Cast.headBytes]: headBytes };
      this.#all(Op.Cast, { [Cast.y]: y, [Cast.x]: x, [Cast.format]: format, ...sizes });
      return y;
    };
    const cacheHeads = Math.ceil((6 * partBytes(shape)) / (ROWS * 4 * headDim));
    const cacheSource = this.floats(ROWS * cacheHeads * headDim, "small");
    for (const slot of RUN_ROWS.keys()) {
      cached(cacheSource, cacheHeads, this.slot + slot * this.slotBytes + offset);
    }
    const attention = {
      ...{ [Attention.q]: qRotated, [Attention.qFixed]: qFixed, [Attention.k]: cached(kRotated, kvHeads) },
      ...{ [Attention.kUnrotated]: cached(k, kvHeads), [Attention.v]: cached(v, kvHeads) },
      ...cacheOf(shape, format, headBytes, offset),
      [Attention.scratch]: this.scratch,
    };
    for (const clamp of format === CacheFormat.F32 ? [Clamp.None, Clamp.Distance, Clamp.Sinks] : [Clamp.Distance]) {
      // Every shape has half of the pairs, and every pair two shapes.
      const slopes = (number + clamp + format) & 1 ? less : 0;
      const softCap = number === 2 ? bits(0.5) : 0;
      const rest = { [Attention.clamp]: clamp, [Attention.slopes]: slopes, [Attention.softCap]: softCap };
      this.#all(Op.Attention, { [Attention.out]: this.#buffer(heads * headDim), ...attention, ...rest });
    }
    this.#all(Op.Store, attention);
    const slopes = number & 1 ? less : 0;
    if (recalls) this.#recall(shape, { ...attention, [Attention.clamp]: Clamp.Distance, [Attention.slopes]: slopes });
  }

  /** Middle keys and values stored, coded, looked for and attended to. */
  #recall(shape: Shape, attention: Fields): void {
    const { heads, headDim } = shape;
    const chosen = this.#buffer(6 * heads);
    const gates = new Float32Array(this.#memory.buffer, this.arena.take(4 * heads), heads).fill(2 ** -6);
    // Head 1 does not look back.
    gates[1] = Infinity;
    const own = { [Attention.chosen]: chosen, [Attention.gates]: gates.byteOffset };
    const fields: Fields = {
      ...attention,
      ...recallOf(shape, this.#recalled),
      ...own,
      [Attention.recallWork]: this.work,
    };
    const runs = this.slot + (fields[Attention.runs] as number);
    for (const slot of RUN_ROWS.keys()) writeChosen(this.#memory, runs + slot * this.slotBytes, shape);
    this.#recalled += recallBytes(shape);
    this.#all(Op.Store, fields);
    this.#all(Op.Seal, fields);
    const qRecall = attention[Attention.qFixed] as number;
    const looks = { ...fields, [Attention.qRecall]: qRecall, [Attention.out]: this.#buffer(heads * headDim) };
    for (const op of [Op.Choose, Op.Follow, Op.Attention, Op.Seal]) this.#all(op, looks);
  }

  #rotations({ heads, kvHeads, headDim, rotaryDim, limit }: Shape, q: number, k: number) {
    const buffer = (columns = heads * headDim) => this.#buffer(columns);
    const [angles, qRotated, qFixed, kRotated] = [buffer(2 * rotaryDim), buffer(), buffer(), buffer()] as const;
    const factors = { [Angles.factor]: bits(1.1), [Angles.fixedFactor]: bits(1.21) };
    const pairs = { [Angles.turns]: this.#turns, [Angles.pairs]: rotaryDim / 2, [Angles.limit]: limit, ...factors };
    this.#all(Op.Angles, { [Angles.out]: buffer(2 * rotaryDim), [Angles.clamp]: Clamp.Sinks, ...pairs });
    this.#all(Op.Angles, { [Angles.out]: angles, [Angles.clamp]: Clamp.Distance, ...pairs });
    const temper = { [Temper.dim]: heads * headDim, [Temper.beta]: bits(0.1), [Temper.original]: 3 };
    this.#all(Op.Temper, { [Temper.y]: buffer(), [Temper.x]: q, ...temper });
    const dims = { [Rope.angles]: angles, [Rope.headDim]: headDim, [Rope.rotaryDim]: rotaryDim };
    this.#all(Op.Rope, { [Rope.y]: qRotated, [Rope.x]: q, [Rope.heads]: heads, ...dims });
    this.#all(Op.Rope, { [Rope.y]: qFixed, [Rope.x]: q, [Rope.heads]: heads, [Rope.fixed]: 1, ...dims });
    this.#all(Op.Rope, { [Rope.y]: kRotated, [Rope.x]: k, [Rope.heads]: kvHeads, [Rope.interleaved]: 1, ...dims });
    return { qRotated, qFixed, kRotated };
  }

  /** The bytes of all slots. */
  get cache(): Uint8Array {
    return new Uint8Array(this.#memory.buffer, this.slot, RUN_ROWS.length * this.slotBytes);
  }

  /** Writes the records into the memory; returns their address. */
  writeRecords(): number {
    const program = this.arena.take(this.words.length * Size.RecordBytes);
    new Uint32Array(this.#memory.buffer, program, this.words.length * (Size.RecordBytes / 4)).set(this.words.flat());
    return program;
  }
}
