/** Threads of a test's own that run a fixture's steps together, without the pool around them. */
import { expect } from "bun:test";
import { finite, type Model, type Shape } from "./model.ts";
import type { Message } from "./threads.worker.ts";

export const BUILD = "shared-plain";
/** Only a net for a hang: everything below takes milliseconds. */
export const NET = 30_000;
export const LIMITS = { attention: "lambda", nGlobal: 3, nLocal: 8, limit: 11, chunkSize: 16 } as const;
export const STEPS: readonly Shape[] = [
  [[0, 16]],
  [[0, 1]],
  [
    [1, 5],
    [0, 1],
  ],
  [
    [0, 1],
    [1, 1],
  ],
  [[1, 13]],
  [[0, 3]],
];

/** Threads over one memory. */
export class Threads {
  static readonly alive: Threads[] = [];
  readonly #workers: Worker[];

  private constructor(count: number) {
    this.#workers = Array.from({ length: count }, () => new Worker(new URL("threads.worker.ts", import.meta.url)));
    Threads.alive.push(this);
  }

  static async start(memory: WebAssembly.Memory, count: number, bytes: Uint8Array<ArrayBuffer>): Promise<Threads> {
    const threads = new Threads(count);
    await Promise.all(threads.#workers.map((worker) => threads.#ask(worker, { bytes, memory })));
    return threads;
  }

  /** Runs a program as threads 0, 1 … of `of`: the number of records that each has executed. */
  run(program: number, step: number, control: number, of = this.#workers.length): Promise<number[]> {
    return Promise.all(this.#workers.map((worker, i) => this.#ask(worker, { run: [program, step, control, i, of] })));
  }

  #ask(worker: Worker, message: Message): Promise<number> {
    return new Promise((resolve, reject) => {
      worker.onmessage = ({ data }: MessageEvent<number>) => resolve(data);
      worker.onerror = ({ message }) => reject(new Error(message));
      worker.postMessage(message);
    });
  }

  stop(): void {
    for (const worker of this.#workers) worker.terminate();
  }
}

export function stopThreads(): void {
  for (const threads of Threads.alive.splice(0)) threads.stop();
}

export function control(model: Model): Int32Array {
  return new Int32Array(model.bank.memory.buffer, model.bank.plan.control, 16);
}

/** The bits after every step; `execute` carries a written step out and says how many records each thread did. */
export async function run(model: Model, execute: () => number[] | Promise<number[]>) {
  const records = model.planned.plan.records.flat().length;
  const all = [];
  model.reset();
  for (const shape of STEPS) {
    const rows = model.rows(shape);
    model.spoil();
    model.machine.write(rows);
    expect(new Set(await execute())).toEqual(new Set([records]));
    all.push(model.bits(rows));
  }
  expect(all.every(({ logits }) => logits.length > 0 && finite(logits))).toBe(true);
  return all;
}

export const alone = ({ bank, program }: Model) => [bank.kernels.run(program, bank.plan.step, bank.plan.control, 0, 1)];
export const together = ({ bank, program }: Model, threads: Threads, of?: number) =>
  threads.run(program, bank.plan.step, bank.plan.control, of);
