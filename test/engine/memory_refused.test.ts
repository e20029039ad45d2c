/** A model that needs more memory than there is: refused by both numbers, before a byte of a tensor is read. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { LambentError } from "../../src/base/errors.ts";
import type { ByteSource } from "../../src/base/source.ts";
import { Engine, type LoadingOptions } from "../../src/engine/engine.ts";
import { type Checkpoint, openDirectory } from "../../src/formats/checkpoint.ts";
import type { Kernels } from "../../src/machine/kernels.ts";
import { planModel } from "../../src/plan/plan_checkpoint.ts";
import { quantize } from "../../src/plan/write_packed.ts";
import { directoryFiles } from "../formats/files.ts";
import { FIXTURES, kernels } from "../setup.ts";
import { PATIENCE } from "./tiny.ts";

setDefaultTimeout(PATIENCE);

/** A fixture's checkpoint that counts the bytes which are read of it once it is open, all of which are its tensors'. */
async function spied(name: string): Promise<{ checkpoint: Checkpoint; read: () => number }> {
  const files = directoryFiles(`${FIXTURES}/${name}`);
  let read = 0;
  const checkpoint = await openDirectory({
    ...files,
    async open(file): Promise<ByteSource | undefined> {
      const source = await files.open(file);
      return (
        source && {
          ...source,
          readInto(target, offset) {
            read += target.length;
            return source.readInto(target, offset);
          },
        }
      );
    },
  });
  expect(read).toBeGreaterThan(0); // the headers
  read = 0;
  return { checkpoint, read: () => read };
}

/** The kernels, and how many memories they were brought to. */
async function counted(): Promise<{ kernels: Kernels; memories: () => number }> {
  const real = await kernels();
  let memories = 0;
  const instantiate: Kernels["instantiate"] = (memory) => {
    memories++;
    return real.instantiate(memory);
  };
  return { kernels: { ...real, instantiate }, memories: () => memories };
}

const OPTIONS: LoadingOptions = { nLocal: 16, nGlobal: 3, chunkSize: 16 };
const cases: [string, LoadingOptions][] = [
  ["llama-gqa-tied", {}],
  ["llama-sharded", {}],
  ["mpt-heads6", { dtype: "q4" }],
  ["gptj", { dtype: "q8", cacheDtype: "int8" }],
  ["llama-untied", { attention: "full", maxPositions: 100_000 }],
  ["llama-untied", { bankBytes: 1_350_000, chunkSize: 1 }],
];

describe.each(cases)("%s %o", (name, more) => {
  const options = { ...OPTIONS, ...more };

  test("a byte too little, or all: an error of both numbers, no memory made, nothing read", async () => {
    const { checkpoint, read } = await spied(name);
    const { memoryBytes, banks } = planModel(checkpoint, options).plan;
    expect(banks.length > 1).toBe("bankBytes" in more);
    for (const availableMemory of [memoryBytes - 1, 12_345, 0]) {
      const { kernels, memories } = await counted();
      let told = 0;
      const loading = Engine.load(checkpoint, kernels, { ...options, availableMemory, onProgress: () => told++ });
      const error = await loading.then(
        () => undefined,
        (reason) => reason,
      );
      expect(error).toBeInstanceOf(LambentError);
      expect(error.message).toBe(`memory: expected ${memoryBytes} bytes available, found ${availableMemory}`);
      expect({ read: read(), memories: memories(), told }).toEqual({ read: 0, memories: 0, told: 0 });
    }
    await checkpoint.close();
  });

  test("exactly enough is enough, and then everything is read", async () => {
    const { checkpoint, read } = await spied(name);
    const { memoryBytes, weights } = planModel(checkpoint, options).plan;
    const { kernels } = await counted();
    const engine = await Engine.load(checkpoint, kernels, { ...options, availableMemory: memoryBytes });
    expect(engine.plan.memoryBytes).toBe(memoryBytes);
    const stored = new Map(weights.map(({ tensor }) => [tensor.name, tensor.end - tensor.begin]));
    expect(read()).toBe([...stored.values()].reduce((sum, bytes) => sum + bytes));
    await checkpoint.close();
  });
});

test("quantising refuses as loading does", async () => {
  const { checkpoint, read } = await spied("gptj");
  const { kernels, memories } = await counted();
  const error = await quantize(checkpoint, kernels, "q4", { availableMemory: 1000 }).catch((reason) => reason);
  expect(error).toBeInstanceOf(LambentError);
  expect(error.message).toMatch(/^memory: expected \d{5,} bytes available, found 1000$/);
  expect({ read: read(), memories: memories() }).toEqual({ read: 0, memories: 0 });
  await checkpoint.close();
});
