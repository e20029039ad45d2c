/** The barrier under real threads: as many as there are give the bits of one; test/mutants has threads that never come. */
import { afterEach, expect, test } from "bun:test";
import { Size, Step } from "../../assembly/layout.ts";
import { Op, Span } from "../../assembly/op.ts";
import { writeSpan } from "../../src/machine/step.ts";
import { bun } from "../../src/runtime/bun.ts";
import { alone, BUILD, control, LIMITS, NET, run, STEPS, stopThreads, Threads, together } from "./barrier.ts";
import { Model } from "./model.ts";

const KERNELS = bun.kernels(BUILD);

afterEach(stopThreads);

for (const family of ["llama-gqa-tied", "mpt-heads6"] as const) {
  for (const count of [2, 3]) {
    test(
      `${family}: ${count} threads give the bits of one, step after step`,
      async () => {
        const model = await Model.open(family, LIMITS, BUILD);
        const wanted = await run(model, () => alone(model));
        const threads = await Threads.start(model.bank.memory, count, await KERNELS);
        for (let round = 0; round < 3; round++) {
          expect(await run(model, () => together(model, threads))).toEqual(wanted);
        }
        // Every barrier has been passed by all, and nobody is left at one.
        const meetings = model.planned.plan.records
          .flat()
          .filter(({ words }) => !((words[1] as number) & Span.OnTheSide));
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
    words[step / 4 + Step.gather] = index;
    writeSpan(new DataView(memory.buffer), step, Span.Logits, 0, count);
    words.set(
      Array.from({ length: count }, (_, row) => (row + 1) % count),
      index / 4,
    );
    // Every row becomes the next one's, there and back.
    const away = [Op.Gather, Span.Logits, there, here, 1];
    const home = [Op.Gather, Span.Logits, here, there, 1];
    for (let i = 0; i < 1000; i++) words.set(i % 2 ? home : away, (program + i * Size.RecordBytes) / 4);
    const threads = await Threads.start(memory, count, await KERNELS);
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
