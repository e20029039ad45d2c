/** What the measurements rest on: that they measure what they say. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { keysAt, stepCost } from "../../bench/cost.ts";
import { Crew } from "../../bench/crew.ts";
import { interleave } from "../../bench/interleave.ts";
import { withOutliers } from "../../bench/outliers.ts";
import { Roof } from "../../bench/roof.ts";
import { Subject } from "../../bench/subject.ts";
import { bun } from "../../src/runtime/bun.ts";
import { deviation, logitsOf, MODELS, openEngine } from "../setup.ts";

const LLAMA = join(MODELS, "lambent-llama-5m");

for (const model of ["lambent-llama-5m", "lambent-gptj-6m", "lambent-mpt-5m"]) {
  test(`${model} with outlier channels computes the same within 1e-3, but not in bf16`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "lambent-"));
    try {
      const from = join(MODELS, model);
      await withOutliers(from, folder);
      const ids = [0, 17, 300, 45];
      const wanted = await logitsOf(await openEngine(from, { dtype: "f32" }), ids);
      const same = await logitsOf(await openEngine(folder), ids);
      const rounded = await logitsOf(await openEngine(folder, { dtype: "bf16" }), ids);
      const worst = (found: Float32Array[]) =>
        Math.max(...found.map((row, i) => deviation(row, wanted[i] as Float32Array)));
      expect(worst(same)).toBeLessThan(1e-3);
      expect(worst(rounded)).toBeGreaterThan(1e-3);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}

test("a step at the full window costs what inspect says, an earlier one less", async () => {
  const { plan } = await openEngine(LLAMA);
  const records = plan.records.flat();
  const bytes = records.reduce((sum, record) => sum + record.weightBytes + record.cacheBytes, 0);
  expect(stepCost(plan, 10_000).bytes).toBe(bytes);
  expect(stepCost(plan, 10).bytes).toBeLessThan(bytes);
  expect([0, 511, 512, 521, 10_000].map((position) => keysAt(plan.layers[0]!.cache, position))).toEqual([
    1, 512, 513, 522, 522,
  ]);
});

test("a place stays where it is and gives finite logits far beyond what was read", async () => {
  const subject = await Subject.open(LLAMA);
  const place = subject.place(1_000_000);
  const state = subject.engine.state(1);
  for (const [read, position] of [
    [() => place.decode(), 1_000_001],
    [() => place.decode(), 1_000_001],
    [() => place.prefill(5), 1_000_005],
    [() => place.decode(), 1_000_001],
  ] as const) {
    await read();
    expect(state.position).toBe(position);
    expect(subject.engine.logits(state).every(Number.isFinite)).toBe(true);
  }
  await subject.close();
});

test("every thread of a crew does its own part, again after a rest", async () => {
  const crew = await Crew.open(2);
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const module = await WebAssembly.compile(await bun.kernels("shared-plain"));
  const instance = await crew.instantiate(module, memory);
  const floats = new Float32Array(memory.buffer);
  floats.set([1, 2, 3, 4]);
  for (const round of [1, 2]) {
    const to = (thread: number) => 64 * (2 * round + thread);
    crew.call(instance, "expand", 2, (thread) => [to(thread), 0, 4, 0]);
    for (const thread of [0, 1])
      expect([...floats.subarray(to(thread) / 4, to(thread) / 4 + 5)]).toEqual([1, 2, 3, 4, 0]);
    crew.rest();
  }
  await crew.close();
});

test("the read loop reads to the last byte that it is given, and not beyond", async () => {
  const crew = await Crew.open(1);
  const roof = await Roof.over(new WebAssembly.Memory({ initial: 1, maximum: 1 }), crew);
  expect(() => roof.read(0, 65536, 1)).not.toThrow();
  expect(() => roof.read(128, 65536, 1)).toThrow(WebAssembly.RuntimeError);
  await crew.close();
});

test("contenders take turns, and ratios are of pairs", async () => {
  const order: string[] = [];
  let machine = 1;
  const samples = await interleave(
    {
      a: () => {
        order.push("a");
        return (machine *= 3);
      },
      b: () => {
        order.push("b");
        return 2 * machine;
      },
    },
    { time: 0, rounds: 5 },
  );
  expect(order.join("")).toMatch(/^(ab)+$/);
  expect(samples.ratio("a", "b")).toBe(0.5);
});
