/** Logs of sessions: what is found in them is what a slot would have, and segments are shared, named, checked and deleted. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { CACHE_DTYPES } from "../../src/base/dtype.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { GREEDY } from "../../src/engine/sampler.ts";
import { restoreSnapshot, writeSnapshot } from "../../src/engine/snapshot.ts";
import { NO_TEXT } from "../../src/engine/state.ts";
import { planModel } from "../../src/plan/plan_checkpoint.ts";
import { type LogStore, memoryLog } from "../../src/store/log_store.ts";
import { kernels } from "../setup.ts";
import { checkpointOf, engineOf, FAMILIES, fixture, PATIENCE, randomIds, rowOf, type Tiny, tensor } from "./tiny.ts";

setDefaultTimeout(PATIENCE);

const SHAPE = { nLocal: 100, nGlobal: 3, recall: 3, recallLayers: [0, 1], recallTokens: 5000, chunkSize: 64 };
const ODD = { ...SHAPE, recallBlocks: 4, recallGate: -3 } as const;

/** A store that counts, and can be told to fail. */
class Watched implements LogStore {
  readonly segments = new Map<string, Uint8Array>();
  puts = 0;
  reads = 0;
  fails: "put" | "read" | undefined;

  async put(name: string, bytes: Uint8Array): Promise<boolean> {
    await new Promise((resolve) => setTimeout(resolve, 1));
    if (this.fails === "put") throw new Error("the disk is full");
    this.puts++;
    const isNew = !this.segments.has(name);
    if (isNew) this.segments.set(name, bytes.slice());
    return isNew;
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    return this.segments.get(name);
  }

  async delete(name: string): Promise<void> {
    this.segments.delete(name);
  }

  read(name: string, offset: number, into: Uint8Array): void {
    if (this.fails === "read") throw new Error("the disk is gone");
    this.reads++;
    into.set((this.segments.get(name) as Uint8Array).subarray(offset, offset + into.length));
  }
}

/** Heads of 132 numbers, whose blocks have 32 keys: each weight of the attention is there as often as it takes. */
function wideHeads(): Tiny {
  const { config, tensors } = fixture("llama-gqa-tied");
  const headDim = 132;
  for (const [name, { dtype, shape, bytes }] of tensors) {
    const [rows, columns] = shape as readonly [number, number];
    const weights = new Float32Array(bytes.slice().buffer);
    const of = /self_attn\.(\w)_proj/.exec(name)?.[1];
    if (!of) continue;
    const wide = of === "o" ? [rows, 4 * headDim] : [(rows / 8) * headDim, columns];
    const [height, width] = wide as [number, number];
    const all = Float32Array.from({ length: height * width }, (_, i) => weights[(i * 7) % weights.length] as number);
    tensors.set(name, tensor(dtype, wide, new Uint8Array(all.buffer)));
  }
  return { config: { ...config, head_dim: headDim }, tensors };
}

/** Reads pieces of a text and then chooses tokens; the logits after each piece and token. */
async function talk(engine: Engine, session: number, ids: readonly number[], sizes: readonly number[], more = 6) {
  const rows: Float32Array[] = [];
  let at = 0;
  for (const size of sizes) {
    await engine.append(session, ids.slice(at, at + size));
    at += size;
    rows.push(rowOf(engine, session));
  }
  engine.begin(session, 1, { ...GREEDY, promptLookupNumTokens: 3 });
  for (let i = 0; i < more; i++) {
    await engine.next(session);
    rows.push(rowOf(engine, session));
  }
  return rows;
}

function logged(store: LogStore, recallMemory = 0) {
  return { ...SHAPE, recallStore: store, logStore: store, recallMemory };
}

const snapshotOf = async (engine: Engine, id: number) => {
  const session = engine.settled(id);
  session.log?.seal(session);
  await session.log?.writing;
  session.log?.promise();
  return writeSnapshot(engine, session, NO_TEXT);
};

