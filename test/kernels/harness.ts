/** What the tests of the kernels share: a memory that shows every stray access, and records written by name. */
import {
  activationBytes as activationBytesOf,
  blockBytes,
  Format,
  Size,
  Source,
  Step,
  Tuning,
} from "../../assembly/layout.ts";
import { Op, Pack, Quantize, Span } from "../../assembly/op.ts";
import { align } from "../../src/machine/arena.ts";
import type { KernelExports } from "../../src/machine/kernel_exports.ts";
import type { Build } from "../../src/machine/kernels.ts";
import { ALL_PINNED, writeRow, writeSpan } from "../../src/machine/step.ts";
import { packedBytesOf, type QuantizedFormat } from "../reference/quantized.ts";
import { kernels } from "../setup.ts";

/** The two that need no shared memory; they differ in how they read 16-bit numbers and add products of 8-bit ones. */
export const SINGLE_BUILDS = ["single-plain", "single-relaxed"] as const;

const { F32, Bf16, F16, Q8, Q7, Q4 } = Format;
/** Formats that numbers are stored in, and all that matrices are packed in. */
export const STORED = { f32: F32, bf16: Bf16, f16: F16 } as const;
export const FORMATS = { ...STORED, q8: Q8, q7: Q7, q4: Q4 } as const;
export const STORED_NAMES = Object.keys(STORED) as (keyof typeof STORED)[];
export const FORMAT_NAMES = Object.keys(FORMATS) as (keyof typeof FORMATS)[];
export const QUANTIZED_NAMES: readonly QuantizedFormat[] = ["q8", "q7", "q4"];

/** Every Step.tuning. */
export const TUNINGS = [1, 2, 3, 4].flatMap((streams) => [streams, streams | Tuning.Quads]);

const PAGES = 128;
const GUARD = 64;
/** A byte of which four are a NaN in f32, and two in bf16 and f16: what is read outside an input poisons the result. */
const POISON = 0xff;

/** A row of the step; what is left out is 0. */
export interface TestRow {
  readonly token?: number;
  /** Address of the session's slot. */
  readonly slot?: number;
  readonly runStart?: number;
  readonly runRows?: number;
  readonly position?: bigint;
  readonly origin?: bigint;
  readonly skipsRecall?: number;
  readonly nGlobal?: number | undefined;
  readonly begin?: bigint;
}

export class Bench {
  readonly kernels: KernelExports;
  readonly view: DataView<ArrayBuffer>;
  readonly bytes: Uint8Array<ArrayBuffer>;
  #end = 0;
  #taken: { begin: number; end: number }[] = [];
  #record = 0;
  #step = 0;

  private constructor(exports: KernelExports, memory: WebAssembly.Memory) {
    this.kernels = exports;
    this.bytes = new Uint8Array(memory.buffer as ArrayBuffer).fill(POISON);
    this.view = new DataView(memory.buffer as ArrayBuffer);
    this.clear();
  }

