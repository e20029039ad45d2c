import { Size, Step } from "../../assembly/layout.ts";
import { Span } from "../../assembly/op.ts";
import { Bank, type BankPlan } from "./bank.ts";
import type { Kernels } from "./kernels.ts";
import type { Pool } from "./pool.ts";
import { ALL_PINNED, writeRow, writeSpan } from "./step.ts";
import { ThreadChoice } from "./thread_choice.ts";
import { DEFAULT_TUNING, matmulsOf, tune } from "./tuning.ts";

/** A stretch of a program that runs in one bank. */
export interface Segment {
  readonly bank: number;
  /** Address of its first record. */
  readonly program: number;
  /** The hidden state that comes from another bank first: addresses, and f32 values per row. */
  readonly carry:
    | { readonly bank: number; readonly from: number; readonly to: number; readonly width: number }
    | undefined;
  /** The layer whose middle keys have been chosen by it: they have to be brought before the next one runs. */
  readonly gathers?: number | undefined;
}

/** What a machine runs: banks, and the stretches of its program in them. */
export interface MachinePlan {
  readonly banks: readonly BankPlan[];
  readonly segments: readonly Segment[];
  /** Rows that a step may have. */
  readonly chunkSize: number;
}

/** One row of a step: a token of a session. Rows of one session are neighbours, in the order of their positions. */
export interface StepRow {
  readonly token: number;
  /** Number of the session's slot. */
  readonly slot: number;
  readonly position: number;
  /** Position of the session's first token. */
  readonly origin: number;
  readonly wantsLogits: boolean;
  /** Whether it attends no middle tokens. */
  readonly skipsRecall?: boolean | undefined;
  /** How many of the session's first tokens it attends to wherever it is: the operation's nGlobal at most, and by default. */
  readonly nGlobal?: number | undefined;
  /** Position before which it attends no local keys, at most its own; 0 by default. */
  readonly begin?: number | undefined;
}

/**
 * Carries out steps: a model's banks and the segments of its program, with at most `threads` threads. Knows nothing of
 * models or sessions.
 */
export class Machine {
  readonly banks: readonly Bank[];
  /** Step.tuning. */
  #tuning = DEFAULT_TUNING;
  readonly #plan: MachinePlan;
  readonly #threads: number;
  readonly #pool: Pool | undefined;
  readonly #choice: ThreadChoice;
  /** The banks' numbers in the pool. */
  readonly #attached: readonly number[];

  constructor(kernels: Kernels, plan: MachinePlan, threads = 1) {
    this.#plan = plan;
    this.banks = plan.banks.map((bank) => new Bank(kernels, bank));
    this.#threads = threads;
    this.#pool = threads > 1 ? kernels.pool : undefined;
    this.#choice = new ThreadChoice(this.#pool ? threads : 1);
    const memories = this.banks.map(({ memory }) => memory);
    this.#attached = this.#pool?.attach(this, memories, threads) ?? [];
  }

  /** How many threads take part in a step, once all of them have started. */
  get threads(): number {
    return this.#pool?.size(this.#threads) ?? 1;
  }

  /** To be awaited before a step: see Pool. */
  get settled(): Promise<void> | undefined {
    return this.#pool?.settled;
  }

  /**
   * Runs every record of the program on `rows`; returns how many records were executed. `gather` brings a layer's middle
   * keys (Segment.gathers). Throws LambentError if a thread is lost on the way: what the step was to write is then undefined.
   */
  run(rows: readonly StepRow[], gather?: (layer: number) => void): number {
    this.write(rows);
    let records = 0;
    const threads = this.#choice.begin(rows.length);
    for (const segment of this.#plan.segments) {
      const bank = this.banks[segment.bank] as Bank;
      this.carry(segment, rows.length);
      records += this.#execute(segment, bank, threads);
      if (segment.gathers !== undefined) gather?.(segment.gathers);
    }
    this.#choice.end();
    return records;
  }

  /** Runs records outside of the program on the rows of the last step. */
  runMore({ bank, program }: Pick<Segment, "bank" | "program">): void {
    this.#execute({ bank, program }, this.banks[bank] as Bank);
  }

  /**
   * Carries out one record outside of any step, by every thread or by this one alone. At `address` there must be room for
   * it and for the record that ends it.
   */
  execute(bank: Bank, address: number, record: Uint32Array, together: boolean): void {
    const words = new Uint32Array(2 * (Size.RecordBytes / 4));
    words.set(record);
    bank.bytes(address, words.byteLength).set(new Uint8Array(words.buffer));
    if (together) this.#execute({ bank: this.banks.indexOf(bank), program: address }, bank);
    else bank.kernels.execute(address, bank.plan.step, 0, 1);
  }

  #execute(
    { bank: number, program }: Pick<Segment, "bank" | "program">,
    { kernels, memory, plan }: Bank,
    threads = this.#threads,
  ): number {
    const { step, control } = plan;
    if (!this.#pool) return kernels.run(program, step, control, 0, 1);
    const bank = this.#attached[number] as number;
    return this.#pool.run({ bank, memory, kernels, program, step, control }, threads);
  }

  /** Measures how to be quick with these weights in steps of so many threads; to be called before the first step. */
  tune(threads = this.#threads): void {
    const matmuls = this.#plan.segments.flatMap(({ bank, program }) => matmulsOf(this.banks[bank] as Bank, program));
    this.#tuning = tune(matmuls, this.#plan.chunkSize, threads);
  }

  /** Brings the hidden state of `rows` rows to the segment's bank, if it comes from another. */
  carry(segment: Segment, rows: number): void {
    if (!segment.carry) return;
    const { bank, from, to, width } = segment.carry;
    const source = (this.banks[bank] as Bank).floats(from, rows * width);
    (this.banks[segment.bank] as Bank).floats(to, rows * width).set(source);
  }

  /** Writes the step into every bank. */
  write(rows: readonly StepRow[]): void {
    if (rows.length > this.#plan.chunkSize) throw new RangeError(`a step of ${rows.length} rows`);
    for (const bank of this.banks) {
      const { step } = bank.plan;
      const view = new DataView(bank.memory.buffer);
      const index = step + Size.StepHeaderBytes + this.#plan.chunkSize * Size.RowBytes;
      let logitsRows = 0;
      let runStart = 0;
      let runEnd = 0;
      for (const [i, row] of rows.entries()) {
        if (i === runEnd) {
          runStart = i;
          while (rows[runEnd]?.slot === row.slot) runEnd++;
        }
        writeRow(view, step, i, {
          ...{ token: row.token, slot: bank.slot(row.slot), runStart, runRows: runEnd - runStart },
          ...{ position: BigInt(row.position), origin: BigInt(row.origin), skipsRecall: row.skipsRecall === true },
          ...{ nGlobal: row.nGlobal ?? ALL_PINNED, begin: BigInt(row.begin ?? 0) },
        });
        if (row.wantsLogits) view.setUint32(index + 4 * logitsRows++, i, true);
      }
      writeSpan(view, step, Span.All, 0, rows.length);
      writeSpan(view, step, Span.Logits, 0, logitsRows);
      view.setUint32(step + 4 * Step.gather, index, true);
      view.setUint32(step + 4 * Step.tuning, this.#tuning, true);
    }
  }
}
