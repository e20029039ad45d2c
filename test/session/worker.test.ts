/** A model whose engine is in a worker is the same model: same bits, same errors, and an end that is told. */
import { afterAll, expect, test } from "bun:test";
import { LambentError, ModelError, OptionError } from "../../src/base/errors.ts";
import type { Files } from "../../src/base/source.ts";
import { type GenerateOptions, type LoadOptions, type LoadProgress, load, type Model } from "../../src/entry/index.ts";
import { bun } from "../../src/runtime/bun.ts";
import type { EngineThread } from "../../src/runtime/types.ts";
import { chooseKernels } from "../../src/session/engine_info.ts";
import { loadRemotely } from "../../src/session/load.ts";
import { directory } from "../../src/sources/directory.ts";
import { filesFromStreams } from "../../src/sources/streams.ts";
import { BOS, failure, freeSlots, removeTemporary, smallFolder, temporaryFolder, WILD } from "./small.ts";

afterAll(removeTemporary);

const PROMPT = [BOS, 20, 34, 7, 9];
const OPTIONS: GenerateOptions = { ...WILD, seed: 8, maxNewTokens: 40, ignoreEos: true };
const SMALL: LoadOptions = { nLocal: 8, nGlobal: 3, maxSessions: 3, chunkSize: 4 };
const folder = smallFolder("llama-gqa-tied");
const open = (options: LoadOptions = {}, where: string | Files = folder) => load(where, { ...SMALL, ...options });

async function read(model: Model) {
  const generation = model.generate(PROMPT, OPTIONS);
  const text = await generation.text();
  const { prefillSeconds: _, decodeSeconds: __, ...result } = await generation.result;
  return { text, result };
}

/** A model in a worker, and the worker. */
async function openWatched(): Promise<{ model: Awaited<ReturnType<typeof loadRemotely>>; thread: EngineThread }> {
  let thread: EngineThread | undefined;
  const startEngine = () => (thread = bun.startEngine());
  const model = await loadRemotely(folder, SMALL, { ...bun, startEngine });
  return { model, thread: thread as EngineThread };
}

test.each([1, 2])("text, logits and snapshots are those of an engine in place, with %d threads", async (threads) => {
  using here = await open({ threads });
  using there = await open({ threads, worker: true });
  expect(await read(there)).toEqual(await read(here));
  expect(there.info).toEqual({ ...here.info, threads: there.info.threads });
  const sessions = [await here.session({ seed: 4 }), await there.session({ seed: 4 })] as const;
  for (const session of sessions) {
    await session.append(PROMPT);
    await session.next(WILD);
    await session.append([5, 6]);
  }
  const [a, b] = sessions;
  expect([b.length, b.seed]).toEqual([a.length, a.seed]);
  expect(await b.logits()).toEqual((await a.logits()) as Float32Array<ArrayBuffer>);
  const snapshot = await b.snapshot();
  expect(snapshot).toEqual(await a.snapshot());
  const rest = await a.generate(undefined, OPTIONS).text();
  for (const other of [await there.restore(snapshot), await b.fork()]) {
    expect(await other.generate(undefined, OPTIONS).text()).toBe(rest);
    other.dispose();
  }
  for (const session of sessions) session.dispose();
  expect(await freeSlots(there)).toBe(3);
});

test.each([false, true])(
  "memory is as planned, and grows with sessions but not with texts (worker: %p)",
  async (worker) => {
    using model = await open({ worker, nLocal: 64, maxSessions: 16 });
    const first = await model.memory();
    const { memoryBytes, cacheBytes } = model.info;
    expect(first).toBe(Math.ceil(memoryBytes / 65_536) * 65_536);
    await read(model);
    expect(await model.memory()).toBe(first);
    await freeSlots(model);
    const most = await model.memory();
    expect(most - first).toBeGreaterThan(14 * cacheBytes);
    await freeSlots(model);
    expect(await model.memory()).toBe(most);
    model.dispose();
    await failure(OptionError, () => model.memory());
  },
);

