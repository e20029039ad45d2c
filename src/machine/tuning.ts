import { activationBytes, blockColumns, Format, Size, Step, Tuning } from "../../assembly/layout.ts";
import { Matmul, Op, Span } from "../../assembly/op.ts";
import type { Bank } from "./bank.ts";
import { writeSpan } from "./step.ts";

/** A matmul's record where it lies in its bank. */
export interface MatmulRecord {
  readonly bank: Bank;
  readonly address: number;
}

/** What is used where nothing is measured, as matrices lie in caches: with 1 and 4 they take a tenth longer. */
export const DEFAULT_TUNING = 2;

/** Bytes of weights that are read per way of reading: more than a cache holds, little beside the time of loading. */
const STRETCH = 48 * 2 ** 20;
const ROUNDS = 3;
const STREAMS = [1, 2, 4] as const;
/** Streams of all threads together: beyond, two threads read more slowly than one (f32, docs/LOG.md). */
const MOST_STREAMS = 4;
/** Rows of a tile. */
const ROWS = 4;

/**
 * Measures which way of reading weights and of adding products is the quickest here: how many streams the memory likes
 * (some machines one, some four), and how the engine compiles the relaxed products, for steps of so many threads. It
 * changes no result. To be called before the first step, whose buffers it writes over.
 */
export function tune(matmuls: readonly MatmulRecord[], chunkSize: number, threads: number): number {
  for (const { bank, address } of matmuls) {
    const k = word(bank, address, Matmul.k);
    const format: Format = word(bank, address, Matmul.format);
    const bytes = Math.ceil(k / blockColumns(format)) * activationBytes(format);
    bank.bytes(word(bank, address, Matmul.x), bytes).fill(0);
  }
  let streams = DEFAULT_TUNING;
  const stretch = take(matmuls, STRETCH);
  if (stretch) {
    const candidates = STREAMS.filter((each) => each === 1 || each * threads <= MOST_STREAMS);
    streams = quickest(candidates, (candidate) => readAll(stretch, candidate));
  }
  if (chunkSize < ROWS) return streams;
  if (stretch) warmUp(matmuls, streams);
  const quantised = matmuls.find(({ bank, address }) => word(bank, address, Matmul.format) === Format.Q7);
  if (!quantised) return streams;
  return quickest([streams, streams + Tuning.Quads], (candidate) => multiply(quantised, candidate));
}

/** The first matmuls whose weights add up to `bytes`; undefined if all of them have less. */
function take(matmuls: readonly MatmulRecord[], bytes: number): MatmulRecord[] | undefined {
  let sum = 0;
  const end = matmuls.findIndex(({ bank, address }) => {
    sum += word(bank, address, Matmul.n) * word(bank, address, Matmul.k) * 0.5;
    return sum >= bytes;
  });
  return end < 0 ? undefined : matmuls.slice(0, end + 1);
}

/** The candidate whose best of some rounds is the least; the first one where the clock stands still, as on the edge. */
function quickest(candidates: readonly number[], run: (candidate: number) => void): number {
  const times = candidates.map(() => Infinity);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, candidate] of candidates.entries()) {
      const begun = performance.now();
      run(candidate);
      times[i] = Math.min(times[i] as number, performance.now() - begun);
    }
    if (times.every((time) => time === 0)) break;
  }
  return candidates[times.indexOf(Math.min(...times))] as number;
}

/** One row through every matrix. */
function readAll(matmuls: readonly MatmulRecord[], tuning: number): void {
  for (const matmul of matmuls) execute(matmul, tuning, 1, 1);
}

/**
 * Has the engine compile the kernels of many rows well, one for each format, before the first prompt needs them: of a large
 * model a few calls take seconds.
 */
function warmUp(matmuls: readonly MatmulRecord[], tuning: number): void {
  const formats = new Map(matmuls.map((matmul) => [word(matmul.bank, matmul.address, Matmul.format), matmul]));
  for (const matmul of formats.values()) multiply(matmul, tuning);
}

/** A tile's rows through a small part of a matrix, many times. */
function multiply(matmul: MatmulRecord, tuning: number): void {
  const slices = Math.min(Size.MaxSlices, Math.ceil(word(matmul.bank, matmul.address, Matmul.n) / 16));
  for (let i = 0; i < 40; i++) execute(matmul, tuning, ROWS, slices);
}

function execute({ bank, address }: MatmulRecord, tuning: number, rows: number, slices: number): void {
  const { step } = bank.plan;
  const view = new DataView(bank.memory.buffer);
  for (const span of [Span.All, Span.Logits]) writeSpan(view, step, span, 0, rows);
  view.setUint32(step + 4 * Step.tuning, tuning, true);
  bank.kernels.execute(address, step, 0, slices);
}

function word({ memory }: Bank, address: number, field: number): number {
  return new DataView(memory.buffer).getUint32(address + 4 * field, true);
}

/** The matmuls of a program. */
export function matmulsOf(bank: Bank, program: number): MatmulRecord[] {
  const found: MatmulRecord[] = [];
  for (let address = program; word(bank, address, 0) !== Op.End; address += Size.RecordBytes) {
    if (word(bank, address, 0) === Op.Matmul) found.push({ bank, address });
  }
  return found;
}
