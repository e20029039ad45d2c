/** recall.json beside a model: defaults of its options, where recall is asked for. */
import { afterAll, expect, test } from "bun:test";
import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ModelError } from "../../src/base/errors.ts";
import { inspect, load } from "../../src/entry/index.ts";
import { ROOT } from "../setup.ts";
import { failure, removeTemporary, smallFolder, temporaryFolder } from "./small.ts";

afterAll(removeTemporary);

const OPTIONS = { nLocal: 32, threads: 1 } as const;

function calibratedFolder(content: unknown): string {
  const folder = smallFolder("llama-gqa-tied");
  writeFileSync(join(folder, "recall.json"), typeof content === "string" ? content : JSON.stringify(content));
  return folder;
}

test.each([false, true])(
  "what it says counts where an option does not, and only with recall (worker: %p)",
  async (worker) => {
    const folder = calibratedFolder({ recallLayers: [0], recallDistance: 5, recallGate: -1.5 });
    using calibrated = await load(folder, { ...OPTIONS, recall: 2, worker });
    expect(calibrated.info).toMatchObject({ recall: 2, recallLayers: [0], recallDistance: 5, recallGate: -1.5 });
    using asked = await load(folder, { ...OPTIONS, recall: 2, worker, recallDistance: 7, recallLayers: undefined });
    expect(asked.info).toMatchObject({ recallLayers: [0], recallDistance: 7, recallGate: -1.5 });
    using plain = await load(folder, { ...OPTIONS, worker });
    expect(plain.info).toMatchObject({ recall: 0, recallLayers: [] });
    // Heads of other layers than those that are asked for are none of its heads.
    const heads = calibratedFolder({ recallHeads: [[0, 2]], recallDistance: 5 });
    using some = await load(heads, { ...OPTIONS, recall: 2, worker });
    expect(some.info).toMatchObject({ recallLayers: [0], recallHeads: [[0, 2]], recallDistance: 5 });
    using others = await load(heads, { ...OPTIONS, recall: 2, worker, recallLayers: [1] });
    expect(others.info).toMatchObject({ recallLayers: [1], recallHeads: "all", recallDistance: 5 });
    using own = await load(folder, { ...OPTIONS, recall: 2, worker, recallHeads: [[1, 3]] });
    expect(own.info).toMatchObject({ recallLayers: [1], recallHeads: [[1, 3]], recallDistance: 5 });
    const { plan } = await inspect(folder, { ...OPTIONS, recall: 2 });
    expect(plan.policy.recallDistance).toBe(5);
  },
);

test("a GGUF file has its own beside it, under its own name", async () => {
  const folder = temporaryFolder();
  const model = join(folder, "tiny.gguf");
  cpSync(join(ROOT, "test/golden/gguf/llama-untied.gguf"), model);
  writeFileSync(join(folder, "recall.json"), "of another model");
  const read = async (where: string) => (await inspect(where, { ...OPTIONS, recall: 2 })).plan.policy;
  expect((await read(model)).recallHeads).toBe("all");
  writeFileSync(`${model}.recall.json`, JSON.stringify({ recallHeads: [[1, 0, -2]], recallDistance: 5 }));
  const wanted = { recallLayers: [1], recallHeads: [[1, 0, -2]], recallDistance: 5 };
  expect(await read(model)).toMatchObject(wanted);
  // The only one of its folder.
  expect(await read(folder)).toMatchObject(wanted);
  writeFileSync(`${model}.recall.json`, "{");
  expect((await failure(ModelError, () => read(model))).message).toContain(`${model}.recall.json`);
});

test("a file that says something else is refused by name, where recall is asked for", async () => {
  const wrong: readonly [content: unknown, message: string][] = [
    ["{", "recall.json"],
    [{ recallLayers: "1" }, "recall.json: recallLayers: expected a list of layers, found 1"],
    [{ recallLayers: [-1] }, "recall.json: recallLayers: expected a list of layers, found [-1]"],
    [
      { recallHeads: [1] },
      "recall.json: recallHeads: expected lists of a layer, a head and if need be a gate from -100 to 100, found [1]",
    ],
    [
      { recallHeads: [[1, 0, 101]] },
      "recall.json: recallHeads: expected lists of a layer, a head and if need be a gate",
    ],
    [{ recallLayers: [] }, "recall.json: recallLayers: expected a list of layers, found []"],
    [{ recallDistance: 0.5 }, "recall.json: recallDistance: expected a whole number of tokens, 1 or more, found 0.5"],
    [{ recallDistance: 0 }, "recall.json: recallDistance: expected a whole number of tokens, 1 or more, found 0"],
    [{ recallGate: null }, "recall.json: recallGate: expected a number from -100 to 100, found null"],
    [{ recallGate: 101 }, "recall.json: recallGate: expected a number from -100 to 100, found 101"],
    [{ recallHeads: [[7, 0]] }, "recall.json: recallHeads: expected heads of layers 0 to 1, found 7:0"],
    [{ recallLayers: [2] }, "recall.json: recallLayers: expected some of 0 to 1, found 2"],
    [{ layers: [1] }, "recall.json: expected recallLayers, recallHeads, recallDistance, recallGate, found layers"],
  ];
  for (const [content, message] of wrong) {
    const folder = calibratedFolder(content);
    expect((await failure(ModelError, () => load(folder, { ...OPTIONS, recall: 1 }))).message).toContain(message);
    using model = await load(folder, OPTIONS);
    expect(model.info.recall).toBe(0);
  }
});
