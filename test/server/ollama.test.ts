import { afterEach, expect, test } from "bun:test";
import { Ollama } from "ollama";
import { type Asked, scripted } from "./scripted.ts";
import { json, NAME, post, type Started, start } from "./serving.ts";

let started: Started;
afterEach(() => started.stop());

const clientOf = () => new Ollama({ host: started.url });
const options = { temperature: 0, num_predict: 10 };
const messages = [{ role: "user", content: "Who is there?" }];

test("ollama: chat and generate, whole and streamed, raw and by the template", async () => {
  started = await start();
  const client = clientOf();
  const text = await started.model.generate(messages, { temperature: 0, maxNewTokens: 10 }).text();
  const whole = await client.chat({ model: NAME, messages, options });
  expect(whole.message.content).toBe(text);
  expect(whole).toMatchObject({ done: true, done_reason: "length", eval_count: 10 });
  let streamed = "";
  let last: { done: boolean; eval_count: number } | undefined;
  for await (const part of await client.chat({ model: `${NAME}:latest`, messages, options, stream: true })) {
    streamed += part.message.content;
    last = part;
  }
  expect(streamed).toBe(text);
  expect(last).toMatchObject({ done: true, eval_count: 10 });
  expect((await client.generate({ model: NAME, prompt: "Who is there?", options })).response).toBe(text);
  const raw = await client.generate({ model: NAME, prompt: "It was late", raw: true, options });
  expect(raw.response).toBe(await started.model.generate("It was late", { temperature: 0, maxNewTokens: 10 }).text());
  expect(await client.generate({ model: NAME, prompt: "" })).toMatchObject({ done: true, done_reason: "load" });
});

test("ollama: models are listed and shown, texts embedded", async () => {
  started = await start();
  const client = clientOf();
  expect((await client.list()).models.map(({ name }) => name)).toEqual([NAME]);
  expect((await client.ps()).models.length).toBe(1);
  const shown = await client.show({ model: NAME });
  expect(shown.details.family).toBe("llama");
  expect(shown.capabilities).toEqual(["completion", "embedding"]);
  const [wanted] = await started.model.embed(["a ship"]);
  const { embeddings } = await client.embed({ model: NAME, input: ["a ship", "b"] });
  expect(embeddings[0]).toEqual([...wanted!]);
  expect((await json(fetch(`${started.url}/api/version`))).version).toMatch(/^\d+\.\d+\.\d+$/);
});

test("ollama: a loop of tools", async () => {
  const asked: Asked[] = [];
  const answers = ['<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>', "It rains."];
  const template = "{{ tools }}<tool_call>{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}";
  started = await start({}, { template, as: (model) => scripted(model, [...answers, ...answers], asked) });
  const client = clientOf();
  const parameters = { type: "object", properties: { city: { type: "string" } } };
  const tools = [{ type: "function", function: { name: "weather", description: "It.", parameters } }];
  const first = await client.chat({ model: NAME, messages, tools });
  expect(first.message.tool_calls).toEqual([{ function: { name: "weather", arguments: { city: "Rome" } } }]);
  const results = [...messages, first.message, { role: "tool", tool_name: "weather", content: "rain" }];
  const calls: unknown[] = [];
  expect((await client.chat({ model: NAME, messages: results, tools })).message.content).toBe("It rains.");
  expect(asked[1]!.messages[1]).toMatchObject({
    tool_calls: [{ function: { name: "weather", arguments: { city: "Rome" } } }],
  });
  for await (const part of await client.chat({ model: NAME, messages, tools, stream: true })) {
    calls.push(...(part.message.tool_calls ?? []));
  }
  expect(calls).toEqual(first.message.tool_calls as unknown[]);
});

test("errors are a string, as this API has them", async () => {
  started = await start();
  const response = await post(`${started.url}/api/chat`, { model: "other", messages });
  expect(response.status).toBe(404);
  expect(await json(response)).toEqual({ error: "model: expected story, found other" });
  const error = await clientOf()
    .chat({ model: NAME, messages, options: { temperature: -1 } })
    .catch((error: Error) => error);
  expect((error as Error).message).toBe("options.temperature: expected a number from 0 to 100, found -1");
});

test("llama-server's own: props, slots, tokens there and back, the template", async () => {
  started = await start({ maxSessions: 3 });
  const { url, model } = started;
  const props = await json(fetch(`${url}/props`));
  expect(props).toMatchObject({ total_slots: 3, model_alias: NAME, chat_template: model.tokenizer.chatTemplate });
  expect((await json(fetch(`${url}/slots`))).map(({ id, is_processing }: never) => [id, is_processing])).toEqual([
    [0, false],
    [1, false],
    [2, false],
  ]);
  const content = "a ship, 😀";
  const { tokens } = await json(post(`${url}/tokenize`, { content }));
  expect(tokens).toEqual(model.tokenizer.encode(content, { addSpecialTokens: false }));
  expect((await json(post(`${url}/detokenize`, { tokens }))).content).toBe(content);
  const { tokens: pieces } = await json(post(`${url}/tokenize`, { content, with_pieces: true }));
  expect(pieces.map(({ id }: { id: number }) => id)).toEqual(tokens);
  expect(pieces[0].piece).toBe("a");
  expect((await json(post(`${url}/apply-template`, { messages }))).prompt).toBe(await model.renderChat(messages));
});
