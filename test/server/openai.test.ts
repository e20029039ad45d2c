import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, streamText } from "ai";
import OpenAI, { APIError } from "openai";
import type { Message } from "../../src/entry/index.ts";
import { events, json, NAME, post, type Started, start } from "./serving.ts";

let started: Started;
let client: OpenAI;
beforeAll(async () => {
  started = await start();
  client = new OpenAI({ baseURL: `${started.url}/v1`, apiKey: "none", maxRetries: 0 });
});
afterAll(() => started.stop());

const messages = [
  { role: "system" as const, content: "A tale." },
  { role: "user" as const, content: "Who is there?" },
];
const greedy = { model: NAME, temperature: 0, max_tokens: 12 };

/** What the library itself answers. */
async function expected(maxNewTokens = 12, stopStrings?: string[]): Promise<string> {
  return started.model.generate(messages, { temperature: 0, maxNewTokens, stopStrings }).text();
}

describe("chat completions", () => {
  test("openai: the answer of the library, with usage", async () => {
    const answer = await client.chat.completions.create({ ...greedy, messages });
    const { finish_reason, message } = answer.choices[0]!;
    expect(message).toEqual({ role: "assistant", content: await expected(), refusal: null });
    expect(finish_reason).toBe("length");
    const promptTokens = started.model.tokenizer.encode(await started.model.renderChat(messages), {
      addSpecialTokens: false,
    }).length;
    expect(answer.usage).toEqual({
      ...{ prompt_tokens: promptTokens, completion_tokens: 12, total_tokens: promptTokens + 12 },
      prompt_tokens_details: { cached_tokens: 0 },
    });
  });

  test("openai: streamed pieces add up to the same, and usage comes last", async () => {
    const stream = client.chat.completions.stream({ ...greedy, messages, stream_options: { include_usage: true } });
    let text = "";
    stream.on("content", (delta) => {
      text += delta;
    });
    const final = await stream.finalChatCompletion();
    expect(text).toBe(await expected());
    expect(final.choices[0]!.message.content).toBe(text);
    expect(final.usage!.completion_tokens).toBe(12);
  });

  test("chunks are as clients need them: role first, one finish_reason last, then usage", async () => {
    const body = { ...greedy, messages, stream: true, stream_options: { include_usage: true } };
    const response = await post(`${started.url}/v1/chat/completions`, body);
    expect(response.headers.get("content-type")).toStartWith("text/event-stream");
    const all = (await events(response)).map(({ data }) => data);
    expect(all.pop()).toBe("[DONE]");
    const usage = all.pop();
    expect(usage.choices).toEqual([]);
    expect(usage.usage.completion_tokens).toBe(12);
    expect(new Set(all.map(({ id }) => id)).size).toBe(1);
    expect(
      all.every(
        ({ object, model, choices }) => object === "chat.completion.chunk" && model === NAME && choices[0].index === 0,
      ),
    ).toBe(true);
    expect(all[0].choices[0].delta).toEqual({ role: "assistant", content: "" });
    expect(all.map(({ choices }) => choices[0].finish_reason).filter(Boolean)).toEqual(["length"]);
    expect(all.at(-1).choices[0].finish_reason).toBe("length");
  });

  test("stop strings end an answer before them, in list form or alone", async () => {
    const whole = await expected(40);
    const stop = whole.trim().split(" ")[2]!;
    const answer = await client.chat.completions.create({ ...greedy, max_tokens: 40, messages, stop });
    expect(answer.choices[0]!.finish_reason).toBe("stop");
    expect(answer.choices[0]!.message.content).toBe(whole.slice(0, whole.indexOf(stop)));
    const listed = await client.chat.completions.create({ ...greedy, max_tokens: 40, messages, stop: [stop, "zz"] });
    expect(listed.choices).toEqual(answer.choices);
  });

  test("a seed gives the same text again, another one another", async () => {
    const say = async (seed: number) => {
      const body = { model: NAME, max_tokens: 20, temperature: 1.2, messages, seed };
      return (await client.chat.completions.create(body)).choices[0]!.message.content;
    };
    const [first, again, other] = await Promise.all([say(1), say(1), say(2)]);
    expect(first).toBe(again);
    expect(first).not.toBe(other);
  });

  test("logprobs: the chosen token leads greedily, and its bytes are those of the text", async () => {
    const answer = await client.chat.completions.create({ ...greedy, messages, logprobs: true, top_logprobs: 3 });
    const { logprobs, message } = answer.choices[0]!;
    expect(message.content).toBe(await expected());
    expect(logprobs!.content!.length).toBe(12);
    for (const { token, logprob, top_logprobs } of logprobs!.content!) {
      expect(top_logprobs.length).toBe(3);
      expect(top_logprobs[0]).toMatchObject({ token, logprob });
      expect(top_logprobs[1]!.logprob).toBeLessThanOrEqual(logprob);
    }
    const bytes = logprobs!.content!.flatMap(({ bytes }) => bytes!);
    expect(new TextDecoder().decode(Uint8Array.from(bytes))).toBe(message.content!);
    const alone = await client.chat.completions.create({ ...greedy, messages, logprobs: true });
    expect(alone.choices[0]!.logprobs!.content!.map(({ logprob }) => logprob)).toEqual(
      logprobs!.content!.map(({ logprob }) => logprob),
    );
  });

  test("a client that resends everything is read on from where its chat was left", async () => {
    const chat = [{ role: "user" as const, content: "Where does the road lead to?" }];
    const first = await client.chat.completions.create({ ...greedy, messages: chat });
    expect(first.usage!.prompt_tokens_details!.cached_tokens).toBe(0);
    const answered = [...chat, first.choices[0]!.message, { role: "user" as const, content: "And then?" }];
    const second = await client.chat.completions.create({ ...greedy, messages: answered });
    const { prompt_tokens, prompt_tokens_details } = second.usage!;
    expect(prompt_tokens_details!.cached_tokens).toBeGreaterThan(first.usage!.prompt_tokens / 2);
    expect(prompt_tokens_details!.cached_tokens).toBeLessThan(prompt_tokens);
    const alone = await started.model.generate(answered as Message[], { temperature: 0, maxNewTokens: 12 }).text();
    expect(second.choices[0]!.message.content).toBe(alone);
  });

  test("null is as absent, developers are the system, parts are text", async () => {
    const parts = [
      {
        role: "developer",
        content: [
          { type: "text", text: "A " },
          { type: "text", text: "tale." },
        ],
      },
      { role: "user", content: "Who is there?", name: null, tool_calls: null },
    ];
    const nulls = { stop: null, seed: null, top_p: null, n: null, tools: null, response_format: null, stream: null };
    const response = await post(`${started.url}/v1/chat/completions`, { ...greedy, ...nulls, messages: parts });
    expect((await json(response)).choices[0].message.content).toBe(await expected());
  });

  test("errors name the field, what was expected and what was found", async () => {
    const fails = async (body: object) => {
      const error = await client.chat.completions.create({ ...greedy, messages, ...body } as never).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(error).toBeInstanceOf(APIError);
      const { status, param, code, error: inner } = error as APIError;
      return { status, param, code, message: (inner as { message: string }).message };
    };
    expect(await fails({ n: 2 })).toEqual({
      ...{ status: 400, param: "n", code: "unsupported_value" },
      message: "n: expected 1, as one answer is given, found 2",
    });
    expect(await fails({ temperature: "hot" })).toMatchObject({
      ...{ status: 400, param: "temperature" },
      message: "temperature: expected a number from 0 to 100, found hot",
    });
    expect(await fails({ messages: [{ role: "user", content: [{ type: "image_url" }] }] })).toMatchObject({
      ...{ status: 400, param: "messages[0].content[0].type", code: "unsupported_value" },
    });
    expect(await fails({ messages: [{ role: "wizard", content: "x" }] })).toMatchObject({ param: "messages[0].role" });
    expect(await fails({ model: "gpt-9" })).toMatchObject({ status: 404, param: "model", code: "model_not_found" });
    expect(await fails({ presence_penalty: 1 })).toMatchObject({ status: 400, param: "presence_penalty" });
  });

  test("AI SDK: generateText and streamText, with usage and an abort", async () => {
    const provider = createOpenAICompatible({ name: "lambent", baseURL: `${started.url}/v1`, includeUsage: true });
    const model = provider(NAME);
    const options = { model, messages, allowSystemInMessages: true, temperature: 0, maxOutputTokens: 12 } as const;
    const whole = await generateText(options);
    expect(whole.text).toBe(await expected());
    expect(whole.usage.outputTokens).toBe(12);
    const streamed = streamText(options);
    let text = "";
    for await (const piece of streamed.textStream) text += piece;
    expect(text).toBe(whole.text);
    expect((await streamed.usage).outputTokens).toBe(12);
    expect(await streamed.finishReason).toBe("length");
  });
});

