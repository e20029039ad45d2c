/** The barrier under real threads: as many as there are give the bits of one, and none hangs when one is missing. */
import { afterEach, expect, test } from "bun:test";
import { Control, Size } from "../../assembly/layout.ts";
import { Op, Rows } from "../../assembly/op.ts";
import { bun } from "../../src/runtime/bun.ts";
import { finite, Model, type Shape } from "./model.ts";
import { compile, timeoutOf } from "./mutant.ts";
import type { Message } from "./threads.worker.ts";

const BUILD = "shared-plain";
/** Only a net for a hang: everything below takes milliseconds. */
const NET = 30_000;
const LIMITS = { attention: "lambda", nGlobal: 3, nLocal: 8, limit: 11, chunkSize: 16 } as const;
const STEPS: readonly Shape[] = [
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
class Threads {
  static readonly alive: Threads[] = [];
  readonly #workers: Worker[];

  private constructor(count: number) {
    this.#workers = Array.from({ length: count }, () => new Worker(new URL("threads.worker.ts", import.meta.url)));
    Threads.alive.push(this);
  }

  static async start(memory: WebAssembly.Memory, count: number, timeout?: number): Promise<Threads> {
    const threads = new Threads(count);
    const bytes = timeout === undefined ? await bun.kernels(BUILD) : await compile(BUILD, [timeoutOf(timeout)]);
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

afterEach(() => {
  for (const threads of Threads.alive.splice(0)) threads.stop();
});

function control(model: Model): Int32Array {
  return new Int32Array(model.bank.memory.buffer, model.bank.plan.control, 16);
}

/** The bits after every step; `execute` carries a written step out and says how many records each thread did. */
async function run(model: Model, execute: () => number[] | Promise<number[]>) {
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

const alone = ({ bank, program }: Model) => [bank.kernels.run(program, bank.plan.step, bank.plan.control, 0, 1)];
const together = ({ bank, program }: Model, threads: Threads, of?: number) =>
  threads.run(program, bank.plan.step, bank.plan.control, of);

for (const family of ["llama-gqa-tied", "mpt-heads6"] as const) {
  for (const count of [2, 3]) {
    test(
      `${family}: ${count} threads give the bits of one, step after step`,
      async () => {
        const model = await Model.open(family, LIMITS, BUILD);
        const wanted = await run(model, () => alone(model));
        const threads = await Threads.start(model.bank.memory, count);
        for (let round = 0; round < 3; round++) {
          expect(await run(model, () => together(model, threads))).toEqual(wanted);
        }
        // Every barrier has been passed by all, and nobody is left at one.
        const meetings = model.planned.plan.records
          .flat()
          .filter(({ words }) => !((words[1] as number) & Rows.OnTheSide));
        const barriers = 3 * STEPS.length * meetings.length;
        expect([...control(model).subarray(0, 3)]).toEqual([0, barriers, 0]);
      },
      NET,
    );
  }
}

test.each([2, 3])(
  "%d threads, 1,000 records that each need what another thread has just written, three times: all come in order",
  async (count) => {
    const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true });
    const words = new Uint32Array(memory.buffer);
    const floats = new Float32Array(memory.buffer);
    const [step, index, here, there, program] = [64, 128, 192, 256, 320];
    words.set([count, count, index], step / 4);
    words.set(
      Array.from({ length: count }, (_, row) => (row + 1) % count),
      index / 4,
    );
    // Every row becomes the next one's, there and back.
    const away = [Op.Gather, Rows.Logits, there, here, 1];
    const home = [Op.Gather, Rows.Logits, here, there, 1];
    for (let i = 0; i < 1000; i++) words.set(i % 2 ? home : away, (program + i * Size.RecordBytes) / 4);
    const threads = await Threads.start(memory, count);
    for (let round = 0; round < 3; round++) {
      const start = Array.from({ length: count }, (_, row) => 10_000 * row);
      floats.set(start, here / 4);
      expect(await threads.run(program, step, 0)).toEqual(start.map(() => 1000));
      const wanted = start.map((_, row) => start[(row + 1000) % count] as number);
      expect([...floats.subarray(here / 4, here / 4 + count)]).toEqual(wanted);
    }
  },
  NET,
);

test(
  "a thread that never comes: with the abort flag set, before or while they wait, the others return early",
  async () => {
    const model = await Model.open("llama-gqa-tied", LIMITS, BUILD);
    const wanted = await run(model, () => alone(model));
    const threads = await Threads.start(model.bank.memory, 2, 3_600_000);
    const words = control(model);
    model.reset();
    model.machine.write(model.rows([[0, 9]]));

    words[Control.abort / 4] = 1;
    expect(await together(model, threads, 3)).toEqual([0, 0]);

    words.fill(0);
    const waiting = together(model, threads, 3);
    while (Atomics.load(words, Control.arrived / 4) < 2) await Bun.sleep(1);
    await Bun.sleep(20); // far more than they spin for
    Atomics.store(words, Control.abort / 4, 1);
    Atomics.notify(words, Control.generation / 4);
    expect(await waiting).toEqual([0, 0]);

    // With a control block as new, the same threads work again.
    words.fill(0);
    expect(await run(model, () => together(model, threads))).toEqual(wanted);
  },
  NET,
);

test(
  "a thread that never comes, and nobody who says so: after the timeout the others set the flag and return",
  async () => {
    const model = await Model.open("mpt-heads6", LIMITS, BUILD);
    const threads = await Threads.start(model.bank.memory, 2, 100);
    model.reset();
    model.machine.write(model.rows([[0, 9]]));
    expect(await together(model, threads, 3)).toEqual([0, 0]);
    expect(control(model)[Control.abort / 4]).toBe(1);
  },
  NET,
);
