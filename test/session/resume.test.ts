/** Generations that are cut off go on where they were, in another process as well, as if nothing had happened. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { type GeneratedToken, type GenerateOptions, load, type Resume } from "../../src/entry/index.ts";
import { readParts, writeParts } from "../../src/formats/parts.ts";
import { EMBEDDED, removeTemporary, small } from "./small.ts";

setDefaultTimeout(120_000);
afterAll(removeTemporary);

const TEMPLATE = "{% for m in messages %}{{ m.content }} {% endfor %}";

/** Keeps after every token; `cut` aborts behind so many tokens. */
class Cut implements Resume {
  readonly seconds = 0;
  readonly #controller = new AbortController();
  kept: Uint8Array | undefined;
  puts = 0;
  cut = Infinity;

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  async get() {
    return this.kept;
  }

  put(bytes: Uint8Array) {
    this.kept = bytes;
    this.puts++;
    if (this.puts >= this.cut) this.#controller.abort();
  }
}

const ways = fc.record({
  maxNewTokens: fc.integer({ min: 1, max: 40 }),
  seed: fc.nat(),
  temperature: fc.constantFrom(0, 1, 2),
  minNewTokens: fc.constantFrom(0, 12),
  noRepeatNgramSize: fc.constantFrom(0, 2),
  repetitionPenalty: fc.constantFrom(1, 1.5),
  topLogprobs: fc.constantFrom(undefined, 2),
  stopStrings: fc.constantFrom([], ["ab"], ["the no"]),
  promptLookupNumTokens: fc.constantFrom(undefined, 3),
  responseFormat: fc.constantFrom(undefined, { type: "regex" as const, pattern: "[a-c ]{6,30}\\.[a-o ]*" }),
});

test.each([false, true])(
  "any options, cut off twice (worker: %p): the tokens, text and end of a whole generation",
  async (worker) => {
    const prompt = "abc the no";
    // What counts new tokens has to know of those before the cut.
    const file = { exponential_decay_length_penalty: [6, 1.2], encoder_no_repeat_ngram_size: 3 };
    using model = await small("llama-gqa-tied", { worker }, file);
    using other = await small("llama-gqa-tied", { worker }, file);
    const property = fc.asyncProperty(
      ways,
      fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 2 }),
      async (options, cuts) => {
        const whole = model.generate(prompt, options);
        const wanted = await Array.fromAsync(whole.tokens());
        const resume = new Cut();
        for (const [i, cut] of cuts.entries()) {
          const cutting = new Cut();
          Object.assign(cutting, { kept: resume.kept, cut });
          const generation = (i % 2 ? model : other).generate(prompt, {
            ...options,
            resume: cutting,
            signal: cutting.signal,
          });
          const some = await Array.fromAsync(generation.tokens());
          expect(some).toEqual(wanted.slice(0, some.length));
          resume.kept = cutting.kept;
        }
        const last = other.generate(prompt, { ...options, resume });
        expect(await Array.fromAsync(last.tokens())).toEqual(wanted);
        const { finishReason, promptTokens, newTokens } = await whole.result;
        expect(await last.result).toMatchObject({ finishReason, promptTokens, newTokens });
      },
    );
    await fc.assert(property, { numRuns: worker ? 6 : 30 });
  },
);

test("an answer to messages goes on without reading them again, with its usage and window", async () => {
  const messages = [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Who came to the house that night, and what did he bring? ".repeat(6) },
  ];
  const options: GenerateOptions = { maxNewTokens: 40, temperature: 1, seed: 3, ignoreEos: true };
  using model = await load(EMBEDDED, { nLocal: 64, nGlobal: 32 });
  const wanted = model.respond(messages, { ...options, store: false });
  const tokens = await Array.fromAsync(wanted.tokens());
  const { logitsHash: _, prefillSeconds: __, decodeSeconds: ___, ...result } = await wanted.result;
  expect(tokens.length).toBeGreaterThan(20);
  const resume = new Cut();
  resume.cut = 15;
  await model.respond(messages, { ...options, store: false, resume, signal: resume.signal }).text();
  using other = await load(EMBEDDED, { nLocal: 64, nGlobal: 32, threads: 1 });
  const read: number[] = [];
  const again = other.respond(messages, { ...options, resume, onProgress: (count) => read.push(count) });
  expect(await Array.fromAsync(again.tokens())).toEqual(tokens);
  expect(await again.result).toMatchObject(result);
  expect(read).toEqual([]);
  // The state behind the answer is that of one that was not cut off.
  const next = [...messages, { role: "assistant", content: result.text }, { role: "user", content: "Why?" }];
  const behind = await other.respond(next, { ...options, maxNewTokens: 8 }).result;
  using fresh = await load(EMBEDDED, { nLocal: 64, nGlobal: 32, chatStore: 0 });
  expect(behind.text).toBe((await fresh.respond(next, { ...options, maxNewTokens: 8 }).result).text);
});

