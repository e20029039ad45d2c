/** @ai-sdk/openai, @openai/agents and @langchain/openai, as they ask when they are told no more than an address. */
import { afterEach, describe, expect, test } from "bun:test";
import { createOpenAI } from "@ai-sdk/openai";
import { AIMessage, HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool as langchainTool } from "@langchain/core/tools";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import {
  Agent,
  tool as agentTool,
  OpenAIChatCompletionsModel,
  OpenAIResponsesModel,
  Runner,
  setTracingDisabled,
} from "@openai/agents";
import { embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import OpenAI from "openai";
import * as z from "zod";
import { type Asked, scripted } from "./scripted.ts";
import { NAME, type Started, start } from "./serving.ts";

// It would tell OpenAI of each run.
setTracingDisabled(true);

let started: Started;
afterEach(() => started.stop());

/** Turns as in a novel, so that the embedded model's answers end. */
const TEMPLATE = `{% if tools %}{{ tools | tojson }}<tool_call>{% endif %}{% for m in messages %}"{{ m.content }}"

{% endfor %}{% if add_generation_prompt %}"{% endif %}`;
const CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>';
const ANSWER = "It rains in Rome.";
const City = z.object({ city: z.string().max(12) });
const Guest = z.object({ name: z.string().max(12), age: z.int().gte(0).lte(120) });
const question = "Who is there?";
const baseURL = () => `${started.url}/v1`;

async function startScripted(answers: string[]): Promise<Asked[]> {
  const asked: Asked[] = [];
  started = await start({}, { template: TEMPLATE, as: (model) => scripted(model, answers, asked) });
  return asked;
}

/** What the library itself answers. */
function expected(messages: object[]): Promise<string> {
  return started.model.generate(messages as never, { temperature: 0, maxNewTokens: 10 }).text();
}

/** LangChain's message, whose types lose it with exactOptionalPropertyTypes. */
function outputTokens(message: object): number | undefined {
  return (message as { usage_metadata?: { output_tokens: number } }).usage_metadata?.output_tokens;
}

/** The tool's result has come back to the model, to the call that it made. */
function expectLoop(asked: readonly Asked[], said: string): void {
  expect(asked.length).toBe(2);
  expect(asked[0]!.tools).toMatchObject([{ type: "function", function: { name: "weather" } }]);
  const messages = asked[1]!.messages as { role: string; content: string; [key: string]: unknown }[];
  const [call, result] = messages.slice(-2) as [Record<string, [{ id: string }]>, (typeof messages)[number]];
  expect(call as object).toMatchObject({
    ...{ role: "assistant", content: said },
    tool_calls: [{ type: "function", function: { name: "weather", arguments: { city: "Rome" } } }],
  });
  expect(result).toMatchObject({ role: "tool", tool_call_id: call.tool_calls![0].id });
  expect(result.content).toContain("rain");
}

describe("@ai-sdk/openai", () => {
  const provider = () => createOpenAI({ baseURL: baseURL(), apiKey: "none" });
  const routes = ["responses", "chat"] as const;

  test.each(routes)("%s: generateText and streamText, a system turn, usage", async (route) => {
    started = await start();
    const options = { model: provider()[route](NAME), prompt: question, temperature: 0, maxOutputTokens: 10 };
    const text = await expected([{ role: "user", content: question }]);
    const whole = await generateText(options);
    expect([whole.text, whole.finishReason, whole.usage.outputTokens]).toEqual([text, "length", 10]);
    const streamed = streamText(options);
    let pieces = "";
    for await (const piece of streamed.textStream) pieces += piece;
    expect([pieces, await streamed.finishReason, (await streamed.usage).outputTokens]).toEqual([text, "length", 10]);
    const system = { role: "system", content: "A tale." };
    expect((await generateText({ ...options, instructions: "A tale." })).text).toBe(
      await expected([system, { role: "user", content: question }]),
    );
  });

  test.each(routes)("%s: a loop of tools, whole and streamed", async (route) => {
    for (const run of [generateText, streamText] as const) {
      const asked = await startScripted([`Let me see.\n${CALL}`, ANSWER]);
      const tools = { weather: tool({ description: "It.", inputSchema: City, execute: async () => "rain" }) };
      const result = run({ model: provider()[route](NAME), prompt: "Rome?", tools, stopWhen: stepCountIs(3) });
      expect(await (await result).text).toBe(ANSWER);
      const steps = await (await result).steps;
      expect(steps.map(({ finishReason }) => finishReason)).toEqual(["tool-calls", "stop"]);
      expect(steps[0]!.usage.inputTokenDetails.cacheReadTokens).toBe(4);
      expectLoop(asked, "Let me see.\n");
      if (run === generateText) await started.stop();
    }
  });

  test.each(routes)("%s: Output.object, and a tool that has to be called", async (route) => {
    started = await start({}, { template: TEMPLATE });
    const options = { model: provider()[route](NAME), prompt: question, temperature: 1, maxOutputTokens: 200 };
    const { output } = await generateText({ ...options, output: Output.object({ schema: Guest }) });
    expect(Guest.safeParse(output).success).toBe(true);
    const tools = { guest: tool({ inputSchema: Guest, execute: async () => "" }) };
    const { toolCalls } = await generateText({ ...options, tools, toolChoice: "required" });
    expect(toolCalls.map(({ toolName, input }) => [toolName, Guest.safeParse(input).success])).toEqual([
      ["guest", true],
    ]);
  });

  test("embedMany, and an error with its words", async () => {
    started = await start();
    const values = ["a ship", "a house"];
    const { embeddings } = await embedMany({ model: provider().embeddingModel(NAME), values });
    expect(embeddings).toEqual((await started.model.embed(values)).map((vector) => [...vector]));
    const error = await generateText({ model: provider()("gpt-9"), prompt: "x" }).catch((error: unknown) => error);
    expect(error).toMatchObject({ statusCode: 404, message: `model: expected ${NAME}, found gpt-9` });
  });
});

describe("@openai/agents", () => {
  const client = () => new OpenAI({ baseURL: baseURL(), apiKey: "none", maxRetries: 0 });
  const models = { responses: OpenAIResponsesModel, chat: OpenAIChatCompletionsModel };
  const runner = new Runner({ tracingDisabled: true });

  test.each(["responses", "chat"] as const)("%s: a loop of tools, whole and streamed", async (route) => {
    for (const stream of [false, true]) {
      const asked = await startScripted([CALL, ANSWER]);
      const cities: string[] = [];
      const weather = agentTool({
        ...{ name: "weather", description: "It.", parameters: City },
        execute: async ({ city }) => {
          cities.push(city);
          return "rain";
        },
      });
      const model = new models[route](client() as never, NAME);
      const agent = new Agent({ name: "Host", instructions: "Be brief.", model, tools: [weather] });
      if (stream) {
        const result = await runner.run(agent, "Rome?", { stream: true });
        let text = "";
        for await (const piece of result.toTextStream({ compatibleWithNodeStreams: false })) text += piece;
        await result.completed;
        expect([text, result.finalOutput]).toEqual([ANSWER, ANSWER]);
      } else {
        expect((await runner.run(agent, "Rome?")).finalOutput).toBe(ANSWER);
      }
      expect(cities).toEqual(["Rome"]);
      expect(asked[0]!.messages[0]).toEqual({ role: "system", content: "Be brief." });
      expectLoop(asked, "");
      if (!stream) await started.stop();
    }
  });

  test("the embedded model has to call, then answers; the next turn goes on by previousResponseId", async () => {
    started = await start({}, { template: TEMPLATE });
    const model = new OpenAIResponsesModel(client() as never, NAME);
    const guests: unknown[] = [];
    const guest = agentTool({
      ...{ name: "guest", description: "It.", parameters: Guest },
      execute: async (input) => `${guests.push(input)}`,
    });
    const modelSettings = { temperature: 1, providerData: { seed: 2 } };
    const forced = { ...modelSettings, toolChoice: "required" };
    const agent = new Agent({ name: "Host", model, tools: [guest], modelSettings: forced });
    const result = await runner.run(agent, question);
    expect(guests.map((input) => Guest.safeParse(input).success)).toEqual([true]);
    expect(result.finalOutput!.length).toBeGreaterThan(0);
    const free = agent.clone({ modelSettings });
    const next = await runner.run(free, "And then?", { previousResponseId: result.lastResponseId! });
    const [before, after] = [result.rawResponses.at(-1)!.usage, next.rawResponses[0]!.usage];
    expect(after.inputTokens).toBeGreaterThan(before.inputTokens);
    expect(after.inputTokensDetails[0]!.cached_tokens).toBeGreaterThan(before.inputTokens / 2);
  });

  test("an output of a type", async () => {
    started = await start({}, { template: TEMPLATE });
    const model = new OpenAIResponsesModel(client() as never, NAME);
    const agent = new Agent({ name: "Host", model, outputType: Guest, modelSettings: { temperature: 1 } });
    expect(Guest.safeParse((await runner.run(agent, question)).finalOutput).success).toBe(true);
  });
});

describe("@langchain/openai", () => {
  const chat = (more: object = {}) => {
    return new ChatOpenAI({
      model: NAME,
      apiKey: "none",
      maxRetries: 0,
      configuration: { baseURL: baseURL() },
      ...more,
    });
  };
  const routes = [
    ["chat completions", {}],
    ["responses", { useResponsesApi: true }],
  ] as const;

  test.each(routes)("%s: invoke and stream, with usage", async (_, route) => {
    started = await start();
    const model = chat({ ...route, temperature: 0, maxTokens: 10 });
    const text = await expected([{ role: "user", content: question }]);
    const whole = await model.invoke([new HumanMessage(question)]);
    expect([whole.text, outputTokens(whole)]).toEqual([text, 10]);
    let pieces = "";
    let tokens: number | undefined;
    for await (const chunk of await model.stream([new HumanMessage(question)])) {
      pieces += chunk.text;
      tokens = outputTokens(chunk) ?? tokens;
    }
    expect([pieces, tokens]).toEqual([text, 10]);
  });

  test.each(routes)("%s: a loop of tools, whole and streamed", async (_, route) => {
    const weather = langchainTool(async () => "rain", { name: "weather", description: "It.", schema: City });
    for (const stream of [false, true]) {
      const asked = await startScripted([CALL, ANSWER]);
      const model = chat(route).bindTools([weather]);
      const first = new HumanMessage("Rome?");
      let said: AIMessage | undefined;
      if (stream) {
        let sum: Awaited<ReturnType<typeof model.invoke>> | undefined;
        for await (const chunk of await model.stream([first])) sum = sum ? sum.concat(chunk as never) : chunk;
        said = new AIMessage({ content: sum!.content, tool_calls: sum!.tool_calls! });
      } else said = await model.invoke([first]);
      expect(said.tool_calls).toMatchObject([{ name: "weather", args: { city: "Rome" } }]);
      const [call] = said.tool_calls!;
      const result = new ToolMessage({ content: await weather.invoke(call!.args as never), tool_call_id: call!.id! });
      expect((await model.invoke([first, said, result])).text).toBe(ANSWER);
      expectLoop(asked, "");
      if (!stream) await started.stop();
    }
  });

  test("withStructuredOutput by schema and by function; embeddings", async () => {
    started = await start({}, { template: TEMPLATE });
    for (const method of ["jsonSchema", "functionCalling"] as const) {
      const model = chat({ temperature: 1, maxTokens: 200 }).withStructuredOutput(Guest, { name: "guest", method });
      expect(Guest.safeParse(await model.invoke(question)).success).toBe(true);
    }
    const embeddings = new OpenAIEmbeddings({ model: NAME, apiKey: "none", configuration: { baseURL: baseURL() } });
    const texts = ["a ship", "a house"];
    expect(await embeddings.embedDocuments(texts)).toEqual(
      (await started.model.embed(texts)).map((vector) => [...vector]),
    );
  });
});
