import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { PolicyOptions } from "../../src/plan/policy.ts";
import { readSafetensors } from "../reference/safetensors.ts";
import { deviation, FIXTURES, logitsOf, MODELS, openEngine, shared } from "../setup.ts";

const goldens = readdirSync(FIXTURES, { withFileTypes: true }).filter((entry) => entry.isDirectory());

/** Other policies than `full`: what transformers' own sliding window is; and for longrope how long texts are at most. */
const POLICIES: Record<string, PolicyOptions> = {
  "mistral-window": { attention: "window", nLocal: 16 },
  phi3: { attention: "full", maxPositions: 64 },
};
const policyOf = (name: string): PolicyOptions => POLICIES[name] ?? { attention: "full" };

for (const { name } of goldens) {
  test(`${name}: logits equal transformers' within 2e-4 · (1 + |logit|)`, async () => {
    const golden = readSafetensors(join(FIXTURES, name, "golden.safetensors"));
    const ids = Array.from(golden.get("ids")?.data ?? []);
    const engine = await openEngine(join(FIXTURES, name), policyOf(name));
    const rows = await logitsOf(engine, ids);
    const found = Float32Array.from(rows.flatMap((row) => [...row]));
    expect(ids.length).toBeGreaterThan(40);
    expect(deviation(found, golden.get("logits")?.data ?? [])).toBeLessThan(2e-4);
  });
}

interface Greedy {
  readonly ids: number[];
  readonly new_ids: number[];
}

for (const model of ["lambent-llama-5m", "lambent-gptj-6m", "lambent-mpt-5m"]) {
  test(`${model}: greedy ids equal transformers' for 64 tokens`, async () => {
    const directory = join(MODELS, model);
    const { greedy64 } = JSON.parse(readFileSync(join(directory, "reference.json"), "utf8")) as { greedy64: Greedy[] };
    const engine = await openEngine(directory);
    expect(greedy64.length).toBeGreaterThan(1);
    for (const { ids, new_ids } of greedy64) expect(await greedy(engine, ids, new_ids.length)).toEqual(new_ids);
  });
}

const stories = shared("checkpoints/stories260K");
test.skipIf(!stories)("stories260K: 200 greedy tokens", async () => {
  const file = readFileSync(join(stories as string, "reference.json"), "utf8");
  const [bos, ...rest] = (JSON.parse(file) as { greedy_ids_201_incl_bos: number[] }).greedy_ids_201_incl_bos;
  const engine = await openEngine(stories as string);
  expect(await greedy(engine, [bos as number], 200)).toEqual(rest);
});

const babyllama = shared("checkpoints/babyllama-tok105");
test.skipIf(!babyllama)("babyllama: greedy ids of the reference", async () => {
  const file = readFileSync(join(babyllama as string, "reference.json"), "utf8");
  const [bos, ...rest] = (JSON.parse(file) as { greedy_ids_incl_bos: number[] }).greedy_ids_incl_bos;
  const engine = await openEngine(babyllama as string);
  expect(await greedy(engine, [bos as number], rest.length)).toEqual(rest);
});

async function greedy(engine: Awaited<ReturnType<typeof openEngine>>, prompt: number[], count: number) {
  const { GREEDY } = await import("../../src/engine/sampler.ts");
  const session = engine.open(0, 1);
  await engine.append(session, prompt);
  const ids: number[] = [];
  while (ids.length < count) ids.push((await engine.next(session, GREEDY)).id);
  engine.dispose(session);
  return ids;
}