  static async open(build: Build = "single-plain"): Promise<Bench> {
    const { instantiate, shared } = await kernels(build);
    const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared });
    return new Bench(instantiate(memory), memory);
  }

  /** Takes everything back. */
  clear(): void {
    this.bytes.fill(POISON, 0, this.#end);
    this.#end = 0;
    this.#taken = [];
    this.#record = this.take(Size.RecordBytes);
    this.#step = this.take(Size.StepHeaderBytes);
  }

  /** The address of `bytes` bytes, all poison, with poison around them. */
  take(bytes: number): number {
    const begin = this.#end + GUARD;
    this.#end = align(begin + bytes);
    if (this.#end + GUARD > this.bytes.length) throw new RangeError("the test's memory is full");
    this.#taken.push({ begin, end: begin + bytes });
    return begin;
  }

  /** The address of these f32. */
  floats(values: ArrayLike<number>): number {
    const address = this.take(4 * values.length);
    new Float32Array(this.view.buffer, address, values.length).set(values);
    return address;
  }

  /** The address of `count` f32 that are NaN. */
  output(count: number): number {
    return this.take(4 * count);
  }

  /** A copy of `count` f32. */
  read(address: number, count: number): Float32Array {
    return new Float32Array(this.view.buffer, address, count).slice();
  }

  /** The address of what `slices` slices need for themselves. */
  work(slices = 1): number {
    return this.take(slices * Size.WorkBytes);
  }

  /** Executes Op.Pack; for each slice the index in src of its first bad number, −1 where it has none. */
  pack(
    words: Pick<Record<keyof typeof Pack, number>, "dst" | "src" | "rows" | "k" | "source" | "target"> & {
      readonly firstRow?: number;
      readonly places?: number;
    },
    slices = 1,
  ): number[] {
    const results = this.take(4 * slices);
    this.execute(Op.Pack, Pack, { ...words, results, work: this.work(slices) }, { slices });
    return [...new Int32Array(this.view.buffer, results, slices)];
  }

  /** The address of the packed matrix [n, k] of these f32; its rows beyond n stay poison. */
  matrix(values: ArrayLike<number>, n: number, k: number, format: Format): number {
    const dst = this.take(packedBytes(n, k, format));
    const [bad] = this.pack({ dst, src: this.floats(values), rows: n, k, source: Source.F32, target: format });
    if (bad !== -1) throw new RangeError(`pack refused number ${bad}`);
    return dst;
  }

  /** The address of all the step's rows x[rows, k], as a matmul by a matrix of this format takes them. */
  activations(x: Float32Array, k: number, format: Format, slices = 1): number {
    const floats = this.floats(x);
    if (!quantized(format)) return floats;
    const y = this.take((x.length / k) * activationBytes(k, format));
    this.execute(Op.Quantize, Quantize, { y, x: floats, k, format }, { slices });
    return y;
  }

  /** Writes the step: its rows, and which of them want logits. */
  step(rows: readonly TestRow[], wanted: readonly number[] = [], tuning = 4): void {
    this.#step = this.take(Size.StepHeaderBytes + rows.length * Size.RowBytes);
    const index = this.take(4 * wanted.length);
    writeSpan(this.view, this.#step, Span.All, 0, rows.length);
    writeSpan(this.view, this.#step, Span.Logits, 0, wanted.length);
    this.view.setUint32(this.#step + 4 * Step.gather, index, true);
    this.view.setUint32(this.#step + 4 * Step.tuning, tuning, true);
    for (const [i, row] of wanted.entries()) this.view.setUint32(index + 4 * i, row, true);
    for (const [i, row] of rows.entries()) {
      writeRow(this.view, this.#step, i, {
        ...{ token: row.token ?? 0, slot: row.slot ?? 0, runStart: row.runStart ?? 0, runRows: row.runRows ?? 0 },
        ...{ position: row.position ?? 0n, origin: row.origin ?? 0n, skipsRecall: row.skipsRecall === 1 },
        ...{ nGlobal: row.nGlobal ?? ALL_PINNED, begin: row.begin ?? 0n },
      });
    }
  }

  /** Says which rows of the step Span.Logits has. */
  span(first: number, count: number): void {
    writeSpan(this.view, this.#step, Span.Logits, first, count);
  }

  /** A step of `count` rows of which nothing matters but their number. */
  rows(count: number, tuning = 4): void {
    this.step(
      Array.from({ length: count }, () => ({})),
      [],
      tuning,
    );
  }

  /**
   * Executes one record, in `slices` slices, or `only` one of them. Its words come by the names that the op's enum gives
   * them; what is left out is 0.
   */
  execute<E extends object>(
    op: Op,
    names: E,
    words: Partial<Record<keyof E, number>>,
    { span = Span.All, slices = 1, only = -1 }: { span?: Span; slices?: number; only?: number } = {},
  ): void {
    this.bytes.fill(0, this.#record, this.#record + Size.RecordBytes);
    this.view.setUint32(this.#record, op, true);
    this.view.setUint32(this.#record + 4, span, true);
    for (const [name, value] of Object.entries(words)) {
      this.view.setUint32(this.#record + 4 * (names as Record<string, number>)[name]!, value as number, true);
    }
    for (let slice = 0; slice < slices; slice++) {
      if (only < 0 || only === slice) this.kernels.execute(this.#record, this.#step, slice, slices);
    }
  }

  /** Throws if anything outside of what was taken has been written to. */
  checkGuards(): void {
    let from = 0;
    for (const { begin, end } of [...this.#taken, { begin: this.#end + GUARD, end: 0 }]) {
      for (let i = from; i < begin; i++) {
        if (this.bytes[i] !== POISON) throw new Error(`wrote outside its output, ${i - from} bytes beyond an end`);
      }
      from = end;
    }
  }
}

/** Whether a matmul takes quantised activations. */
export function quantized(format: Format): boolean {
  return format >= Format.Q8;
}

/** Bytes of a row of quantised activations. */
export function activationBytes(k: number, format: Format): number {
  return Math.ceil(k / 32) * activationBytesOf(format);
}

/** Numbers in a chunk of 16 bytes; float formats only. */
export function perChunk(format: Format): number {
  return format === Format.F32 ? 4 : 8;
}

export function packedBytes(n: number, k: number, format: Format): number {
  if (format >= Format.Q8_0) return Math.ceil(n / 16) * Math.ceil(k / 32) * blockBytes(format);
  if (quantized(format)) return packedBytesOf(n, k, Format[format].toLowerCase() as QuantizedFormat);
  return Math.ceil(n / 4) * Math.ceil(k / perChunk(format)) * 64;
}

/**
 * Where number (row, i) of a packed matrix [n, k] of a float format lies: [panel of 4 rows][chunk][4 rows][16 bytes]; the
 * chunks of a 16-bit format hold columns 0, 4, 1, 5, 2, 6, 3, 7.
 */
export function packedPlace(row: number, i: number, k: number, format: Format): number {
  const chunk = perChunk(format);
  const panel = Math.floor(row / 4) * Math.ceil(k / chunk) + Math.floor(i / chunk);
  const place = chunk === 4 ? 4 * (i % 4) : 2 * [0, 2, 4, 6, 1, 3, 5, 7][i % 8]!;
  return (panel * 4 + (row % 4)) * 16 + place;
}

/** A float operand of a record. */
export function bits(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0]!;
}

/** Repeatable numbers. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number from 0 to count − 1. see: mulberry32 (T. Ettinger) */
  below(count: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * count);
  }

  /** f32 in (−scale, scale). */
  float(scale = 1): number {
    return Math.fround(((this.below(2 ** 24) - 2 ** 23) / 2 ** 23) * scale);
  }

  floats(count: number, scale = 1): Float32Array {
    return Float32Array.from({ length: count }, () => this.float(scale));
  }

  /** Whole numbers from −most to most. */
  whole(count: number, most: number): Float32Array {
    return Float32Array.from({ length: count }, () => this.below(2 * most + 1) - most);
  }

  shuffled<T>(items: readonly T[]): T[] {
    const list = [...items];
    for (let i = list.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [list[i], list[j]] = [list[j]!, list[i]!];
    }
    return list;
  }
}

/** A flat [rows, width] as the reference wants it. */
export function rowsOf(values: ArrayLike<number>, width: number): Float64Array[] {
  const all = Float64Array.from(values);
  return Array.from({ length: all.length / width }, (_, i) => all.slice(i * width, (i + 1) * width));
}

/** The largest |found − wanted| / unit; Infinity where one is NaN. */
export function worst(
  found: ArrayLike<number>,
  wanted: ArrayLike<number>,
  unit: (wanted: number, i: number) => number,
): number {
  if (found.length !== wanted.length) return Infinity;
  let largest = 0;
  for (let i = 0; i < wanted.length; i++) {
    const off = Math.abs(found[i]! - wanted[i]!) / unit(wanted[i]!, i);
    if (!(off <= largest))
      largest = Number.isNaN(off) && found[i] === wanted[i] ? largest : Number.isNaN(off) ? Infinity : off;
  }
  return largest;
}

/** The bits of f32: what `toEqual` needs to tell 0 from −0, and NaN to equal itself. */
export function words(values: Float32Array): Uint32Array {
  return new Uint32Array(values.slice().buffer);
}

/** Every number of [n][width] in one array. */
export function flat(rows: readonly Float64Array[]): Float64Array {
  return Float64Array.from(rows.flatMap((row) => [...row]));
}
