/** Stores of segments: every one by the same cases; what snapshots name, and what is left when they are deleted. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { load, ModelError, type Session } from "../../src/entry/index.ts";
import * as stores from "../../src/entry/stores.ts";
import { FIXTURES } from "../setup.ts";
import { REDIS, startRedis, stopServices } from "./services.ts";

const clients: Redis[] = [];
afterAll(async () => {
  for (const client of clients) client.disconnect();
  await stopServices();
});

const folders: string[] = [];
function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "lambent-log-"));
  folders.push(folder);
  return folder;
}
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

const bytesOf = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 255);

/** `other`: another client of the same store, as of another process. */
function conform(open: () => readonly [stores.LogStore, stores.LogStore]): void {
  test("segments come back as they were, once, until they are deleted; bytes are read from anywhere", async () => {
    const [store, other] = open();
    const segments = [1, 300, 1_000_000].map(bytesOf);
    for (const [i, bytes] of segments.entries()) {
      expect(await store.get(`0${i}`)).toBeUndefined();
      expect(await store.put(`0${i}`, bytes)).toBe(true);
      expect(await other.put(`0${i}`, bytes)).toBe(false);
      for (const client of [store, other]) {
        const found = (await client.get(`0${i}`)) as Uint8Array;
        expect(found.length).toBe(bytes.length);
        expect(Buffer.compare(found, bytes)).toBe(0);
        for (const [from, size] of [
          [0, bytes.length],
          [bytes.length >> 1, Math.min(100, bytes.length >> 1)],
        ] as const) {
          const into = new Uint8Array(size);
          client.read?.(`0${i}`, from, into);
          if (client.read) expect(Buffer.compare(into, bytes.subarray(from, from + size))).toBe(0);
        }
        if (client.read) expect(() => client.read?.(`0${i}`, bytes.length - 1, new Uint8Array(2))).toThrow();
      }
    }
    await store.delete("01");
    await store.delete("01");
    expect(await other.get("01")).toBeUndefined();
    if (store.read) expect(() => store.read?.("01", 0, new Uint8Array(1))).toThrow();
    expect((await store.get("02"))?.length).toBe(1_000_000);
  });
}

describe("memory", () => {
  conform(() => {
    const store = stores.memoryLog();
    return [store, store];
  });
});

describe("files", () => {
  conform(() => {
    const folder = join(newFolder(), "a/b");
    return [stores.fileLog(folder), stores.fileLog(folder)];
  });

  test("more segments are read than may be open at once", async () => {
    const store = stores.fileLog(newFolder());
    for (let i = 0; i < 600; i++) await store.put(`${i}`, Uint8Array.of(i & 255, i >> 8));
    const into = new Uint8Array(2);
    for (const i of [0, 599, 0, 300, ...Array.from({ length: 600 }, (_, i) => i)]) {
      store.read?.(`${i}`, 0, into);
      expect([...into]).toEqual([i & 255, i >> 8]);
    }
    expect(readdirSync(`/proc/${process.pid}/fd`).length).toBeLessThan(500);
  });

  test("a folder that was deleted is made again; one in the place of a segment is an error by name", async () => {
    const folder = newFolder();
    const store = stores.fileLog(folder);
    await store.put("01", bytesOf(10));
    rmSync(folder, { recursive: true });
    expect(await store.put("02", bytesOf(10))).toBe(true);
    expect(await store.get("02")).toEqual(Buffer.from(bytesOf(10)));
    mkdirSync(join(folder, "03.safetensors"));
    await expect(store.get("03")).rejects.toThrow(
      new ModelError("segment 03: expected a file of the log, found a folder"),
    );
  });

  test("a process that is killed leaves whole segments only", async () => {
    const folder = newFolder();
    const child = `
      const { fileLog } = await import(${JSON.stringify(join(import.meta.dir, "../../src/store/file_log.ts"))});
      const store = fileLog(${JSON.stringify(folder)});
      for (let i = 0; ; i++) await store.put(\`\${process.pid}-\${i}\`, new Uint8Array(700_000).fill(i));
    `;
    for (let round = 0; round < 5; round++) {
      const running = spawn(process.execPath, ["-e", child], { stdio: "ignore" });
      const ended = new Promise((resolve) => running.on("exit", resolve));
      await new Promise((resolve) => setTimeout(resolve, 120 + 37 * round));
      running.kill("SIGKILL");
      await ended;
    }
    const names = readdirSync(folder).filter((name) => name.endsWith(".safetensors"));
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) {
      const bytes = readFileSync(join(folder, name));
      expect(bytes.length).toBe(700_000);
      expect(bytes[699_999]).toBe(bytes[0] as number);
    }
  });
});

