/** Tools over the provider: of a model that calls them as its family does, and of one that has to. */
import { afterEach, expect, test } from "bun:test";
import { InvalidArgumentError, type LanguageModelV4Prompt, UnsupportedFunctionalityError } from "@ai-sdk/provider";
import { generateText, Output, stepCountIs, streamText, type ToolSet, tool } from "ai";
import * as z from "zod";
import { messagesOf } from "../../src/ai_sdk/prompt.ts";
import { createLambent } from "../../src/entry/ai_sdk.ts";
import { load, type Model } from "../../src/entry/index.ts";
import { type Asked, scripted } from "../server/scripted.ts";
import { embeddedFolder, removeTemporary } from "../session/small.ts";

let model: Model;
afterEach(() => {
  model.dispose();
  removeTemporary();
});

const TEMPLATE =
  "{% for t in tools %}{{ t | tojson }}<tool_call>{% endfor %}{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}";
const CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>';
const ANSWER = "It rains in Rome.";
const City = z.object({ city: z.string().max(8) });
const WEATHER: ToolSet = { weather: { inputSchema: City } };

async function start(template = TEMPLATE) {
  model = await load(embeddedFolder({ chat_template: template }), { threads: 1 });
  return createLambent({ story: model })("story");
}

async function startScripted(answers: string[]) {
  const asked: Asked[] = [];
  await start();
  return { asked, story: createLambent({ story: scripted(model, answers, asked) })("story") };
}

test("generateText and streamText in two steps, two calls in one answer", async () => {
  for (const run of [generateText, streamText] as const) {
    const { asked, story } = await startScripted([`Let me see.\n${CALL}\n${CALL}`, ANSWER]);
    const cities: string[] = [];
    const execute = async ({ city }: { city: string }) => {
      cities.push(city);
      return { sky: "rain" };
    };
    const tools = { weather: tool({ description: "It.", inputSchema: City, execute }) };
    const result = run({ model: story, prompt: "Rome?", tools, stopWhen: stepCountIs(3) });
    expect(await (await result).text).toBe(ANSWER);
    const steps = await (await result).steps;
    expect(steps.map(({ finishReason }) => finishReason)).toEqual(["tool-calls", "stop"]);
    expect(steps[0]!.text).toBe("Let me see.\n");
    expect(steps[0]!.usage.inputTokenDetails.cacheReadTokens).toBe(4);
    expect(cities).toEqual(["Rome", "Rome"]);
    expect(asked[0]!.tools).toMatchObject([{ type: "function", function: { name: "weather", description: "It." } }]);
    const ids = steps[0]!.toolCalls.map(({ toolCallId }) => toolCallId);
    expect(asked[1]!.messages as unknown[]).toEqual([
      { role: "user", content: "Rome?" },
      {
        ...{ role: "assistant", content: "Let me see.\n" },
        tool_calls: ids.map((id) => {
          return { id, type: "function", function: { name: "weather", arguments: { city: "Rome" } } };
        }),
      },
      ...ids.map((id) => ({ role: "tool", content: '{"sky":"rain"}', tool_call_id: id, name: "weather" })),
    ]);
    model.dispose();
  }
});

test("arguments are streamed while they are written", async () => {
  const { story } = await startScripted([CALL]);
  const streamed = streamText({ model: story, prompt: "Rome?", tools: WEATHER });
  let input = "";
  const types: string[] = [];
  for await (const part of streamed.fullStream) {
    if (part.type === "tool-input-delta") input += part.delta;
    if (types.at(-1) !== part.type) types.push(part.type);
  }
  expect(input).toBe('{"city": "Rome"}');
  expect(types).toEqual([
    ...["start", "start-step", "tool-input-start", "tool-input-delta", "tool-input-end", "tool-call"],
    ...["finish-step", "finish"],
  ]);
});

test("a call that has to be is one that is valid, whatever the model would say", async () => {
  const story = await start();
  const Digit = z.object({ n: z.int().gte(0).lte(9) });
  const tools: ToolSet = { a: { inputSchema: Digit }, b: { inputSchema: Digit, strict: true } };
  const options = { model: story, prompt: "Who?", temperature: 1, seed: 7, maxOutputTokens: 100 };
  for (const toolName of [undefined, "a", "b"] as const) {
    const toolChoice = toolName ? ({ type: "tool", toolName } as const) : "required";
    const { toolCalls, text, finishReason, warnings } = await generateText({ ...options, tools, toolChoice });
    expect([text, finishReason, toolCalls.length, warnings]).toEqual(["", "tool-calls", 1, []]);
    expect(Digit.safeParse(toolCalls[0]!.input).success).toBe(true);
    if (toolName) expect(toolCalls[0]!.toolName).toBe(toolName);
  }
});