test("files that only this thread can read are read from here, and progress is told", async () => {
  const told: LoadProgress[] = [];
  const files = directory(folder);
  using model = await open({ worker: true, onProgress: (now) => told.push(now) }, { ...files, name: "these" });
  using here = await open();
  expect(await read(model)).toEqual(await read(here));
  expect(model.info.model).toBe("these");
  expect(told.at(-1)).toMatchObject({ stage: "read", loaded: told.at(-1)?.total });
});

test("errors are those of an engine in place", async () => {
  using here = await open();
  using there = await open({ worker: true });
  const failing: [new (message: string) => LambentError, (model: Model) => Promise<unknown>][] = [
    [OptionError, (model) => model.session({ seed: -1 })],
    [OptionError, (model) => model.generate([61]).text()],
    [OptionError, (model) => model.generate(PROMPT, { topP: 2 }).text()],
    [OptionError, async (model) => (await model.session()).next()],
    [ModelError, (model) => model.restore(new Uint8Array(100))],
    [OptionError, async (model) => Promise.all(Array.from({ length: 9 }, () => model.session()))],
  ];
  for (const [type, action] of failing) {
    const [a, b] = [await failure(type, () => action(here)), await failure(type, () => action(there))];
    // Engines number their sessions on their own.
    const numberless = ({ message }: Error) => message.replace(/^session \d+/, "session");
    expect(numberless(b)).toBe(numberless(a));
  }
  const empty = temporaryFolder();
  const [a, b] = [{}, { worker: true }].map((options) => failure(ModelError, () => open(options, empty)));
  expect((await b)?.message).toBe((await a)?.message as string);
});

test("an abort is heard there, and what was read stays read", async () => {
  using model = await open({ worker: true });
  using session = await model.session();
  const control = new AbortController();
  const reading = session.append(new Array(100_000).fill(9), { signal: control.signal });
  setTimeout(() => control.abort(new Error("enough")), 500);
  expect(await reading.catch((error) => error)).toBe(control.signal.reason);
  expect(session.length).toBeGreaterThan(0);
  expect(session.length).toBeLessThan(100_000);
  await session.append([5]);
  const before = session.length;
  await session.next();
  expect(session.length).toBe(before + 1);
  const aborted = AbortSignal.abort(new Error("never"));
  expect(await open({ worker: true, signal: aborted }).catch((error) => error)).toBe(aborted.reason);
});

test("a worker that ends in the middle of a step ends every call with an error, and another one can be loaded", async () => {
  const { model, thread } = await openWatched();
  const { service } = model;
  const { id } = await service.open();
  const calls = [service.append(id, new Array(100_000).fill(9)), service.open()];
  calls[1]?.catch(() => {}); // a busy machine has not answered it yet
  setTimeout(() => thread.terminate(), 20);
  const gone = /^the engine's worker ended/;
  expect((await failure(LambentError, () => calls[0])).message).toMatch(gone);
  for (const call of [() => service.open(), () => service.append(id, [5]), () => service.next(id, OPTIONS as never)]) {
    expect((await failure(LambentError, call)).message).toMatch(gone);
  }
  service.dispose(id);
  using again = await open({ worker: true });
  expect((await read(again)).result.newTokens).toBe(40);
});

test("a worker that ends while it loads, and one that cannot begin, are errors too", async () => {
  const never: EngineThread = {
    ...{ post: () => {}, listen: () => {}, terminate: () => {} },
    ended: Promise.resolve(new Error("no such file")),
  };
  const { message } = await failure(LambentError, () => {
    return loadRemotely(folder, SMALL, { ...bun, startEngine: () => never });
  });
  expect(message).toBe("the engine's worker ended: no such file");
  const without = { ...bun, name: "here", startEngine: undefined };
  expect((await failure(OptionError, () => loadRemotely(folder, SMALL, without))).message).toBe(
    "worker: expected false, as here cannot start workers, found true",
  );
});

test("a thread that may not wait has one thread in place, and all of them in a worker", async () => {
  const page = { ...bun, restless: true };
  const { kernels, single } = await chooseKernels({ threads: 2, worker: false }, page);
  expect([kernels.shared, single]).toEqual([false, "a page's own thread may not wait for others"]);
  expect((await chooseKernels({ threads: 2, worker: true }, page)).kernels.shared).toBe(true);
  expect((await chooseKernels({ threads: 2, worker: false }, bun)).kernels.shared).toBe(true);
});

