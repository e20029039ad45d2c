/** The NLL of every token against the f64 reference and transformers, however a text is cut. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import type { Engine } from "../../src/engine/engine.ts";
import { GREEDY } from "../../src/engine/sampler.ts";
import { score } from "../../src/engine/score.ts";
import { readSnapshot, writeSnapshot } from "../../src/engine/snapshot.ts";
import { NO_TEXT } from "../../src/engine/state.ts";
import { planModel } from "../../src/plan/plan_checkpoint.ts";
import { POLICIES, type PolicyOptions } from "../../src/plan/policy.ts";
import { readSafetensors } from "../reference/safetensors.ts";
import { FIXTURES, kernels, openEngine } from "../setup.ts";
import { checkpointOf, dense, engineOf, FAMILIES, fixture, PATIENCE, policyOf, randomIds } from "./tiny.ts";

setDefaultTimeout(PATIENCE);

const observe = { nll: true };

/** The NLL of tokens 1, 2 … by the rows of logits [n][vocab] before them. */
function nllOf(logits: readonly ArrayLike<number>[], ids: readonly number[]): number[] {
  return ids.slice(1).map((id, p) => {
    const row = Array.from(logits[p] as ArrayLike<number>);
    const largest = Math.max(...row);
    return Math.log(row.reduce((sum, x) => sum + Math.exp(x - largest), 0)) + largest - (row[id] as number);
  });
}

/** Scores ids in calls of these lengths, the rest in one more; the NLL by position, NaN where there was none. */
async function scored(engine: Engine, id: number, ids: readonly number[], cuts: readonly number[] = []) {
  const { origin, position: begin } = engine.state(id);
  const found: number[] = new Array(ids.length + begin - origin).fill(Infinity);
  let from = 0;
  for (const count of [...cuts, ids.length]) {
    const part = ids.slice(from, from + count);
    await score(engine, id, part, (nll, position) => {
      for (const [i, value] of nll.entries()) {
        expect(found[position - origin + i]).toBe(Infinity);
        found[position - origin + i] = value;
      }
    });
    from += part.length;
  }
  return found;
}

function worst(found: readonly number[], wanted: readonly number[]): number {
  expect(found.length).toBe(wanted.length);
  return found.reduce((most, value, i) => {
    const off = Math.abs(value - (wanted[i] as number));
    return Math.max(most, off);
  }, 0);
}

describe.each([...FAMILIES])("%s: NLL within 1e-4 nats of the dense mask's in f64", (family) => {
  const shape: PolicyOptions = { nGlobal: 3, nLocal: 16, limit: 20 };
  test.each([...POLICIES])("%s", async (attention) => {
    const ids = randomIds(100, 7);
    const engine = await engineOf(family, { ...policyOf(attention, shape, 100), chunkSize: 24, observe });
    const found = await scored(engine, engine.open(1000, 1), ids);
    expect(found[0]).toBe(Infinity);
    expect(worst(found.slice(1), nllOf(dense(family, ids, { ...shape, attention }), ids))).toBeLessThan(1e-4);
  });
});

const goldens = readdirSync(FIXTURES, { withFileTypes: true }).filter((entry) => entry.isDirectory());
test.each(goldens.map(({ name }) => name))("%s: NLL within 1e-4 nats of transformers' logits", async (name) => {
  const golden = readSafetensors(join(FIXTURES, name, "golden.safetensors"));
  const ids = Array.from(golden.get("ids")?.data ?? []);
  const { data } = golden.get("logits") ?? { data: [] };
  const vocab = data.length / ids.length;
  const rows = ids.map((_, p) => data.slice(p * vocab, (p + 1) * vocab));
  const policy = name === "mistral-window" ? ({ attention: "window", nLocal: 16 } as const) : ({} as const);
  const engine = await openEngine(join(FIXTURES, name), { nLocal: 64, ...policy, observe });
  const found = await scored(engine, engine.open(0, 1), ids);
  expect(worst(found.slice(1), nllOf(rows, ids))).toBeLessThan(1e-4);
});

