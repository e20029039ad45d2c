/** The keys of Fig 2 and their distances: found in kernels that are right, missed in kernels that are broken. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { type FoundKeys, type Loading, measureKeys } from "../../research/eval/keys.ts";
import { Engine } from "../../src/engine/engine.ts";
import { openDirectory } from "../../src/formats/checkpoint.ts";
import type { Kernels } from "../../src/machine/kernels.ts";
import { type Policy, resolvePolicy } from "../../src/plan/policy.ts";
import { directory } from "../../src/sources/directory.ts";
import { engineOf, FAMILIES, PATIENCE, randomIds } from "../engine/tiny.ts";
import { brokenKernels, type Mutation } from "../machine/mutant.ts";
import { kernels, MODELS } from "../setup.ts";

setDefaultTimeout(PATIENCE);

const EMBEDDED = ["lambent-llama-5m", "lambent-gptj-6m", "lambent-mpt-5m"] as const;

const lambda = (nGlobal: number, nLocal: number, limit = nLocal) => resolvePolicy({ nGlobal, nLocal, limit }, nLocal);

/** What is found in an embedded model with these kernels. */
async function found(model: string, kernels: Kernels): Promise<FoundKeys> {
  const load: Loading = async (options) => {
    const checkpoint = await openDirectory(directory(join(MODELS, model)));
    try {
      return await Engine.load(checkpoint, kernels, { ...options, maxSessions: 1 });
    } finally {
      await checkpoint.close();
    }
  };
  const policy = lambda(6, 40, 50);
  return measureKeys(load, randomIds(100, 1), policy, policy);
}

describe.each([...FAMILIES])("%s: nGlobal + nLocal keys, logits as at distance limit within 1e-5", (family) => {
  const load: Loading = (options) => engineOf(family, { ...options, chunkSize: 7, maxSessions: 1 });
  test.each([
    [3, 8, 8],
    [4, 8, 13],
    [9, 5, 5],
    [9, 3, 4],
    [1, 1, 1],
    [0, 6, 6],
  ])("nGlobal %d, nLocal %d, limit %d", async (nGlobal, nLocal, limit) => {
    const policy = lambda(nGlobal, nLocal, limit);
    const keys = await measureKeys(load, randomIds(11, nLocal), policy, policy);
    expect(keys).toMatchObject({ attended: nGlobal + nLocal, expected: nGlobal + nLocal, wrong: 0, holds: true });
    expect(keys.position).toBe(2 * limit + nLocal + nGlobal - 1);
    expect(Math.max(keys.pinnedDifference, keys.localDifference)).toBeLessThan(1e-5);
  });
});

describe("a first layer with a window of its own", () => {
  const load: Loading = (options) => engineOf("qwen2-window", { ...options, chunkSize: 7, maxSessions: 1 });
  const policy = lambda(4, 8, 9);

  test("meets the keys of its window, at their distances", async () => {
    const { plan } = await load(policy);
    const keys = await measureKeys(load, randomIds(40, 3), policy, plan.layers[0]?.policy as Policy);
    expect(keys).toMatchObject({ position: 47, attended: 16, expected: 16, wrong: 0, holds: true });
    expect(keys.localDifference).toBeLessThan(1e-5);
  });

  test("does not meet those of the policy of the others", async () => {
    expect(await measureKeys(load, randomIds(40, 3), policy, policy)).toMatchObject({ expected: 12, holds: false });
  });
});

test("another policy is refused", async () => {
  const full = resolvePolicy({ attention: "full" }, 8);
  const measured = measureKeys(() => engineOf("gptj"), [1], full, full);
  await expect(measured).rejects.toThrow("policy: expected lambda, found full");
});

test.each([...EMBEDDED])("%s: holds", async (model) => {
  const keys = await found(model, await kernels());
  expect(keys).toMatchObject({ attended: 46, expected: 46, wrong: 0, holds: true });
  expect(Math.max(keys.pinnedDifference, keys.localDifference)).toBeLessThan(1e-5);
});

const ROPE = EMBEDDED.slice(0, 2);
const BROKEN: readonly (Mutation & { what: string; models: readonly string[]; sees: Partial<FoundKeys> })[] = [
  {
    what: "the ceiling",
    models: EMBEDDED,
    file: "attention_keys.ts",
    from: "if (clamp == Clamp.Distance) return position - limit + 1;",
    to: "if (clamp == Clamp.Distance) return 0;",
    sees: { attended: 46, wrong: 0 },
  },
  {
    what: "the global branch",
    models: EMBEDDED,
    file: "attention_keys.ts",
    from: "end = min(origin + <u64>word(record, Attention.nGlobal), localBegin);",
    to: "end = begin;",
    sees: { attended: 40 },
  },
  {
    what: "the rotation of pinned keys",
    models: ROPE,
    file: "attention_keys.ts",
    from: "const distance = load<u32>(work, Work.fixed) && word(record, Attention.clamp) == Clamp.Distance;",
    to: "const distance = false;",
    sees: { attended: 46, wrong: 0 },
  },
  {
    what: "the rotation of their queries",
    models: ROPE,
    file: "attention.ts",
    from: "Attention.qMiddle : Attention.qFixed;",
    to: "Attention.qMiddle : Attention.q;",
    sees: { attended: 46, wrong: 0 },
  },
  {
    what: "the window",
    models: EMBEDDED,
    file: "attention_keys.ts",
    from: "position - nLocal + 1 : origin",
    to: "position - nLocal + 2 : origin",
    sees: { attended: 45 },
  },
];

test.each([...BROKEN])("$what is broken: it does not hold", async ({ models, sees, ...mutation }) => {
  const broken = await brokenKernels([mutation]);
  for (const model of models) {
    const keys = await found(model, broken);
    expect(keys).toMatchObject({ ...sees, holds: false });
    if (sees.wrong === 0) expect(keys.pinnedDifference).toBeGreaterThan(1e-2);
    else expect(keys.wrong).toBeGreaterThan(0);
  }
});
