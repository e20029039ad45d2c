/** The keys of Fig 2 and their distances: found in kernels that are right; test/mutants has broken ones. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Loading, measureKeys } from "../../research/eval/keys.ts";
import { type Policy, resolvePolicy } from "../../src/plan/policy.ts";
import { engineOf, FAMILIES, PATIENCE, randomIds } from "../engine/tiny.ts";
import { kernels } from "../setup.ts";
import { EMBEDDED, foundKeys } from "./found_keys.ts";

setDefaultTimeout(PATIENCE);

const lambda = (nGlobal: number, nLocal: number, limit: number) => resolvePolicy({ nGlobal, nLocal, limit }, nLocal);

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
  const keys = await foundKeys(model, await kernels());
  expect(keys).toMatchObject({ attended: 46, expected: 46, wrong: 0, holds: true });
  expect(Math.max(keys.pinnedDifference, keys.localDifference)).toBeLessThan(1e-5);
});