describe("in a store of sessions", () => {
  conform(() => {
    const folder = newFolder();
    return [stores.logIn(stores.fileStore(folder)), stores.logIn(stores.fileStore(folder))];
  });

  if (REDIS) {
    conform(() => {
      const [one, other] = [new Redis(redis?.url as string), new Redis(redis?.url as string)];
      clients.push(one, other);
      return [stores.logIn(stores.redisStore(one)), stores.logIn(stores.redisStore(other))];
    });
  }
});
const redis = REDIS ? await startRedis() : undefined;

describe("sessions of a model", () => {
  const where = join(FIXTURES, "gptj");
  const options = { nLocal: 64, recall: 2, recallLayers: [0, 1], recallTokens: 20_000, chunkSize: 40 } as const;
  const ids = (count: number, seed: number) => Array.from({ length: count }, (_, i) => (i * i * 7 + seed * i + 3) % 61);
  const greedy = { maxNewTokens: 12, doSample: false, ignoreEos: true } as const;

  test("a snapshot goes on in another process's model with its segments, and fails by name without one", async () => {
    const folder = newFolder();
    const model = await load(where, { ...options, recallStore: folder, recallMemory: 0 });
    const session = await model.session();
    await session.append(ids(4000, 1));
    const snapshot = await session.snapshot();
    const expected = (await session.generate([5], greedy).result).logitsHash;
    const copy = newFolder();
    const names = readdirSync(folder).filter((name) => name.endsWith(".safetensors"));
    expect(names.length).toBe(3);
    for (const name of names) await Bun.write(join(copy, name), readFileSync(join(folder, name)));
    model.dispose();
    const other = await load(where, { ...options, recallStore: stores.fileLog(copy), recallMemory: 1e9 });
    const again = await other.restore(snapshot);
    expect((await again.generate([5], greedy).result).logitsHash).toEqual(expected);
    again.dispose();
    const victim = join(copy, names[0] as string);
    truncateSync(victim, 5000);
    await expect(other.restore(snapshot)).rejects.toThrow(ModelError);
    await expect(other.restore(snapshot)).rejects.toThrow(`segment ${names[0]?.slice(0, 16)}: expected`);
    rmSync(victim);
    await expect(other.restore(snapshot)).rejects.toThrow("expected a file of the log, found none");
    other.dispose();
  });

  test("what a snapshot names stays until it is deleted with it; what another one names stays then", async () => {
    const folder = newFolder();
    const store = stores.fileLog(folder);
    const count = () => readdirSync(folder).filter((name) => name.endsWith(".safetensors")).length;
    const model = await load(where, { ...options, recallStore: folder });
    const session = await model.session();
    await session.append(ids(2100, 1));
    const early = await session.snapshot();
    await session.append(ids(1500, 2));
    const late = await session.snapshot();
    await session.append(ids(2000, 3));
    expect(early.length).toBe(late.length);
    expect(count()).toBe(5);
    session.dispose();
    const fresh = await model.session();
    await fresh.append(ids(10, 3));
    fresh.dispose();
    for (let i = 0; count() > 3 && i < 100; i++) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(count()).toBe(3);
    expect(await stores.segmentsOf(store, late)).toHaveLength(3);
    expect(await stores.deleteSegments(store, late, [early])).toBe(1);
    expect(count()).toBe(2);
    await expect(model.restore(late)).rejects.toThrow("expected a file of the log, found none");
    (await model.restore(early)).dispose();
    expect(await stores.deleteSegments(store, early)).toBe(2);
    expect(count()).toBe(0);
    model.dispose();
  });

  test("a damaged file that is in the way is replaced; what another process uses is not deleted", async () => {
    const folder = newFolder();
    const read = async (recallStore: stores.LogStore) => {
      const model = await load(where, { ...options, recallStore, recallMemory: 0 });
      const session = await model.session({ seed: 1 });
      await session.append(ids(3200, 1));
      return { model, session };
    };
    const answer = async (session: Session) => (await session.generate([5], greedy).result).logitsHash;
    const files = () => readdirSync(folder).filter((name) => /^[0-9a-f]{16}.safetensors$/.test(name));
    // Each store is as that of another process.
    const one = await read(stores.fileLog(folder));
    const snapshot = await one.session.snapshot();
    const expected = await answer(await one.session.fork());
    for (const name of files()) {
      const bytes = readFileSync(join(folder, name));
      for (let at = 5000; at < bytes.length; at += 97) bytes[at] = 77;
      await Bun.write(join(folder, name), bytes);
    }
    const other = await read(stores.fileLog(folder));
    expect(await answer(await other.session.fork())).toBe(expected);
    const again = await other.model.restore(snapshot);
    expect(await answer(again)).toBe(expected);
    const last = await read(stores.fileLog(folder));
    for (const { session, model } of [one, other]) {
      session.dispose();
      model.dispose();
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(files()).toHaveLength(3);
    expect(await answer(last.session)).toBe(expected);
    last.model.dispose();
  });

  test("a segment that another process comes to use while it is deleted stays", async () => {
    const data = new Map<string, Uint8Array>();
    const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
    // Clients of one bucket, as of two processes.
    const client = (delay: number): stores.LogStore => ({
      put: async (name, bytes) => !data.has(name) && data.set(name, bytes.slice()) === data,
      get: async (name) => data.get(name),
      delete: (name) => pause(delay).then(() => data.delete(name)),
    });
    const [one, other] = await Promise.all(
      [300, 0].map((delay) => load(where, { ...options, recallStore: client(delay) })),
    );
    const first = await one!.session({ seed: 1 });
    await first.append(ids(1100, 1));
    const second = await other!.session({ seed: 1 });
    await second.append(ids(1000, 1));
    first.dispose();
    await pause(50);
    await second.append(ids(1100, 1).slice(1000));
    const snapshot = await second.snapshot();
    await pause(500);
    const later = await load(where, { ...options, recallStore: client(0) });
    expect((await later.restore(snapshot)).length).toBe(1100);
    for (const model of [one, other, later]) model?.dispose();
  });

  test("a session that is disposed of while it is written, a store that never answers: errors, and nothing is left", async () => {
    const waiting: (() => void)[] = [];
    const inner = stores.memoryLog();
    const names: string[] = [];
    const slow: stores.LogStore = {
      ...inner,
      put: (name, bytes) => {
        names.push(name);
        return new Promise((resolve) => waiting.push(() => resolve(inner.put(name, bytes))));
      },
    };
    const model = await load(where, { ...options, recallStore: slow, maxSessions: 1 });
    const session = await model.session();
    const controller = new AbortController();
    const reading = session.append(ids(3000, 1), { signal: controller.signal });
    while (waiting.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    controller.abort();
    await expect(reading).rejects.toThrow("aborted");
    const snapshot = session.snapshot();
    session.dispose();
    await expect(snapshot).rejects.toThrow("the session was disposed meanwhile");
    for (const go of waiting) go();
    (await model.session()).dispose();
    await new Promise((resolve) => setTimeout(resolve, 50));
    for (const name of names) expect(await inner.get(name)).toBeUndefined();
    model.dispose();
  });

  test("the error of a log that cannot be read reaches whoever asks, and a chat goes on when it can be read again", async () => {
    const inner = stores.memoryLog();
    let fails = false;
    const store: stores.LogStore = {
      ...inner,
      read: (name, offset, into) => {
        if (fails) throw new Error("the disk is gone");
        inner.read?.(name, offset, into);
      },
    };
    const model = await load("models/lambent-llama-5m", {
      ...{ nLocal: 64, recall: 2, recallLayers: [1], recallTokens: 20_000, recallMemory: 0, maxSessions: 1 },
      recallStore: store,
    });
    const text = "It was late in the evening when the captain came home. ".repeat(160);
    const session = await model.session();
    await session.append(text);
    fails = true;
    await expect(session.append("He said:")).rejects.toThrow(/segment \w+ of the log cannot be read: the disk is gone/);
    session.dispose();
    fails = false;
    const free = await model.session();
    await free.append(text);
    free.dispose();
    model.dispose();
  });

  test("chats, the engine in a worker and a folder; a store of one's own does not cross into it", async () => {
    const folder = newFolder();
    const model = await load(where, { ...options, recallStore: folder, worker: true });
    const session = await model.session();
    await session.append(ids(3000, 1));
    const there = (await session.generate([5], greedy).result).logitsHash;
    const here = await load(where, { ...options, worker: false });
    const same = await here.session();
    await same.append(ids(3000, 1));
    expect((await same.generate([5], greedy).result).logitsHash).toEqual(there);
    for (const one of [model, here]) one.dispose();
    await expect(load(where, { ...options, recallStore: stores.memoryLog(), worker: true })).rejects.toThrow(
      "recallStore: expected a folder, as the engine is in a worker, found a store of one's own",
    );
  });

  test("what is no store is refused by name", async () => {
    for (const [recallStore, found] of [
      ["", '""'],
      [{ put: () => {} }, "{}"],
      [7, "7"],
      [{}, "{}"],
      [{ ...stores.memoryLog(), read: 5 }, '{"read":5}'],
    ] as const) {
      await expect(load(where, { ...options, recallStore: recallStore as never })).rejects.toThrow(
        `recallStore: expected a folder, or a store with put, get and delete, found ${found}`,
      );
    }
    await expect(load(where, { ...options, recallStore: "a", recallMemory: -1 })).rejects.toThrow(
      "recallMemory: expected bytes, 0 or more, found -1",
    );
    for (const use of [stores.segmentsOf, stores.deleteSegments]) {
      await expect(use("logs" as never, new Uint8Array(9))).rejects.toThrow(
        'store: expected one that has segments, such as fileLog("logs"), found logs',
      );
    }
  });
});
