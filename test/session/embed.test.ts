/** Embeddings: transformers' last_hidden_state, pooled; the same bits whatever is read beside a text, and however. */
import { afterAll, expect, setDefaultTimeout, spyOn, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { LambentError, ModelError, OptionError } from "../../src/base/errors.ts";
import { inspect, type LoadOptions, load, type Model } from "../../src/entry/index.ts";
import { Machine } from "../../src/machine/machine.ts";
import { dense, fileOf, fixture, randomIds, type Tensor, tensor } from "../engine/tiny.ts";
import { type Tensor as Rows, readSafetensors } from "../reference/safetensors.ts";
import { deviation, FIXTURES } from "../setup.ts";
import { failure, freeSlots, removeTemporary, small, smallFolder } from "./small.ts";

setDefaultTimeout(120_000);
afterAll(removeTemporary);

const GOLDEN = readSafetensors(join(FIXTURES, "hidden.safetensors"));
const SHAPE = { nLocal: 8, nGlobal: 3 } as const;
const FULL = { attention: "full", maxPositions: 64 } as const;

const bits = (vector: Float32Array) => [...new Uint32Array(vector.buffer, vector.byteOffset, vector.length)];
const scaled = (vector: readonly number[]) => vector.map((value) => value / Math.hypot(...vector));

/** The vectors of a text by its hidden states [n, dim]. */
function pooled({ shape: [n = 0, dim = 0], data }: Rows): { last: number[]; mean: number[] } {
  const column = (j: number) => Array.from({ length: n }, (_, i) => data[i * dim + j] as number);
  return {
    last: [...data.slice((n - 1) * dim)],
    mean: Array.from({ length: dim }, (_, j) => column(j).reduce((sum, value) => sum + value, 0) / n),
  };
}

test.each([...GOLDEN.keys()])("%s: hidden states past the final norm are transformers'", async (name) => {
  const ids = [...(readSafetensors(join(FIXTURES, name, "golden.safetensors")).get("ids") as Rows).data];
  using model = await small(name, FULL);
  const golden = pooled(GOLDEN.get(name) as Rows);
  for (const pooling of ["last", "mean"] as const) {
    const [raw, unit] = [
      await model.embed([ids], { pooling, normalize: false }),
      await model.embed([ids], { pooling, normalize: true }),
    ];
    expect(deviation(raw[0] as Float32Array, golden[pooling])).toBeLessThan(1e-4);
    expect(deviation(unit[0] as Float32Array, scaled(golden[pooling]))).toBeLessThan(2e-5);
  }
  // The last token's, of length 1, is the default.
  expect(await model.embed([ids])).toEqual(await model.embed([ids], { pooling: "last", normalize: true }));
});

test("fewer dimensions are the first ones, of length 1 again; other numbers are refused", async () => {
  for (const worker of [false, true]) {
    using model = await small("llama-gqa-tied", { ...FULL, worker });
    const [whole] = await model.embed([[5, 6, 7]], { normalize: false });
    const first = [...(whole as Float32Array).subarray(0, 5)];
    expect(await model.embed([[5, 6, 7]], { normalize: false, dimensions: 5 })).toEqual([Float32Array.from(first)]);
    const [unit] = await model.embed([[5, 6, 7]], { dimensions: 5 });
    expect(deviation(unit as Float32Array, scaled(first))).toBeLessThan(1e-6);
    for (const dimensions of [0, 1.5, (whole as Float32Array).length + 1]) {
      const error = await failure(OptionError, () => model.embed([[5]], { dimensions }));
      expect(error.message).toMatch(/^dimensions: expected a whole number from 1 to \d+, the model's size, found /);
    }
  }
});

test("a text longer than the window is read under the policy", async () => {
  const ids = randomIds(90, 3);
  const policy = { attention: "lambda", nLocal: 16, nGlobal: 3, limit: 20 } as const;
  let states: Float64Array[] = [];
  dense("llama-gqa-tied", ids, policy, { attention() {}, hidden: (_, x) => void (states = x) });
  const weight = readSafetensors(join(FIXTURES, "llama-gqa-tied/model.safetensors")).get("model.norm.weight") as Rows;
  const normed = states.flatMap((x) => {
    const size = Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / x.length + 1e-6);
    return [...x].map((value, j) => (value / size) * (weight.data[j] as number));
  });
  const golden = pooled({ shape: [ids.length, weight.data.length], data: Float64Array.from(normed) });
  using model = await small("llama-gqa-tied", policy);
  for (const pooling of ["last", "mean"] as const) {
    const [vector] = await model.embed([ids], { pooling, normalize: false });
    expect(deviation(vector as Float32Array, golden[pooling])).toBeLessThan(1e-4);
  }
});

const TEXTS = [1, 70, 2, 9, 33, 5, 17, 1, 3].map((length, i) => randomIds(length, i));
const both = async (model: Model) => [
  ...(await model.embed(TEXTS, { normalize: false })),
  ...(await model.embed(TEXTS, { pooling: "mean" })),
];

test.each(["llama-gqa-tied", "mpt-heads6"])(
  "%s: the same bits alone and together, in any chunks, threads and banks, in a worker, and beside a generation",
  async (name) => {
    const alone: number[][] = [];
    using plain = await small(name);
    for (const pooling of ["last", "mean"] as const) {
      for (const text of TEXTS) {
        const [vector] = await plain.embed([text], { pooling, normalize: pooling === "mean" });
        alone.push(bits(vector as Float32Array));
      }
    }
    const where = join(FIXTURES, name);
    const banksOf = async (bankBytes: number) => (await inspect(where, { ...SHAPE, bankBytes })).plan.banks.length;
    let bankBytes = (await inspect(where, SHAPE)).plan.memoryBytes;
    while ((await banksOf(bankBytes)) < 2) bankBytes -= 1024;
    const ways: LoadOptions[] = [
      ...[{}, { chunkSize: 1 }, { chunkSize: 7 }, { threads: 2 }, { maxSessions: 2 }, { maxSessions: 1 }],
      ...[{ worker: true }, { bankBytes }, { head: false }, { head: false, chunkSize: 5, threads: 2 }],
    ];
    for (const way of ways) {
      using model = await small(name, way);
      expect([way, (await both(model)).map(bits)]).toEqual([way, alone]);
    }
    const options = { seed: 1, temperature: 3, maxNewTokens: 60, ignoreEos: true };
    const { logitsHash } = await plain.generate([5, 6, 7], options).result;
    const generation = plain.generate([5, 6, 7], options);
    const [result, vectors] = await Promise.all([generation.result, both(plain)]);
    expect(vectors.map(bits)).toEqual(alone);
    expect(result.logitsHash).toBe(logitsHash);
  },
);

test("short texts share steps, the matrix of the head meets no row, and one long text takes one session", async () => {
  const steps: { slots: number; rows: number; wants: number }[] = [];
  const run = Machine.prototype.run;
  const spy = spyOn(Machine.prototype, "run").mockImplementation(function (this: Machine, rows) {
    const slots = new Set(rows.map(({ slot }) => slot)).size;
    steps.push({ slots, rows: rows.length, wants: rows.filter(({ wantsLogits }) => wantsLogits).length });
    return run.call(this, rows);
  });
  using model = await small("gptj", { chunkSize: 32 });
  await model.embed(Array.from({ length: 12 }, (_, i) => randomIds(4, i)));
  const [short, before] = [steps.splice(0), await model.memory()];
  await model.embed(Array.from({ length: 4 }, (_, i) => randomIds(100, i)));
  spy.mockRestore();
  // Eight texts of four tokens fill a step.
  expect(short.length).toBeLessThanOrEqual(3);
  expect(Math.max(...short.map(({ slots }) => slots))).toBe(8);
  expect(steps.every(({ slots }) => slots === 1)).toBe(true);
  expect([...short, ...steps].every(({ wants }) => wants === 0)).toBe(true);
  expect(await model.memory()).toBe(before);
  expect(await freeSlots(model)).toBe(16);
});

test("of quantised weights too, whose matrices the norm before the head is folded into", async () => {
  for (const dtype of ["q8", "q4"] as const) {
    using whole = await small("llama-untied", { dtype });
    using headless = await small("llama-untied", { dtype, head: false });
    expect((await both(whole)).map(bits)).toEqual((await both(headless)).map(bits));
  }
});

/** llama-untied as the base model saves it: without the head, and without the prefix that a model with one adds. */
function headlessFolder(): string {
  const folder = smallFolder("llama-untied");
  const { tensors } = fixture("llama-untied");
  tensors.delete("lm_head.weight");
  const bare = new Map([...tensors].map(([name, value]) => [name.replace(/^model\./, ""), value]));
  writeFileSync(join(folder, "model.safetensors"), fileOf(bare));
  return folder;
}

test("a checkpoint without a head embeds, with less memory, and says what it cannot do", async () => {
  const folder = headlessFolder();
  const options = { nLocal: 8, nGlobal: 3, threads: 1 } as const;
  using whole = await small("llama-untied");
  using model = await load(folder, { ...options, head: false });
  expect((await both(model)).map(bits)).toEqual((await both(whole)).map(bits));
  const [planned, plannedWhole] = [
    (await inspect(folder, { ...options, head: false })).plan,
    (await inspect(join(FIXTURES, "llama-untied"), options)).plan,
  ];
  const { vocab_size: vocab, hidden_size: hidden } = fixture("llama-untied").config as Record<string, number>;
  expect(plannedWhole.weightBytes - planned.weightBytes).toBe(4 * (vocab as number) * (hidden as number));
  expect(model.info.memoryBytes).toBe(planned.memoryBytes);
  expect(await failure(ModelError, () => load(folder, options))).toMatchObject({
    message: expect.stringContaining("lm_head.weight"),
  });
  for (const action of [() => model.generate([5]).text(), async () => (await model.session()).append([5])]) {
    expect((await failure(OptionError, action)).message).toBe("head: expected true, to compute logits, found false");
  }
  using session = await model.session();
  const snapshot = await session.snapshot();
  (await model.restore(snapshot)).dispose();
  await failure(ModelError, () => whole.restore(snapshot));
});

test("texts are framed as the tokenizer frames them; ids are taken as they are", async () => {
  const folder = smallFolder("llama-gqa-tied");
  const file = join(folder, "tokenizer.json");
  const json = await Bun.file(file).json();
  const special = { id: "</s>", ids: [2], tokens: ["</s>"] };
  const single = [{ Sequence: { id: "A", type_id: 0 } }, { SpecialToken: { id: "</s>", type_id: 0 } }];
  const frame = { type: "TemplateProcessing", single, pair: [], special_tokens: { "</s>": special } };
  writeFileSync(file, JSON.stringify({ ...json, post_processor: frame }));
  using model = await load(folder, { threads: 1 });
  const ids = model.tokenizer.encode("ab the");
  expect(ids.at(-1)).toBe(2);
  const [framed, given, bare] = await model.embed(["ab the", ids, ids.slice(0, -1)]);
  expect(framed).toEqual(given as Float32Array<ArrayBuffer>);
  expect(framed).not.toEqual(bare as Float32Array<ArrayBuffer>);
});

test("what is wrong is said, here and from a worker, and no session is lost", async () => {
  for (const worker of [false, true]) {
    using model = await small("llama-gqa-tied", { worker, maxSessions: 2, ...FULL });
    const says = async (action: () => unknown, message: string) => {
      expect((await failure(LambentError as never, action)).message).toContain(message);
    };
    await says(() => model.embed("ab" as never), "texts: expected a list of texts");
    await says(() => model.embed([[5], []]), "text 1: expected at least one token, found none");
    await says(() => model.embed([[5], [61]]), "token 0: expected an id from 0 to 60, found 61");
    await says(() => model.embed([[5]], { pooling: "cls" as never }), "pooling: expected one of last, mean, found cls");
    await says(() => model.embed([randomIds(65, 1)]), "maxPositions: expected at most 64 tokens");
    expect(await model.embed([])).toEqual([]);
    const sessions = [await model.session(), await model.session()];
    await says(() => model.embed([[5]]), "at most 2 open at once");
    const waiting = model.embed([[5]], { wait: true });
    sessions[0]?.dispose();
    expect(await waiting).toHaveLength(1);
    sessions[1]?.dispose();
    expect(await freeSlots(model)).toBe(2);
  }
});

test.each([false, true])(
  "several texts that cannot be read are one error, and the engine goes on (worker: %p)",
  async (worker) => {
    using model = await small("llama-gqa-tied", { worker, maxSessions: 3 });
    const error = await failure(OptionError, () => model.embed([[999], [998], [5]], { wait: true }));
    expect(error.message).toMatch(/^token 0: expected an id/);
    expect((await model.embed([[5]], { wait: true })).length).toBe(1);
  },
);

test.each([false, true])("an abort ends it, and progress is told (worker: %p)", async (worker) => {
  using model = await small("llama-gqa-tied", { worker, maxSessions: 3 });
  const stop = new AbortController();
  const texts = Array.from({ length: 2000 }, (_, i) => randomIds(40, i));
  const told: number[] = [];
  const onProgress = (done: number, total: number) => {
    expect(total).toBe(texts.length);
    told.push(done);
    if (done === 20) stop.abort(new Error("enough"));
  };
  const embedding = model.embed(texts, { signal: stop.signal, onProgress });
  expect(await embedding.catch((error) => error)).toBe(stop.signal.reason);
  expect(told.slice(0, 20)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
  expect(told.length).toBeLessThan(1000);
  await Bun.sleep(50);
  expect(await freeSlots(model)).toBe(3);
});

test("numbers that are not finite are an error", async () => {
  const folder = smallFolder("llama-gqa-tied");
  const { tensors } = fixture("llama-gqa-tied");
  const { shape, bytes } = tensors.get("model.norm.weight") as Tensor;
  const huge = new Uint8Array(new Float32Array(bytes.length / 4).fill(3e38).buffer);
  tensors.set("model.norm.weight", tensor("F32", shape, huge));
  writeFileSync(join(folder, "model.safetensors"), fileOf(tensors));
  using model = await load(folder, { threads: 1 });
  expect((await failure(ModelError, () => model.embed([[5, 6]], { normalize: false }))).message).toMatch(
    /^embedding: expected finite numbers, found -?Infinity at \d+$/,
  );
});
