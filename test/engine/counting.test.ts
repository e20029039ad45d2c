/** The work per token does not grow with the text: keys visited and records executed are counted, not timed. */
import { describe, expect, setDefaultTimeout, spyOn, test } from "bun:test";
import { GREEDY } from "../../src/engine/sampler.ts";
import { Machine } from "../../src/machine/machine.ts";
import type { PolicyName } from "../../src/plan/policy.ts";
import { Bare } from "./bare.ts";
import { engineOf, FAMILIES, fixture, kvHeadsOf, PATIENCE, policyOf, randomIds, type Tiny } from "./tiny.ts";

setDefaultTimeout(PATIENCE);

const CHUNK = 256;
const nLocal = 8;
const nGlobal = 3;

/** The fixture's first layer alone, to be quick. */
function oneLayer(name: string): Tiny {
  const { config, tensors } = fixture(name);
  const key = ["num_hidden_layers", "n_layers", "n_layer"].find((candidate) => candidate in config) as string;
  return { config: { ...config, [key]: 1 }, tensors };
}

interface Count {
  readonly keys: bigint;
  readonly records: number;
}

/** Keys visited and records executed by the token at each of `positions`, which a session reaches from 0. */
async function countsAt(model: Bare, positions: readonly number[]): Promise<Count[]> {
  const ids = randomIds(CHUNK, 11);
  const counts: Count[] = [];
  let position = 0;
  const read = (count: number): void => {
    model.step(
      ids.slice(0, count).map((token, i) => ({ session: 0, token, position: position + i })),
      "last",
    );
    position += count;
  };
  for (const goal of positions) {
    while (position < goal) read(Math.min(CHUNK, goal - position));
    const before = model.keysVisited();
    read(1);
    counts.push({ keys: model.keysVisited() - before, records: model.records });
  }
  return counts;
}

const constant: [PolicyName, string, number][] = [
  ["lambda", "gptj", 1_000_000],
  ["lambda", "llama-gqa-tied", 100_000],
  ["lambda", "mpt-heads6", 100_000],
  ["window", "gptj", 100_000],
  ["sinks", "gptj", 100_000],
  ["lambda-only", "gptj", 100_000],
];

describe("keys visited and records executed by one token", () => {
  test.each(constant)("%s, %s: the same at position 10^4 and at %d", async (attention, family, far) => {
    const options = { attention, nLocal, nGlobal, limit: 10, chunkSize: CHUNK, maxSessions: 1 };
    const model = await Bare.load(oneLayer(family), options);
    const [near, there] = (await countsAt(model, [10_000, far])) as [Count, Count];
    expect(there).toEqual(near);
    const keys = (attention === "window" ? 0 : nGlobal) + nLocal;
    expect(near.keys).toBe(BigInt(keys * kvHeadsOf(model.program)));
    expect(near.records).toBe(model.plan.records.flat().length);
  });

  test.each(["full", "ceiling-only"] as const)(
    "%s: as many keys as tokens, so the count can tell",
    async (attention) => {
      const options = { ...policyOf(attention, { limit: 10 }, 1001), chunkSize: CHUNK, maxSessions: 1 };
      const model = await Bare.load(oneLayer("gptj"), options);
      const [near, far] = await countsAt(model, [99, 999]);
      const kvHeads = kvHeadsOf(model.program);
      expect([near?.keys, far?.keys]).toEqual([BigInt(100 * kvHeads), BigInt(1000 * kvHeads)]);
    },
  );

  test.each([...FAMILIES])("%s: every key once, whatever the chunk", async (family) => {
    const counted: bigint[] = [];
    for (const size of [1, 7, 64]) {
      const model = await Bare.load(family, { nLocal, nGlobal, chunkSize: 64, maxSessions: 1 });
      model.read(randomIds(50, 12), size);
      counted.push(model.keysVisited());
    }
    // Below the window every key before it and itself, then the window and as many pinned keys as have left it.
    const perHead = Array.from(
      { length: 50 },
      (_, p) => Math.min(p + 1, nLocal) + Math.min(nGlobal, Math.max(0, p + 1 - nLocal)),
    );
    const { plan, program } = await Bare.load(family, { nLocal, nGlobal });
    const sum = perHead.reduce((a, b) => a + b) * plan.layers.length * kvHeadsOf(program);
    expect(counted).toEqual([BigInt(sum), BigInt(sum), BigInt(sum)]);
  });
});

test("the number of records that the engine's steps execute stays the same from 10^4 to 10^5 tokens", async () => {
  const engine = await engineOf(oneLayer("gptj"), { nLocal, nGlobal, chunkSize: CHUNK, maxSessions: 1 });
  const session = engine.open(0, 1);
  const run = spyOn(Machine.prototype, "run");
  const records: unknown[] = [];
  for (const goal of [10_000, 100_000]) {
    await engine.append(session, randomIds(goal - engine.state(session).position, goal));
    await engine.next(session, GREEDY);
    await engine.next(session, GREEDY);
    expect(engine.state(session).position).toBeGreaterThan(goal);
    records.push(run.mock.results.at(-1)?.value);
  }
  run.mockRestore();
  expect(records).toEqual([engine.plan.records.flat().length, engine.plan.records.flat().length]);
});