describe("the same bits", () => {
  const options = { nGlobal: 3, nLocal: 16, observe } as const;
  const ids = randomIds(90, 3);

  test("however the text is cut into calls, steps and snapshots, beside another session", async () => {
    const whole = await engineOf("gptj", { ...options, chunkSize: 128 });
    const wanted = await scored(whole, whole.open(0, 1), ids);
    const cuts = fc.record({
      calls: fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 8 }),
      chunkSize: fc.constantFrom(1, 5, 40),
    });
    const engines = new Map<number, Engine>();
    await fc.assert(
      fc.asyncProperty(cuts, async ({ calls, chunkSize }) => {
        const engine = engines.get(chunkSize) ?? (await engineOf("gptj", { ...options, chunkSize }));
        engines.set(chunkSize, engine);
        const [one, other] = [engine.open(0, 1), engine.open(0, 1)];
        const both = await Promise.all([scored(engine, one, ids, calls), scored(engine, other, ids, [7])]);
        for (const id of [one, other]) engine.dispose(id);
        expect(both).toEqual([wanted, wanted]);
      }),
      { numRuns: 40, seed: 1 },
    );
  });

  test("across a snapshot, and after an append or a chosen token", async () => {
    const engine = await engineOf("gptj", { ...options, chunkSize: 16 });
    const wanted = await scored(engine, engine.open(0, 1), ids);
    for (const at of [1, 2, 40]) {
      const id = engine.open(0, 1);
      const begun = await scored(engine, id, ids.slice(0, at));
      const copy = readSnapshot(engine, writeSnapshot(engine, engine.state(id), NO_TEXT)).id;
      const rest: number[] = [];
      await score(engine, copy, ids.slice(at), (nll) => void rest.push(...nll));
      expect([...begun, ...rest]).toEqual(wanted);

      const read = engine.open(0, 1);
      await engine.append(read, ids.slice(0, at));
      const found = await scored(engine, read, ids.slice(at), [0, 1]);
      expect(found.slice(at)).toEqual(wanted.slice(at));
      for (const each of [id, copy, read]) engine.dispose(each);
    }
    const id = engine.open(0, 1);
    await engine.append(id, ids.slice(0, 40));
    const chosen = await engine.next(id, GREEDY);
    const followed: number[] = [];
    await score(engine, id, [5, 6], (nll) => void followed.push(...nll));
    const text = [...ids.slice(0, 40), chosen.id, 5, 6];
    expect(followed).toEqual((await scored(engine, engine.open(0, 1), text)).slice(41));
  });

  test("with observers or without, logits and chosen tokens", async () => {
    const engines = [
      await engineOf("gptj", { ...options }),
      await engineOf("gptj", { ...options, observe: undefined }),
    ];
    const rows = await Promise.all(
      engines.map(async (engine) => {
        const id = engine.open(0, 1);
        await engine.append(id, ids);
        return [...engine.logits(engine.state(id))];
      }),
    );
    expect(rows[0]).toEqual(rows[1] as number[]);
  });
});

test("an aborted call has scored what it has read, and the next one goes on", async () => {
  const engine = await engineOf("gptj", { nLocal: 16, chunkSize: 8, observe });
  const ids = randomIds(50, 9);
  const wanted = (await scored(engine, engine.open(0, 1), ids)).slice(1);
  const id = engine.open(0, 1);
  const found: number[] = [];
  const stop = new AbortController();
  const stopped = score(
    engine,
    id,
    ids,
    (nll) => {
      found.push(...nll);
      if (found.length >= 24) stop.abort();
    },
    stop.signal,
  );
  await expect(stopped).rejects.toThrow("aborted");
  expect(found).toEqual(wanted.slice(0, 24));
  await score(engine, id, ids.slice(25), (nll) => void found.push(...nll));
  expect(found).toEqual(wanted);
});

