/** The provider under the AI SDK's own functions, over the embedded model. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { NoSuchModelError, UnsupportedFunctionalityError } from "@ai-sdk/provider";
import { createProviderRegistry, embed, embedMany, generateText, Output, streamText } from "ai";
import * as z from "zod";
import { createLambent, type LambentProvider } from "../../src/entry/ai_sdk.ts";
import { ContextLengthError, load, type Model } from "../../src/entry/index.ts";
import { EMBEDDED, embeddedFolder, removeTemporary } from "../session/small.ts";
import { ROOT } from "../setup.ts";

let model: Model;
let lambent: LambentProvider;
beforeAll(async () => {
  model = await load(EMBEDDED, { threads: 1 });
  lambent = createLambent({ story: model });
});
afterAll(() => {
  model.dispose();
  removeTemporary();
});

const prompt = "Who is there?";
const messages = [{ role: "user" as const, content: prompt }];
const greedy = () => ({ model: lambent("story"), prompt, temperature: 0, maxOutputTokens: 12 });

describe("text", () => {
  test("generateText: the answer of the library, with its seed, its hash, and what was read", async () => {
    const wanted = model.respond(messages, { temperature: 0, maxNewTokens: 12, store: false });
    const text = await wanted.text();
    const { usage, logitsHash } = await wanted.result;
    const answer = await generateText(greedy());
    expect(answer.text).toBe(text);
    expect([answer.finishReason, answer.rawFinishReason, answer.warnings]).toEqual(["length", "length", []]);
    expect(answer.usage).toMatchObject({
      ...{ inputTokens: usage.promptTokens, outputTokens: 12, totalTokens: usage.promptTokens + 12 },
      inputTokenDetails: { cacheReadTokens: 0, noCacheTokens: usage.promptTokens },
    });
    expect(answer.providerMetadata!.lambent).toMatchObject({ logitsHash, window: { unseen: 0 } });
  });

  test("a seed that was drawn gives the same text when it is given; another one another", async () => {
    const say = (seed?: number) => {
      return generateText({ ...greedy(), temperature: 1.2, maxOutputTokens: 20, ...(seed ? { seed } : {}) });
    };
    const first = await say();
    const { seed, logitsHash } = first.providerMetadata!.lambent as { seed: number; logitsHash: string };
    const again = await say(seed);
    expect(again.text).toBe(first.text);
    expect(again.providerMetadata!.lambent).toMatchObject({ seed, logitsHash });
    expect((await say(seed + 1)).text).not.toBe(first.text);
  });

  test("the next turn reads only what is new", async () => {
    const chat = [{ role: "user" as const, content: "Where does the road lead to?" }];
    const first = await generateText({ ...greedy(), prompt: chat });
    const next = [...chat, ...first.response.messages, { role: "user" as const, content: "And then?" }];
    const { usage } = await generateText({ ...greedy(), prompt: next });
    expect(usage.inputTokenDetails.cacheReadTokens).toBeGreaterThan(first.usage.inputTokens! / 2);
    expect(usage.inputTokenDetails.cacheReadTokens! + usage.inputTokenDetails.noCacheTokens!).toBe(usage.inputTokens!);
  });

  test("streamText: pieces add up to the same, with raw tokens where they are asked for", async () => {
    const { text } = await generateText(greedy());
    const streamed = streamText({ ...greedy(), include: { rawChunks: true } });
    const types: string[] = [];
    let pieces = "";
    let ids = 0;
    for await (const part of streamed.fullStream) {
      if (part.type === "text-delta") pieces += part.text;
      if (part.type === "raw") ids += typeof (part.rawValue as { id: unknown }).id === "number" ? 1 : 0;
      if (part.type !== "raw" && types.at(-1) !== part.type) types.push(part.type);
    }
    expect(types).toEqual(["start", "start-step", "text-start", "text-delta", "text-end", "finish-step", "finish"]);
    expect(pieces).toBe(text);
    expect(ids).toBe(12);
    expect((await streamed.usage).outputTokens).toBe(12);
    expect(await streamed.finishReason).toBe("length");
  });

  test("stop sequences, topK, topP and this library's own options choose as in the library", async () => {
    const whole = (await generateText({ ...greedy(), maxOutputTokens: 40 })).text;
    const stop = whole.trim().split(" ")[2]!;
    const cut = await generateText({ ...greedy(), maxOutputTokens: 40, stopSequences: [stop, ""] });
    expect([cut.text, cut.finishReason]).toEqual([whole.slice(0, whole.indexOf(stop)), "stop"]);
    const best = (await generateText(greedy())).text;
    for (const one of [{ topK: 1 }, { topP: 0 }, { providerOptions: { lambent: { minP: 1 } } }])
      expect((await generateText({ ...greedy(), temperature: 1, ...one })).text).toBe(best);
    const own = { lambent: { responseFormat: { type: "regex", pattern: "[0-9]{3}" } } };
    expect((await generateText({ ...greedy(), providerOptions: own })).text).toMatch(/^[0-9]{3}$/);
  });

  test("what is not done is a warning that names it", async () => {
    const { warnings } = await generateText({
      ...{ ...greedy(), presencePenalty: 1, frequencyPenalty: 0.5, reasoning: "high" },
      providerOptions: { lambent: { repetitionPenalty: 1, mirostat: 2 } },
    });
    expect(warnings!.map((warning) => [warning.type, (warning as { feature: string }).feature])).toEqual(
      ["providerOptions.lambent.mirostat", "presencePenalty", "frequencyPenalty", "reasoning"].map((feature) => [
        "unsupported",
        feature,
      ]),
    );
    const { details } = warnings![0] as { details: string };
    const page = await Bun.file(join(ROOT, "docs/AI_SDK.md")).text();
    for (const name of details.replace("expected ", "").split(", ")) expect(page).toContain(`\`${name}\``);
  });

  test("text files are read, others refused", async () => {
    const ask = async (data: string | Uint8Array, mediaType: string) => {
      const content = [
        { type: "text" as const, text: "Who is " },
        { type: "file" as const, data, mediaType },
      ];
      return (await generateText({ ...greedy(), prompt: [{ role: "user", content }] })).text;
    };
    const { text } = await generateText(greedy());
    expect(await ask(new TextEncoder().encode("there?"), "text/plain")).toBe(text);
    expect(await ask(btoa("there?"), "text/markdown")).toBe(text);
    expect(await ask(new Uint8Array([1]), "image/png").catch((error: unknown) => error)).toBeInstanceOf(
      UnsupportedFunctionalityError,
    );
  });
});

describe("structured output", () => {
  const Guest = z.object({ name: z.string().max(12), age: z.int().gte(0).lte(120), kind: z.enum(["a", "b"]) });
  const sampled = () => ({ model: lambent("story"), prompt, temperature: 1, seed: 3, maxOutputTokens: 200 });

  test("Output.object and Output.choice, whole and streamed", async () => {
    const { output, finishReason } = await generateText({ ...sampled(), output: Output.object({ schema: Guest }) });
    expect(Guest.safeParse(output).success).toBe(true);
    expect(finishReason).toBe("stop");
    const streamed = streamText({ ...sampled(), output: Output.object({ schema: Guest }) });
    let last: unknown;
    for await (const part of streamed.partialOutputStream) last = part;
    expect(last).toEqual(output);
    const choice = await generateText({ ...sampled(), output: Output.choice({ options: ["yes", "no"] }) });
    expect(["yes", "no"]).toContain(choice.output);
  });

  test("a schema that cannot be enforced is refused with its place", async () => {
    const schema = { type: "object", properties: { a: { type: "text" } } } as never;
    const { jsonSchema } = await import("ai");
    const refused = generateText({ ...sampled(), output: Output.object({ schema: jsonSchema(schema) }) });
    expect(((await refused.then(String, (error: unknown) => error)) as Error).message).toContain("#/properties/a/type");
  });
});

describe("embeddings", () => {
  test("embed and embedMany: the library's vectors", async () => {
    const values = ["a ship", "a house", "the captain came home"];
    const wanted = await model.embed(values);
    const { embeddings, usage, warnings } = await embedMany({ model: lambent.embeddingModel("story"), values });
    expect(embeddings).toEqual(wanted.map((vector) => [...vector]));
    expect(usage.tokens).toBe(values.reduce((sum, text) => sum + model.tokenizer.count(text), 0));
    expect(warnings).toEqual([]);
    const [mean] = await model.embed(["a ship"], { pooling: "mean", normalize: false });
    const own = { lambent: { pooling: "mean", normalize: false } };
    const one = await embed({ model: lambent.embeddingModel("story"), value: "a ship", providerOptions: own });
    expect(one.embedding).toEqual([...mean!]);
  });

  test("vectors of fewer dimensions, no more than there are; an abort rejects", async () => {
    const embedding = lambent.embeddingModel("story");
    const { embeddings } = await embedding.doEmbed({ values: ["a"], dimensions: 3 });
    expect(embeddings).toEqual([[...(await model.embed(["a"], { dimensions: 3 }))[0]!]]);
    const large = await Promise.resolve(embedding.doEmbed({ values: ["a"], dimensions: 999 })).catch((error) => error);
    expect(large.message).toMatch(/^dimensions: expected a whole number from 1 to \d+, the model's size, found 999$/);
    const abortSignal = AbortSignal.abort();
    const aborted = await embedMany({ model: embedding, values: ["a"], abortSignal }).catch((error) => error);
    expect(aborted).toMatchObject({ name: "AbortError" });
  });
});

describe("models", () => {
  test("are found by name, in a registry too; others are a NoSuchModelError", async () => {
    const registry = createProviderRegistry({ lambent });
    const { text } = await generateText({ ...greedy(), model: registry.languageModel("lambent:story") });
    expect(text).toBe((await generateText(greedy())).text);
    expect(lambent("story")).toMatchObject({ specificationVersion: "v4", provider: "lambent", modelId: "story" });
    for (const [find, type] of [
      [lambent, "languageModel"],
      [lambent.languageModel, "languageModel"],
      [lambent.embeddingModel, "embeddingModel"],
      [lambent.imageModel, "imageModel"],
    ] as const) {
      let error: unknown;
      try {
        find("toString");
      } catch (thrown) {
        error = thrown;
      }
      expect(NoSuchModelError.isInstance(error)).toBe(true);
      expect(error).toMatchObject({ modelId: "toString", modelType: type });
    }
  });
});

describe("errors and aborts", () => {
  /** A model with one session, which is free again or the test does not end. */
  async function withOne(work: (one: Model, provider: LambentProvider) => Promise<void>): Promise<void> {
    const template = "{% for m in messages %}{{ m.content }}\n{% endfor %}";
    const one = await load(embeddedFolder({ chat_template: template }), { threads: 1, maxSessions: 1, nLocal: 64 });
    try {
      await work(one, createLambent({ one }));
      (await one.session({ wait: true })).dispose();
    } finally {
      one.dispose();
    }
  }
  const long = { temperature: 0, maxOutputTokens: 100_000, prompt, providerOptions: { lambent: { ignoreEos: true } } };

  test("an abort rejects generateText, and ends streamText with an abort", async () => {
    await withOne(async (_, provider) => {
      const aborting = new AbortController();
      const running = generateText({ ...long, model: provider("one"), abortSignal: aborting.signal });
      // Waits for the session that the first one has.
      const waiting = generateText({ ...long, model: provider("one"), abortSignal: aborting.signal });
      setTimeout(() => aborting.abort(), 50);
      for (const { reason } of (await Promise.allSettled([running, waiting])) as PromiseRejectedResult[])
        expect(reason).toMatchObject({ name: "AbortError" });
      const leaving = new AbortController();
      const streamed = streamText({ ...long, model: provider("one"), abortSignal: leaving.signal });
      const types = new Set<string>();
      for await (const part of streamed.fullStream) {
        types.add(part.type);
        if (part.type === "text-delta") leaving.abort();
      }
      expect(types.has("abort")).toBe(true);
      expect(types.has("finish")).toBe(false);
    });
  });

  test("an abort frees the session though nobody reads on, and so does a reader who cancels", async () => {
    await withOne(async (one, provider) => {
      const options = {
        ...long,
        prompt: [{ role: "user" as const, content: [{ type: "text" as const, text: prompt }] }],
      };
      const aborting = new AbortController();
      const { stream } = await provider("one").doStream({ ...options, abortSignal: aborting.signal });
      aborting.abort();
      (await one.session({ wait: true })).dispose();
      const reader = stream.getReader();
      const rest = async () => {
        for (let done = false; !done; ) ({ done } = await reader.read());
      };
      expect(await rest().catch((error: unknown) => error)).toMatchObject({ name: "AbortError" });
      const second = await provider("one").doStream(options);
      await second.stream.cancel();
      (await one.session()).dispose();
    });
  });

  test("a call that cannot be answered rejects before the stream; an error later on is a part of it", async () => {
    await withOne(async (_, provider) => {
      const options = { ...long, providerOptions: { lambent: { truncation: "disabled" } } };
      const content = [{ type: "text" as const, text: "It was late in the evening. ".repeat(40) }];
      const refused = provider("one").doStream({ ...options, prompt: [{ role: "user", content }] });
      expect(await Promise.resolve(refused).catch((error: unknown) => error)).toBeInstanceOf(ContextLengthError);
    });
    const folder = embeddedFolder({ chat_template: "{{ messages[0].content }}" });
    const ending = await load(folder, { threads: 1 });
    const errors: unknown[] = [];
    const streamed = streamText({
      ...{ ...long, model: createLambent({ ending })("ending") },
      onError: ({ error }) => void errors.push(error),
    });
    const types: string[] = [];
    for await (const part of streamed.fullStream) {
      if (part.type === "text-delta") ending.dispose();
      if (types.at(-1) !== part.type) types.push(part.type);
    }
    expect(types.slice(-3)).toEqual(["error", "finish-step", "finish"]);
    expect(await streamed.finishReason).toBe("error");
    expect(String(errors[0])).toContain("disposed");
  });
});
