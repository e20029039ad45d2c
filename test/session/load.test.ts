/** Loading: what is told of it, how it is stopped, and what is no model. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LambentError, ModelError, OptionError } from "../../src/base/errors.ts";
import { inspect, type LoadOptions, type LoadProgress, load, type Model } from "../../src/entry/index.ts";
import { EMBEDDED, failure, freeSlots, removeTemporary, small, smallFolder, temporaryFolder } from "./small.ts";

setDefaultTimeout(60_000);
afterAll(removeTemporary);

test("progress rises to the bytes of the weights", async () => {
  const told: LoadProgress[] = [];
  // Options of its own, here and below: what is in memory already is not read.
  await load(EMBEDDED, { chunkSize: 126, onProgress: (progress) => told.push(progress) });
  const { size } = statSync(join(EMBEDDED, "model.safetensors"));
  const total = told[0]?.total ?? 0;
  expect(total).toBeWithin(size - 100_000, size);
  expect(told.at(-1)).toEqual({ stage: "read", loaded: total, total });
  for (const [i, { loaded }] of told.entries()) expect(loaded).toBeGreaterThan(told[i - 1]?.loaded ?? 0);
});

test("an abort ends it with the caller's reason, before it begins and between two tensors", async () => {
  expect(load(EMBEDDED, { signal: AbortSignal.abort(new Error("never")) })).rejects.toThrow("never");
  const stop = new AbortController();
  let told = 0;
  const onProgress = () => {
    if (++told === 3) stop.abort(new Error("enough"));
  };
  const options = { chunkSize: 127, signal: stop.signal, onProgress };
  expect(await load(EMBEDDED, options).catch((error) => error.message)).toBe("enough");
  expect(told).toBe(3);
});

test("the files of the tokenizer are not kept", async () => {
  const folder = smallFolder("gptj");
  const read: WeakRef<ArrayBufferLike>[] = [];
  const open = async (file: string) => {
    if (!existsSync(join(folder, file))) return undefined;
    const bytes = readFileSync(join(folder, file));
    const readInto = async (target: Uint8Array, offset: number) => {
      target.set(bytes.subarray(offset, offset + target.length));
      if (file === "tokenizer.json") read.push(new WeakRef(target.buffer));
    };
    return { name: file, size: bytes.length, readInto, close: async () => {} };
  };
  const model = await load({ name: "a model", open }, { worker: false });
  for (let i = 0; i < 20 && read[0]?.deref(); i++) {
    await Bun.sleep(10);
    Bun.gc(true);
  }
  expect(read.map((bytes) => bytes.deref())).toEqual([undefined]);
  expect(model.tokenizer.encode("a b").length).toBeGreaterThan(0);
});

test("the name of a file is one", async () => {
  for (const [file, found] of [
    ["", '""'],
    [5, "5"],
  ] as const) {
    const error = await failure(OptionError, () => load(EMBEDDED, { file: file as string }));
    expect(error.message).toBe(`file: expected the name of a GGUF file, found ${found}`);
  }
});

test("as many sessions as maxSessions says, 16 by default", async () => {
  expect(await freeSlots(await small("gptj"))).toBe(16);
  expect(await freeSlots(await small("gptj", { maxSessions: 3 }))).toBe(3);
});

test("two of the same files and options share their memory while one is in use; others do not", async () => {
  const folder = smallFolder("gptj");
  const options = { nLocal: 8, maxSessions: 2 };
  const first = await load(folder, options);
  const told: LoadProgress[] = [];
  const again = await load(`${folder}/.`, {
    ...options,
    cacheDtype: undefined,
    lora: [],
    onProgress: (now) => told.push(now),
  });
  expect(told).toEqual([]);
  const session = await first.session();
  expect(await freeSlots(again)).toBe(1);
  session.dispose();
  expect(await freeSlots(again)).toBe(2);
  const text = (model: Model) => model.generate([1, 5, 9], { maxNewTokens: 20 }).text();
  expect(await text(again)).toBe(await text(first));
  expect(load(folder, { ...options, signal: AbortSignal.abort(new Error("never")) })).rejects.toThrow("never");

  const held = await first.session();
  for (const other of [{ nLocal: 9 }, { dtype: "bf16" }, { threads: 1 }, { chunkSize: 64 }] as const) {
    expect(await freeSlots(await load(folder, { ...options, ...other }))).toBe(2);
  }
  // The same bytes, written anew, are another file.
  const file = join(folder, "model.safetensors");
  writeFileSync(file, readFileSync(file));
  expect(await freeSlots(await load(folder, options))).toBe(2);
  held.dispose();
});

const bad: [string, LoadOptions][] = [
  ...[0, -1, 1.5, Number.NaN].map((nLocal): [string, LoadOptions] => ["nLocal", { nLocal }]),
  ...[-1, 0.5].map((nGlobal): [string, LoadOptions] => ["nGlobal", { nGlobal }]),
  ...[7, 0, Number.NaN].map((limit): [string, LoadOptions] => ["limit", { limit }]),
  ...[0, -1, Infinity].map((maxSessions): [string, LoadOptions] => ["maxSessions", { maxSessions }]),
  ...[0, 1.5].map((chunkSize): [string, LoadOptions] => ["chunkSize", { chunkSize }]),
  ...[0, 65, 1.5, Number.NaN].map((threads): [string, LoadOptions] => ["threads", { threads }]),
  ["maxPositions", { attention: "full", maxPositions: 0 }],
  ["attention", { attention: "mu" as never }],
  ["dtype", { dtype: "f8" as never }],
];
test.each(bad)("%s: a bad value is refused by name", async (name, options) => {
  const folder = smallFolder("gptj");
  for (const use of [load, inspect]) {
    const { message } = await failure(OptionError, () => use(folder, { nLocal: 8, ...options }));
    expect(message).toStartWith(`${name}: expected `);
  }
});

test("a weight that is no number is refused by tensor and index", async () => {
  const folder = smallFolder("gptj");
  const file = join(folder, "model.safetensors");
  const bytes = readFileSync(file);
  bytes.writeFloatLE(Number.NaN, bytes.length - 4);
  writeFileSync(file, bytes);
  const { message } = await failure(ModelError, () => load(folder));
  expect(message).toBe(`${file}: transformer.wte.weight[60,31]: expected a finite number, found NaN`);
});

test("what is no model is refused, and no file stays open", async () => {
  const open = () => (existsSync("/proc/self/fd") ? new Set(new Bun.Glob("*").scanSync("/proc/self/fd")).size : 0);
  const wrong = ["./nowhere", "", "a/b/c", "ftp://host/model", temporaryFolder(), smallFolder("gptj", { x: "\ud800" })];
  writeFileSync(join(wrong[5] as string, "config.json"), "{}");
  const before = open();
  for (const where of wrong) for (let times = 0; times < 5; times++) await failure(LambentError, () => load(where));
  expect(open()).toBeLessThan(before + 5);
});

test("as many threads as one is told, else one per core; what they compute is the same", async () => {
  const read = async (options: LoadOptions) => {
    const model = await load(EMBEDDED, options);
    const generation = model.generate("It was late", { maxNewTokens: 20, seed: 1 });
    return { text: await generation.text(), threads: model.info.threads, kernels: model.info.kernels };
  };
  const one = await read({ threads: 1 });
  expect(one).toEqual({ text: one.text, threads: 1, kernels: expect.stringMatching(/^single-/) });
  expect(await read({ threads: 3 })).toEqual({ ...one, threads: 3, kernels: expect.stringMatching(/^shared-/) });
  expect((await read({})).threads).toBe(Math.min(navigator.hardwareConcurrency, 16));
});

test("a process with an idle model of several threads uses no CPU, and ends by itself", async () => {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "idle-child.ts"), EMBEDDED], {
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  expect({ code, err }).toEqual({ code: 0, err: "" });
  const { threads, seconds } = JSON.parse(out);
  expect(threads).toBe(4);
  // In 4 s; three workers that spin would use as many as there are cores.
  expect(seconds).toBeLessThan(0.2);
});