test("an answer that is cut off in a call says length, and the call is told as invalid", async () => {
  const story = await start();
  const Name = z.object({ name: z.string().min(50).max(60) });
  let ran = 0;
  const tools = { a: tool({ inputSchema: Name, execute: async () => ran++ }) };
  const options = { tools, toolChoice: "required", maxOutputTokens: 24 } as const;
  const { finishReason, toolCalls } = await generateText({ model: story, prompt: "Who?", ...options });
  expect([finishReason, ran]).toEqual(["length", 0]);
  expect(toolCalls).toMatchObject([{ toolName: "a", invalid: true }]);
});

test("with an output, an answer is of its schema or a call", async () => {
  const story = await start();
  const Seen = z.object({ seen: z.boolean() });
  const found = new Set<string>();
  for (let seed = 0; seed < 12; seed++) {
    const options = { tools: WEATHER, output: Output.object({ schema: Seen }), temperature: 1, seed };
    const result = await generateText({ model: story, prompt: "Rome?", maxOutputTokens: 200, ...options });
    found.add(result.finishReason);
    if (result.finishReason === "tool-calls") expect(result.toolCalls).toMatchObject([{ toolName: "weather" }]);
    else if (result.finishReason === "stop") expect(Seen.safeParse(result.output).success).toBe(true);
  }
  expect(found).toContain("stop");
  expect(found).toContain("tool-calls");
});

test("tools that are not told of are none, and what is not done is refused or a warning", async () => {
  const { asked, story } = await startScripted([ANSWER, ANSWER]);
  const tools: ToolSet = {
    weather: { inputSchema: City, strict: true, inputExamples: [{ input: { city: "Oslo" } }] },
  };
  await generateText({ model: story, prompt: "Rome?", tools, toolChoice: "none" });
  expect(asked[0]!.tools).toBeUndefined();
  const { warnings } = await generateText({ model: story, prompt: "Rome?", tools });
  expect(warnings!.map((warning) => (warning as { feature: string }).feature)).toEqual([
    "strict of tool weather",
    "inputExamples of tool weather",
  ]);
  const refused = (options: object) => {
    return generateText({ model: story, prompt: "Rome?", tools, ...options }).catch((error: unknown) => error);
  };
  expect(await refused({ toolChoice: { type: "tool", toolName: "time" } })).toBeInstanceOf(InvalidArgumentError);
  const untold = createLambent({ story: model })("story");
  const own = { lambent: { chatTemplate: "{{ messages[0].content }}" } };
  const none = await generateText({ model: untold, prompt: "Rome?", tools, providerOptions: own }).catch((e) => e);
  expect(none).toBeInstanceOf(UnsupportedFunctionalityError);
  expect(none.message).toMatch(/^tools: expected none, .* found 1$/);
});

test("messages of every kind, as chat templates read them", async () => {
  await start();
  const result = (output: unknown) => ({ type: "tool-result", toolCallId: "1", toolName: "a", output });
  const content = [
    { type: "text", text: "one " },
    { type: "file", data: { type: "text", text: "two" }, mediaType: "text/plain" },
  ];
  const prompt = [
    { role: "system", content: "Be brief." },
    {
      role: "assistant",
      content: [
        { type: "reasoning", text: "Hm." },
        { type: "text", text: "Well. " },
        { type: "tool-call", toolCallId: "1", toolName: "a", input: '{"x": 1}' },
        { type: "text", text: "So." },
      ],
    },
    {
      role: "tool",
      content: [
        result({ type: "text", value: "rain" }),
        result({ type: "error-json", value: { code: 3 } }),
        result({ type: "execution-denied" }),
        result({ type: "content", value: content }),
        { type: "tool-approval-response", approvalId: "2", approved: false },
      ],
    },
  ] as unknown as LanguageModelV4Prompt;
  const said = { tool_call_id: "1", name: "a" };
  expect(messagesOf(prompt)).toEqual([
    { role: "system", content: "Be brief." },
    {
      ...{ role: "assistant", content: "Well. So.", reasoning_content: "Hm." },
      tool_calls: [{ id: "1", type: "function", function: { name: "a", arguments: { x: 1 } } }],
    },
    ...["rain", '{"code":3}', "The call was denied.", "one two"].map((content) => ({ role: "tool", content, ...said })),
  ]);
  const odd = { role: "assistant", content: [{ type: "custom", kind: "a.b" }] };
  expect(() => messagesOf([odd] as unknown as LanguageModelV4Prompt)).toThrow(UnsupportedFunctionalityError);
});