test("what is kept of another model, damaged or of another version is as good as nothing; a store that fails is heard of", async () => {
  using model = await small("llama-gqa-tied");
  using gptj = await small("gptj");
  const options = { maxNewTokens: 12, temperature: 1, seed: 1 } as const;
  const wanted = await Array.fromAsync(model.generate("abc", options).tokens());
  const kept = async (by: typeof model) => {
    const resume = new Cut();
    await by.generate("abc", { ...options, resume }).text();
    return resume.kept as Uint8Array;
  };
  const own = await kept(model);
  const damaged = own.slice();
  damaged[damaged.length - 300] = 1 ^ (damaged.at(-300) as number);
  for (const bytes of [await kept(gptj), damaged, own.slice(0, 100), new Uint8Array(9)]) {
    const resume = new Cut();
    resume.kept = bytes;
    const tokens: GeneratedToken[] = await Array.fromAsync(model.generate("abc", { ...options, resume }).tokens());
    expect(tokens).toEqual(wanted);
  }
  const failing: Resume = {
    get: async () => undefined,
    put: () => Promise.reject(new Error("full")),
    seconds: 0,
  };
  await expect(model.generate("abc", { ...options, resume: failing }).text()).rejects.toThrow("full");
});

test("only an equal generation takes what was kept: fewer tokens of it where fewer are asked for; its seed is told", async () => {
  for (const worker of [false, true]) {
    using model = await small("llama-gqa-tied", { worker, nGlobal: 3 });
    const options = { temperature: 1, ignoreEos: true } as const;
    const keep = async (prompt: string, more: GenerateOptions) => {
      const resume = new Cut();
      await model.generate(prompt, { ...options, ...more, resume }).text();
      return resume;
    };
    const kept = await keep("abc", { maxNewTokens: 9, seed: 1 });
    for (const maxNewTokens of [0, 1, 5, 8]) {
      const generation = model.generate("abc", { ...options, maxNewTokens, seed: 1, resume: kept });
      const wanted = await Array.fromAsync(model.generate("abc", { ...options, maxNewTokens, seed: 1 }).tokens());
      const found = await Array.fromAsync(generation.tokens());
      expect(found.map(({ id }) => id)).toEqual(wanted.map(({ id }) => id));
      expect(await generation.result).toMatchObject({ finishReason: "length", newTokens: maxNewTokens });
    }
    for (const [prompt, seed] of [
      ["the", 1],
      ["abc", 2],
    ] as const) {
      const wanted = await Array.fromAsync(model.generate(prompt, { ...options, maxNewTokens: 9, seed }).tokens());
      const found = model.generate(prompt, { ...options, maxNewTokens: 9, seed, resume: kept });
      expect(await Array.fromAsync(found.tokens())).toEqual(wanted);
    }
    // A chat whose settings have it: each answer is its own.
    const chat = model.chat({ ...options, maxNewTokens: 6, seed: 3, chatTemplate: TEMPLATE, resume: new Cut() });
    const plain = model.chat({ ...options, maxNewTokens: 6, seed: 3, chatTemplate: TEMPLATE });
    for (const said of ["abc", "the no"]) expect(await chat.send(said).text()).toBe(await plain.send(said).text());
    const cut = new Cut();
    cut.cut = 4;
    const messages = [{ role: "user", content: "abc" }];
    const answer = { ...options, maxNewTokens: 12, chatTemplate: TEMPLATE, store: false };
    const { seed } = await model.respond(messages, { ...answer, resume: cut, signal: cut.signal }).result;
    const again = model.respond(messages, { ...answer, resume: cut });
    expect((await again.result).seed).toBe(seed);
    expect((await model.respond(messages, { ...answer, seed }).result).text).toBe((await again.result).text);
  }
});

test("what no generation has kept is ignored or refused, and a place that does not answer is left by an abort", async () => {
  using model = await small("llama-gqa-tied");
  const options = { maxNewTokens: 8, temperature: 1, seed: 1, ignoreEos: true } as const;
  const kept = new Cut();
  const wanted = await Array.fromAsync(model.generate("abc", { ...options, resume: kept }).tokens());
  const { json, state } = readParts(kept.kept as Uint8Array, "kept", ["json", "state"]);
  const content = JSON.parse(new TextDecoder().decode(json));
  for (const tokens of [undefined, null, "abc", [], [1, 2], content.tokens.slice(0, 3)]) {
    const forged = new Cut();
    const bytes = new TextEncoder().encode(JSON.stringify({ ...content, tokens }));
    forged.kept = writeParts({ json: bytes, state });
    expect(await Array.fromAsync(model.generate("abc", { ...options, resume: forged }).tokens())).toEqual(wanted);
  }
  for (const resume of [true, {}, { get: async () => undefined }] as unknown as Resume[]) {
    await expect(model.generate("abc", { ...options, resume }).text()).rejects.toThrow("resume: expected an object");
  }
  for (const seconds of [-1, Number.NaN]) {
    const resume = { get: async () => undefined, put() {}, seconds };
    await expect(model.generate("abc", { ...options, resume }).text()).rejects.toThrow("resume.seconds: expected");
  }
  const never = () => new Promise<never>(() => {});
  for (const resume of [
    { get: never, put() {}, seconds: 0 },
    { get: async () => undefined, put: never, seconds: 0 },
  ]) {
    const generation = model.generate("abc", { ...options, resume, signal: AbortSignal.timeout(50) });
    await generation.text();
    expect((await generation.result).finishReason).toBe("abort");
  }
});
