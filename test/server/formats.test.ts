/** Answers that have to be JSON of a schema, or a call: the embedded model knows neither, and writes them all the same. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import Anthropic from "@anthropic-ai/sdk";
import { generateText, Output } from "ai";
import { Ollama } from "ollama";
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import * as z from "zod";
import { json, NAME, post, type Started, start } from "./serving.ts";

let started: Started;
let client: OpenAI;
beforeAll(async () => {
  const template =
    "{% if tools %}{{ tools | tojson }}<tool_call>{% endif %}{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}";
  started = await start({}, { template });
  client = new OpenAI({ baseURL: `${started.url}/v1`, apiKey: "none", maxRetries: 0 });
});
afterAll(() => started.stop());

const Guest = z.object({
  name: z.string().max(12),
  age: z.int().gte(0).lte(120),
  kind: z.enum(["friend", "stranger"]),
});
/** An object that has nothing but its properties. */
const OBJECT = { type: "object", additionalProperties: false };
const messages = [{ role: "user" as const, content: "Who is there?" }];
const body = { model: NAME, messages, temperature: 1, seed: 3, max_tokens: 200 };

test("openai: chat.completions.parse and responses.parse", async () => {
  const chat = await client.chat.completions.parse({ ...body, response_format: zodResponseFormat(Guest, "guest") });
  expect(chat.choices[0]!.finish_reason).toBe("stop");
  expect(Guest.safeParse(chat.choices[0]!.message.parsed).success).toBe(true);
  const format = zodTextFormat(Guest, "guest");
  const response = await client.responses.parse({ model: NAME, input: "Who?", temperature: 1, text: { format } });
  expect(Guest.safeParse(response.output_parsed).success).toBe(true);
});

test("AI SDK: Output.object; Ollama: a schema; json_object: an object", async () => {
  const baseURL = `${started.url}/v1`;
  const provider = createOpenAICompatible({ name: "lambent", baseURL, supportsStructuredOutputs: true });
  const { output } = await generateText({ model: provider(NAME), messages, output: Output.object({ schema: Guest }) });
  expect(Guest.safeParse(output).success).toBe(true);
  const ollama = new Ollama({ host: started.url });
  const said = await ollama.chat({ model: NAME, messages, format: z.toJSONSchema(Guest), options: { seed: 5 } });
  expect(Guest.safeParse(JSON.parse(said.message.content)).success).toBe(true);
  const stop = { ...body, temperature: 0.7, max_tokens: 400, response_format: { type: "json_object" } };
  const any = await json(post(`${baseURL}/chat/completions`, stop));
  if (any.choices[0].finish_reason === "stop") expect(typeof JSON.parse(any.choices[0].message.content)).toBe("object");
  else expect(any.choices[0].message.content).toMatch(/^\s*\{/);
});

test("a call that has to be is one, of the function that is named", async () => {
  const parameters = {
    type: "object",
    properties: { n: { type: "integer", minimum: 0, maximum: 9 } },
    required: ["n"],
    additionalProperties: false,
  };
  const tools = ["a", "b"].map((name) => ({ type: "function" as const, function: { name, parameters } }));
  const called = async (tool_choice: OpenAI.ChatCompletionToolChoiceOption) => {
    const { choices } = await client.chat.completions.create({ ...body, tools, tool_choice });
    expect(choices[0]!.finish_reason).toBe("tool_calls");
    expect(choices[0]!.message.content).toBeNull();
    const [call] = choices[0]!.message.tool_calls!;
    if (call?.type !== "function") throw new Error("no call");
    expect(Object.keys(JSON.parse(call.function.arguments))).toEqual(["n"]);
    return call.function.name;
  };
  expect(["a", "b"]).toContain(await called("required"));
  expect(await called({ type: "function", function: { name: "b" } })).toBe("b");
  const anthropic = new Anthropic({ baseURL: started.url, apiKey: "none", maxRetries: 0 });
  const { content } = await anthropic.messages.create({
    ...{ model: NAME, max_tokens: 100, messages, tool_choice: { type: "tool", name: "a" } },
    tools: [{ name: "a", input_schema: parameters as { type: "object" } }],
  });
  expect(content).toMatchObject([{ type: "tool_use", name: "a" }]);
});

test("a choice of a tool that is not given is 404, by each API", async () => {
  const tools = [{ type: "function", name: "a", function: { name: "a" }, input_schema: {} }];
  for (const [path, tool_choice] of [
    ["chat/completions", { type: "function", function: { name: "c" } }],
    ["chat/completions", { type: "web_search" }],
    ["responses", { type: "function", name: "c" }],
    ["messages", { type: "tool", name: "c" }],
  ] as const) {
    const response = await post(`${started.url}/v1/${path}`, {
      ...body,
      input: "a",
      max_tokens: 1,
      tools,
      tool_choice,
    });
    expect([path, response.status]).toEqual([path, 404]);
    expect((await json(response)).error.message).toMatch(
      /^tool_choice: expected a function that is given \(a\), found/,
    );
  }
  const unnamed = { ...body, tools, tool_choice: { type: "function", function: { name: "" } } };
  expect((await post(`${started.url}/v1/chat/completions`, unnamed)).status).toBe(400);
});

test("what cannot be enforced is refused with its place", async () => {
  const refusal = async (more: object) => {
    const response = await post(`${started.url}/v1/chat/completions`, { ...body, ...more });
    expect(response.status).toBe(400);
    return (await json(response)).error;
  };
  const schema = { type: "object", properties: { a: { type: "text" } } };
  const bad = await refusal({ response_format: { type: "json_schema", json_schema: { name: "x", schema } } });
  expect(bad.message).toContain("#/properties/a/type");
  expect(bad.param).toBe("response_format");
  expect((await refusal({ response_format: { type: "json_schema", json_schema: {} } })).param).toBe(
    "response_format.json_schema.schema",
  );
  expect((await refusal({ response_format: { type: "xml" } })).param).toBe("response_format.type");
});

test("beside tools, an answer is of the format or a call", async () => {
  const whole = (name: string, parameters: object) => ({ name, parameters: { ...OBJECT, ...parameters } });
  const tools = [{ type: "function", function: whole("look", { properties: { at: { enum: ["a", "b"] } } }) }];
  const schema = { ...OBJECT, properties: { name: { enum: ["x", "y"] } }, required: ["name"] };
  const response_format = { type: "json_schema", json_schema: { name: "answer", schema } };
  const found = new Set<string>();
  for (let seed = 0; seed < 12; seed++) {
    const asked = { ...body, seed, tools, response_format, ignore_eos: true, logprobs: true };
    const { choices } = await json(post(`${started.url}/v1/chat/completions`, asked));
    const [{ message, finish_reason }] = choices;
    found.add(finish_reason);
    if (finish_reason === "tool_calls") {
      expect(message.content).toBeNull();
      expect(message.tool_calls[0].function.name).toBe("look");
      expect(["a", "b", undefined]).toContain(JSON.parse(message.tool_calls[0].function.arguments).at);
    } else expect(["x", "y"]).toContain(JSON.parse(message.content).name);
  }
  expect([...found].sort()).toEqual(["stop", "tool_calls"]);
});