describe("completions", () => {
  test("openai: a text goes on, whole and in pieces, with echo and logprobs", async () => {
    const prompt = "It was late";
    const body = { ...greedy, prompt, logprobs: 2 };
    const answer = await client.completions.create(body);
    const { text, logprobs, finish_reason } = answer.choices[0]!;
    expect(text).toBe(await started.model.generate(prompt, { temperature: 0, maxNewTokens: 12 }).text());
    expect(finish_reason).toBe("length");
    expect(logprobs!.tokens!.join("")).toBe(text);
    expect(logprobs!.top_logprobs!.every((top) => Object.keys(top).length === 2)).toBe(true);
    expect(logprobs!.text_offset!.map((from, i) => text.slice(from, from + logprobs!.tokens![i]!.length))).toEqual(
      logprobs!.tokens!,
    );
    let streamed = "";
    for await (const chunk of await client.completions.create({ ...body, stream: true })) {
      streamed += chunk.choices[0]?.text ?? "";
    }
    expect(streamed).toBe(text);
    const ids = started.model.tokenizer.encode(prompt);
    const echoed = await client.completions.create({ ...greedy, prompt: ids, echo: true });
    expect(echoed.choices[0]!.text).toBe(prompt + text);
  });

  test("what is not done is refused by name", async () => {
    for (const [body, param] of [
      [{ prompt: ["a", "b"] }, "prompt"],
      [{ prompt: "a", suffix: "b" }, "suffix"],
      [{ prompt: "a", best_of: 2 }, "best_of"],
      [{ prompt: [999_999] }, null],
      [{}, "prompt"],
    ] as const) {
      const response = await post(`${started.url}/v1/completions`, body);
      expect(response.status).toBe(400);
      expect((await json(response)).error.param).toBe(param);
    }
  });
});

