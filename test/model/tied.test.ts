import { afterAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { withSubject } from "../../research/cli/subject.ts";
import { Stages } from "../../src/cli/progress.ts";
import { detectHost } from "../../src/runtime/detect.ts";
import { provideRuntime } from "../../src/runtime/index.ts";
import { fileOf, type Tensor, tinyOf } from "../engine/tiny.ts";
import { removeTemporary, smallFolder } from "../session/small.ts";
import { deviation, FIXTURES, logitsOf, openEngine } from "../setup.ts";

const TIED = join(FIXTURES, "llama-gqa-tied");
afterAll(removeTemporary);

const IDS = [5, 17, 2, 40, 9, 33];

/** A copy of a tied checkpoint that stores the head as well, changed by `change`. */
function withHead(change: (head: Float32Array) => void): string {
  const folder = smallFolder("llama-gqa-tied");
  const { tensors } = tinyOf(folder);
  const table = tensors.get("model.embed_tokens.weight") as Tensor;
  const bytes = table.bytes.slice();
  change(new Float32Array(bytes.buffer));
  writeFileSync(join(folder, "model.safetensors"), fileOf(tensors.set("lm_head.weight", { ...table, bytes })));
  return folder;
}

test("a tied head that is stored as well is kept once, and changes nothing", async () => {
  const engine = await openEngine(TIED);
  const twice = await openEngine(withHead(() => {}));
  expect(twice.plan.weightBytes).toBe(engine.plan.weightBytes);
  expect(await logitsOf(twice, IDS)).toEqual(await logitsOf(engine, IDS));
  expect(twice.unused).toEqual([]);
});

test("one that differs from the embedding is used as the head", async () => {
  const engine = await openEngine(TIED);
  const other = await openEngine(withHead((head) => void head.set(head.map((value) => 2 * value))));
  expect(other.plan.weightBytes).toBeGreaterThan(engine.plan.weightBytes);
  const doubled = (await logitsOf(engine, IDS)).map((row) => row.map((value) => 2 * value));
  for (const [i, row] of (await logitsOf(other, IDS)).entries()) expect(deviation(row, doubled[i]!)).toBeLessThan(1e-6);
});

test("evaluations plan with one copy too, as they load", async () => {
  provideRuntime(detectHost);
  await withSubject({ model: withHead(() => {}) }, new AbortController().signal, new Stages(), async (subject) => {
    const { plan } = await subject.engine({});
    expect(subject.plan({}).plan.weightBytes).toBe(plan.weightBytes);
    expect(plan.weightBytes).toBe((await openEngine(TIED)).plan.weightBytes);
  });
});
