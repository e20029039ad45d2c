/** Loops of tools in real clients, over a model that calls them as its family does. */
import { afterEach, expect, test } from "bun:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, stepCountIs, streamText, tool } from "ai";
import OpenAI from "openai";
import * as z from "zod";
import { type Asked, scripted } from "./scripted.ts";
import { type Json, json, NAME, post, type Started, start } from "./serving.ts";

let started: Started;
afterEach(() => started.stop());

const TEMPLATE =
  "{% for t in tools %}{{ t | tojson }}<tool_call>{% endfor %}{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}";
const CALL = 'Let me see.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>';
const ANSWER = "It rains in Rome.";
const parameters = { type: "object", properties: { city: { type: "string" } } };
const weather = { type: "function" as const, function: { name: "weather", description: "It.", parameters } };

async function startScripted(answers: string[], template = TEMPLATE): Promise<Asked[]> {
  const asked: Asked[] = [];
  started = await start({}, { template, as: (model) => scripted(model, answers, asked) });
  return asked;
}

/** What the model is shown of a call and its result. */
function expectLoop(asked: readonly Asked[]): void {
  expect(asked.length).toBe(2);
  expect(asked[0]!.tools).toMatchObject([{ type: "function", function: { name: "weather" } }]);
  const [, call, result] = asked[1]!.messages as Json[];
  expect(call).toMatchObject({ role: "assistant", content: "Let me see.\n" });
  expect(call!.tool_calls).toMatchObject([
    { type: "function", function: { name: "weather", arguments: { city: "Rome" } } },
  ]);
  expect(result).toMatchObject({ role: "tool", tool_call_id: call!.tool_calls[0].id });
  expect(result!.content).toContain("rain");
}

test("openai: runTools, streamed and not", async () => {
  for (const stream of [false, true]) {
    const asked = await startScripted([CALL, ANSWER]);
    const client = new OpenAI({ baseURL: `${started.url}/v1`, apiKey: "none", maxRetries: 0 });
    const cities: unknown[] = [];
    const tools = [
      {
        ...weather,
        function: {
          ...weather.function,
          parse: JSON.parse,
          function: ({ city }: { city: string }) => {
            cities.push(city);
            return "rain";
          },
        },
      },
    ];
    const body = { model: NAME, messages: [{ role: "user" as const, content: "Rome?" }], tools };
    const runner = stream
      ? client.chat.completions.runTools({ ...body, stream: true } as never)
      : client.chat.completions.runTools(body as never);
    expect(await runner.finalContent()).toBe(ANSWER);
    expect(cities).toEqual(["Rome"]);
    expectLoop(asked);
    if (!stream) await started.stop();
  }
});

test("AI SDK: generateText and streamText in two steps", async () => {
  for (const run of [generateText, streamText] as const) {
    const asked = await startScripted([CALL, ANSWER]);
    const model = createOpenAICompatible({ name: "lambent", baseURL: `${started.url}/v1`, includeUsage: true })(NAME);
    const tools = {
      weather: tool({ description: "It.", inputSchema: z.object({ city: z.string() }), execute: async () => "rain" }),
    };
    const result = run({ model, prompt: "Rome?", tools, stopWhen: stepCountIs(3) });
    expect(await (await result).text).toBe(ANSWER);
    const steps = await (await result).steps;
    expect(steps.map(({ finishReason }) => finishReason)).toEqual(["tool-calls", "stop"]);
    expect(steps[0]!.usage.inputTokenDetails.cacheReadTokens).toBe(4);
    expectLoop(asked);
    if (run === generateText) await started.stop();
  }
});

test("a call says so in its finish_reason, whole and streamed; arguments are JSON", async () => {
  await startScripted([CALL, CALL]);
  const body = { model: NAME, messages: [{ role: "user", content: "Rome?" }], tools: [weather] };
  const whole = await json(post(`${started.url}/v1/chat/completions`, body));
  expect(whole.choices[0]).toMatchObject({
    finish_reason: "tool_calls",
    message: { tool_calls: [{ type: "function", function: { name: "weather", arguments: '{"city": "Rome"}' } }] },
  });
  const text = await (await post(`${started.url}/v1/chat/completions`, { ...body, stream: true })).text();
  expect(text).toContain('"finish_reason":"tool_calls"');
});

test("tools of a model that knows none are refused by name", async () => {
  await startScripted([ANSWER, ANSWER], "{{ messages[0].content }}");
  const body = { model: NAME, messages: [{ role: "user", content: "Rome?" }], tools: [weather] };
  const refused = await post(`${started.url}/v1/chat/completions`, body);
  expect(refused.status).toBe(400);
  expect((await json(refused)).error).toMatchObject({ param: "tools", code: "unsupported_value" });
  // Kinds that only the hosts of other models have are left out, and none is none.
  for (const other of [{ tools: [{ type: "web_search" }] }, { tool_choice: "none" }]) {
    expect((await post(`${started.url}/v1/chat/completions`, { ...body, ...other })).status).toBe(200);
  }
});