test("a model that was disposed of says so, wherever it was", async () => {
  for (const worker of [false, true]) {
    const model = await open({ worker });
    const session = await model.session();
    const info = structuredClone(model.info);
    model.dispose();
    model.dispose();
    const uses = [() => model.session(), () => model.generate(PROMPT).text(), () => model.restore(new Uint8Array(9))];
    for (const use of uses) {
      expect((await failure(OptionError, use)).message).toBe("the model was disposed");
    }
    expect(model.info).toEqual(info);
    await failure(OptionError, () => session.append([5]));
    session.dispose();
  }
});

test("files that throw values without a message, and a progress that throws, are errors of the load", async () => {
  const odd = Object.assign(new Error("odd"), { name: Symbol("odd") });
  const failing: [unknown, string][] = [
    [Object.create(null), "{}"],
    [Object.assign(new Error(), { message: { toString: null } }), "an error that cannot be shown"],
    [odd, "an error that cannot be shown"],
    [new DOMException("mine", "AbortError"), "mine"],
  ];
  for (const [thrown, message] of failing) {
    const files = { name: "bad", open: () => Promise.reject(thrown) };
    const { signal } = new AbortController();
    expect((await failure(Error, () => open({ worker: true, signal }, files))).message).toBe(message);
  }
  const onProgress = () => {
    throw new Error("enough");
  };
  expect((await failure(Error, () => open({ worker: true, onProgress }))).message).toBe("enough");
});

test("files are closed when their load ends, however it does", async () => {
  const opened = new Set<string>();
  const given = directory(folder);
  const files: Files = {
    name: "counted",
    async open(file) {
      const source = await given.open(file);
      if (!source) return undefined;
      opened.add(file);
      const close = async () => {
        opened.delete(file);
        await source.close();
      };
      return { ...source, close };
    },
  };
  let thread: EngineThread | undefined;
  const startEngine = () => (thread = bun.startEngine());
  const onProgress = () => thread?.terminate();
  await failure(LambentError, () => loadRemotely(files, { ...SMALL, onProgress }, { ...bun, startEngine }));
  expect([...opened]).toEqual([]);
});

test.each([false, true])("a session that is disposed of while it chooses is gone (worker: %p)", async (worker) => {
  using model = await open({ worker });
  const session = await model.session();
  await session.append(PROMPT);
  await session.next();
  const choosing = session.next().catch((error) => error);
  session.dispose();
  using other = await model.session();
  const chosen = await choosing;
  if (!worker) expect(chosen).toBeInstanceOf(OptionError);
  expect(other.length).toBe(0);
  await failure(OptionError, async () => session.length);
});

test("arguments of another kind are named, wherever the engine is", async () => {
  for (const worker of [false, true]) {
    using model = await open({ worker });
    const odd: [() => unknown, string][] = [
      [
        () => load(undefined as never, { worker }),
        "model: expected a directory, a GGUF file, a URL, a Hugging Face id, or files, found undefined",
      ],
      [
        () => load(null as never, { worker }),
        "model: expected a directory, a GGUF file, a URL, a Hugging Face id, or files, found null",
      ],
      [() => open({ worker, simd: "d" as never }), "simd: expected relaxed or plain, found d"],
      [() => model.generate(5 as never).text(), "prompt: expected text, token ids, or the messages of a chat, found 5"],
      [
        () => model.generate("a", { stopStrings: "ab" as never }).text(),
        "stopStrings: expected a list of strings, found ab",
      ],
      [() => model.restore(new ArrayBuffer(9) as never), "snapshot: expected a Uint8Array, found [object ArrayBuffer]"],
    ];
    for (const [use, message] of odd) expect((await failure(OptionError, use)).message).toBe(message);
  }
});

test("an abort is heard while a stream gives nothing again and again", async () => {
  const stream = new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(new Uint8Array(0)) });
  const files = filesFromStreams("nothing", { "config.json": { size: 9, stream } });
  const signal = AbortSignal.timeout(50);
  expect(await open({ signal }, files).catch((error) => error)).toBe(signal.reason);
  await stream.cancel().catch(() => {});
});