/** Until the store has done what it was asked. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 30));

describe.each([...FAMILIES])("%s", (family) => {
  test.each([...CACHE_DTYPES])(
    "%s: the bits of a slot that has everything, whatever is in memory",
    async (cacheDtype) => {
      const ids = randomIds(5200, 3);
      const sizes = [1, 700, 1, 1, 600, 2300, 40, 900];
      for (const options of [SHAPE, ODD]) {
        const plain = await engineOf(family, { ...options, cacheDtype });
        const expected = await talk(plain, plain.open(7, 1), ids, sizes);
        for (const recallMemory of [0, 100_000, Infinity]) {
          const store = new Watched();
          const engine = await engineOf(family, { ...options, ...logged(store, recallMemory), ...options, cacheDtype });
          expect(await talk(engine, engine.open(7, 1), ids, sizes)).toEqual(expected);
          expect(store.segments.size).toBe(4);
          expect(store.reads > 0).toBe(recallMemory < Infinity);
        }
      }
    },
  );
});

describe("a log", () => {
  test("threads, banks and neighbours in a step change no bit", async () => {
    const ids = randomIds(3000, 5);
    const checkpoint = await checkpointOf(fixture("gptj"));
    const plain = await engineOf("gptj", SHAPE);
    const expected = await talk(plain, plain.open(0, 1), ids, [2900], 4);
    const whole = planModel(checkpoint, logged(new Watched())).plan.banks[0]?.maximumBytes as number;
    const places = [{ threads: 2 }, { bankBytes: Math.floor(whole * 0.6) }];
    for (const place of places) {
      const engine = await engineOf("gptj", { ...logged(new Watched()), maxSessions: 3, ...place });
      const sessions = [engine.open(0, 1), engine.open(0, 1), engine.open(99, 1)];
      const found = await Promise.all(sessions.map((id) => talk(engine, id, ids, [2900], 4)));
      expect(found[0]).toEqual(expected);
      expect(found[1]).toEqual(expected);
    }
  });

  test.each([
    ["narrow heads", "gptj"],
    ["heads of 132 numbers", wideHeads()],
  ])("%s: a snapshot is of constant size, and goes on elsewhere with the same bits", async (_, model) => {
    const store = new Watched();
    const ids = randomIds(4000, 8);
    const engine = await engineOf(model, logged(store));
    const plain = await engineOf(model, SHAPE);
    const session = engine.open(3, 1);
    const whole = plain.open(3, 1);
    const sizes = new Set<number>();
    let at = 0;
    for (const end of [500, 1024, 1100, 2047, 2048, 3333]) {
      await engine.append(session, ids.slice(at, end));
      await plain.append(whole, ids.slice(at, end));
      at = end;
      const snapshot = await snapshotOf(engine, session);
      sizes.add(snapshot.length);
      const other = await engineOf(model, logged(store, 1e6));
      const { id } = await restoreSnapshot(other, snapshot);
      const here = engine.fork(session);
      const expected = await talk(engine, here, ids.slice(end), [300]);
      expect(await talk(other, id, ids.slice(end), [300])).toEqual(expected);
      const there = plain.fork(whole);
      expect(await talk(plain, there, ids.slice(end), [300])).toEqual(expected);
      plain.dispose(there);
      engine.dispose(here);
      expect((await snapshotOf(other, id)).length).toBe(snapshot.length);
    }
    expect(sizes.size).toBe(1);
  });

  test("forks and sessions that have read the same share segments; the last one deletes them, unless a snapshot names them", async () => {
    const store = new Watched();
    const engine = await engineOf("mpt-heads6", logged(store));
    const ids = randomIds(2500, 1);
    const session = engine.open(0, 1);
    await engine.append(session, ids);
    const fork = engine.fork(session);
    await settled();
    expect(store.segments.size).toBe(2);
    const again = engine.open(0, 1);
    await engine.append(again, ids.slice(0, 2100));
    expect(store.segments.size).toBe(2);
    expect(store.puts).toBe(2);
    for (const id of [session, fork]) engine.dispose(id);
    await settled();
    expect(store.segments.size).toBe(2);
    await engine.append(again, ids.slice(2100));
    await engine.append(again, ids.slice(0, 600));
    engine.dispose(again);
    await settled();
    expect(store.segments.size).toBe(0);
    const kept = engine.open(0, 1);
    await engine.append(kept, ids);
    await snapshotOf(engine, kept);
    await engine.append(kept, ids);
    await settled();
    expect(store.segments.size).toBe(4);
    engine.dispose(kept);
    await settled();
    expect(store.segments.size).toBe(2);
  });

  test("what no query can reach any more is deleted", async () => {
    const store = new Watched();
    const engine = await engineOf("gptj", { ...logged(store), recallTokens: 1500 });
    const session = engine.open(0, 1);
    await engine.append(session, randomIds(9000, 2));
    await settled();
    expect(store.segments.size).toBeLessThanOrEqual(3);
    expect(engine.state(session).log?.count).toBe(8);
    const snapshot = await snapshotOf(engine, session);
    const other = await engineOf("gptj", { ...logged(store), recallTokens: 1500 });
    const { id } = await restoreSnapshot(other, snapshot);
    expect(await talk(other, id, randomIds(2000, 3), [1999])).toEqual(
      await talk(engine, session, randomIds(2000, 3), [1999]),
    );
  });

  test("a segment that is lost, damaged or another model's is refused by name, and the slot is free again", async () => {
    const store = new Watched();
    const engine = await engineOf("gptj", logged(store));
    const session = engine.open(0, 1);
    await engine.append(session, randomIds(3500, 2));
    const snapshot = await snapshotOf(engine, session);
    const names = [...store.segments.keys()];
    const other = await engineOf("gptj", { ...logged(store), maxSessions: 1 });
    const middle = names[1] as string;
    const bytes = store.segments.get(middle) as Uint8Array;
    store.segments.delete(middle);
    await expect(restoreSnapshot(other, snapshot)).rejects.toThrow(
      `segment ${middle}: expected a file of the log, found none`,
    );
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: bytes.length - 1 }), async (at) => {
        const damaged = bytes.slice();
        damaged[at] = (damaged[at] as number) ^ 4;
        store.segments.set(middle, damaged);
        await expect(restoreSnapshot(other, snapshot)).rejects.toThrow(
          `segment ${middle}: expected bytes of that hash`,
        );
      }),
      { numRuns: 20 },
    );
    store.segments.set(middle, bytes.subarray(0, 1000));
    await expect(restoreSnapshot(other, snapshot)).rejects.toThrow(`segment ${middle}: expected bytes of that hash`);
    store.segments.set(middle, bytes);
    other.dispose((await restoreSnapshot(other, snapshot)).id);
    const plain = await engineOf("gptj", SHAPE);
    await expect(restoreSnapshot(plain, snapshot)).rejects.toThrow(
      "snapshot: log (recallStore): expected none, found one",
    );
    const without = writeSnapshot(plain, plain.state(plain.open(0, 1)), NO_TEXT);
    await expect(restoreSnapshot(other, without)).rejects.toThrow(
      "snapshot: log (recallStore): expected one, found none",
    );
  });

  test("where the store does not write, the call says so, nothing is lost, and the next one goes on", async () => {
    const store = new Watched();
    const ids = randomIds(3000, 4);
    const plain = await engineOf("gptj", SHAPE);
    const expected = await talk(plain, plain.open(0, 1), ids, [3000]);
    const engine = await engineOf("gptj", logged(store));
    const session = engine.open(0, 1);
    store.fails = "put";
    await expect(engine.append(session, ids)).rejects.toThrow("the disk is full");
    const { position } = engine.state(session);
    expect(position).toBeGreaterThan(1024);
    await expect(snapshotOf(engine, session)).rejects.toThrow("the disk is full");
    store.fails = undefined;
    expect((await talk(engine, session, ids.slice(position), [3000 - position])).slice(-6)).toEqual(expected.slice(-6));
    expect(store.segments.size).toBe(2);
  });

  test("a session whose log cannot be read ends by name; the others of its steps go on with their bits", async () => {
    const store = new Watched();
    const ids = randomIds(3000, 6);
    const plain = await engineOf("gptj", SHAPE);
    const expected = await talk(plain, plain.open(0, 1), ids.slice(0, 300), [250]);
    const engine = await engineOf("gptj", logged(store));
    const long = engine.open(0, 1);
    await engine.append(long, ids.slice(0, 2900));
    store.fails = "read";
    const short = engine.open(0, 1);
    const [failed, went] = await Promise.allSettled([
      engine.append(long, ids.slice(2900)),
      talk(engine, short, ids.slice(0, 300), [250]),
    ]);
    expect(`${(failed as PromiseRejectedResult).reason}`).toMatch(
      /segment [0-9a-f]{16} of the log cannot be read: the disk is gone/,
    );
    expect((went as PromiseFulfilledResult<Float32Array[]>).value).toEqual(expected);
    expect(() => engine.state(long)).toThrow("cannot go on");
  });

  test("any pieces, any reach, sessions that come and go: what a slot would have, and nothing is left over", async () => {
    const property = fc.asyncProperty(
      fc.record({
        pieces: fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 2, maxLength: 8 }),
        recallTokens: fc.integer({ min: 1025, max: 4000 }),
        nLocal: fc.integer({ min: 32, max: 150 }),
        chunkSize: fc.integer({ min: 1, max: 200 }),
        recallMemory: fc.constantFrom(0, 300_000, Infinity),
        startPosition: fc.constantFrom(0, 1, 1023, 2 ** 40 + 5),
        seed: fc.nat(),
      }),
      async ({ pieces, recallMemory, startPosition, seed, ...numbers }) => {
        const ids = randomIds(
          pieces.reduce((sum, size) => sum + size, 0),
          seed,
        );
        const options = { ...SHAPE, ...numbers };
        const plain = await engineOf("gptj", options);
        const expected = await talk(plain, plain.open(startPosition, 1), ids, pieces);
        const store = new Watched();
        const engine = await engineOf("gptj", { ...logged(store, recallMemory), ...numbers });
        const session = engine.open(startPosition, 1);
        expect(await talk(engine, session, ids, pieces)).toEqual(expected);
        engine.dispose(session);
        await settled();
        expect(store.segments.size).toBe(0);
      },
    );
    await fc.assert(property, { numRuns: 12 });
  });
});

test("memory is the store where none is given to an engine", async () => {
  const store = memoryLog();
  const bytes = Uint8Array.of(1, 2, 3);
  expect(await store.put("a", bytes)).toBe(true);
  expect(await store.put("a", bytes)).toBe(false);
  const into = new Uint8Array(2);
  store.read?.("a", 1, into);
  expect([...into]).toEqual([2, 3]);
  expect(() => store.read?.("a", 2, into)).toThrow("it is not there");
  expect(() => store.read?.("b", 0, into)).toThrow("it is not there");
  await store.delete("a");
  expect(await store.get("a")).toBeUndefined();
  expect(await kernels()).toBeDefined();
});