describe("embeddings and models", () => {
  test("openai takes base64, AI SDK numbers: the library's vectors", async () => {
    const [wanted] = await started.model.embed(["a ship"]);
    const { data, usage } = await client.embeddings.create({ model: NAME, input: ["a ship", "a house"] });
    expect(data.length).toBe(2);
    expect(data[0]!.embedding).toEqual([...wanted!]);
    expect(usage.prompt_tokens).toBe(
      started.model.tokenizer.count("a ship") + started.model.tokenizer.count("a house"),
    );
    const provider = createOpenAICompatible({ name: "lambent", baseURL: `${started.url}/v1` });
    const { embeddings } = await embedMany({ model: provider.embeddingModel(NAME), values: ["a ship"] });
    expect(embeddings[0]).toEqual([...wanted!]);

    const [few] = await started.model.embed(["a ship"], { dimensions: 8 });
    const short = await client.embeddings.create({ model: NAME, input: "a ship", dimensions: 8 });
    expect(short.data[0]!.embedding).toEqual([...few!]);
    const { embeddings: same } = await json(
      post(`${started.url}/api/embed`, { model: NAME, input: "a ship", dimensions: 8 }),
    );
    expect(same[0]).toEqual([...few!]);
    const error = await client.embeddings.create({ model: NAME, input: "a", dimensions: 999 }).catch((error) => error);
    expect(error as APIError).toMatchObject({ status: 400, param: "dimensions" });
  });

  test("models are listed and found by name, whatever is in it", async () => {
    const { data } = await client.models.list();
    expect(data.map(({ id, object, owned_by }) => ({ id, object, owned_by }))).toEqual([
      { id: NAME, object: "model", owned_by: "lambent" },
    ]);
    expect((await client.models.retrieve(NAME)).id).toBe(NAME);
    const error = await client.models.retrieve("org/other").catch((error: unknown) => error);
    expect((error as APIError).status).toBe(404);
  });
});