test("full attention takes exactly maxPositions tokens", async () => {
  const engine = await engineOf("gptj", { attention: "full", maxPositions: 20, observe });
  const ids = randomIds(21, 1);
  const id = engine.open(0, 1);
  expect((await scored(engine, id, ids.slice(0, 20))).slice(1).every(Number.isFinite)).toBe(true);
  await expect(score(engine, id, ids.slice(20), () => {})).rejects.toThrow("maxPositions: expected at most 20");
});

test("logits that are not finite give NaN for their rows and for no other", async () => {
  // A token of which the embedding is so large that its own logits overflow; attention carries it to all that follow.
  const tiny = fixture("gptj");
  const table = tiny.tensors.get("transformer.wte.weight");
  const numbers = new Float32Array(table?.bytes.buffer as ArrayBuffer);
  numbers.fill(3e38, 9 * (numbers.length / 61), 10 * (numbers.length / 61));
  const engine = await engineOf(tiny, { nGlobal: 0, nLocal: 4, chunkSize: 16, observe });
  const ids = [1, 2, 3, 9, 4, 5, 6, 7, 8, 10, 11, 12];
  const found = await scored(engine, engine.open(0, 1), ids);
  expect(found.slice(1, 4).every(Number.isFinite)).toBe(true);
  expect(found[4]).toBeNaN();
  expect(found.length).toBe(12);
});

test("the kernel: extreme logits, sizes that are no multiple of four", async () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const { nll } = (await kernels()).instantiate(memory);
  const run = (logits: readonly number[], target: number): number[] => {
    new Float32Array(memory.buffer, 1024, 64).fill(NaN);
    new Float32Array(memory.buffer, 1024).set(logits);
    nll(64, 1024, target, logits.length);
    return [...new Float64Array(memory.buffer, 64, 2)];
  };
  expect(run([0, 1e30, 0, -5, 2], 1)).toEqual([1, 0]);
  expect(run([0, 1e30, 0, -5, 2], 4)).toEqual([1, Math.fround(1e30) - 2]);
  expect(run([-3e38, 3e38, 3e38], 0)).toEqual([2, 2 * Math.fround(3e38)]);
  expect(run([-7], 0)).toEqual([1, 0]);
  for (const bad of [NaN, Infinity, -Infinity]) {
    for (const place of [0, 3, 5]) expect(run([1, 2, 3, 4, 5, 6].with(place, bad), 1)).toEqual([NaN, NaN]);
  }
  for (let n = 1; n < 12; n++) {
    const logits = randomIds(n, n).map((x) => x / -8);
    const largest = Math.max(...logits);
    const [sum, rest] = run(logits, n - 1) as [number, number];
    expect(sum).toBeCloseTo(
      logits.reduce((all, x) => all + Math.exp(x - largest), 0),
      5,
    );
    expect(rest).toBe(largest - (logits.at(-1) as number));
  }
});

test("without observe.nll: an error, 16 rows of logits, and no byte for it", async () => {
  const engine = await engineOf("gptj", {});
  await expect(score(engine, engine.open(0, 1), [1], () => {})).rejects.toThrow("observe.nll: expected true, to score");
  const checkpoint = await checkpointOf(fixture("gptj"));
  const [plain, observed] = [{}, { observe }].map((options) => planModel(checkpoint, options).plan);
  expect([plain?.options.logitsRows, observed?.options.logitsRows]).toEqual([16, 128]);
  const logitsBytes = 112 * (16 + 4 + 4 * (61 + 32)); // 112 more rows of NLL, target, logits and head's input
  expect(observed?.records.flat().length).toBe((plain?.records.flat().length as number) + 1);
  expect((observed?.memoryBytes as number) - (plain?.memoryBytes as number)).toBeWithin(
    logitsBytes,
    logitsBytes + 16 * 24 + 512,
  );
});
