import { afterEach, expect, test } from "bun:test";
import Anthropic, { APIError } from "@anthropic-ai/sdk";
import { type Asked, scripted } from "./scripted.ts";
import { events, NAME, post, type Started, start } from "./serving.ts";

let started: Started;
afterEach(() => started.stop());

const clientOf = () => new Anthropic({ baseURL: started.url, apiKey: "none", maxRetries: 0 });
const greedy = { model: NAME, temperature: 0, max_tokens: 10 };
const turns = [{ role: "user" as const, content: "Who is there?" }];

function expected(maxNewTokens = 10): Promise<string> {
  const chat = [{ role: "system", content: "A tale." }, ...turns];
  return started.model.generate(chat, { temperature: 0, maxNewTokens }).text();
}

test("a message, whole and streamed, with usage, and its tokens counted", async () => {
  started = await start();
  const client = clientOf();
  const body = { ...greedy, system: "A tale.", messages: turns };
  const whole = await client.messages.create(body);
  expect(whole).toMatchObject({ type: "message", role: "assistant", model: NAME, stop_reason: "max_tokens" });
  expect(whole.content).toEqual([{ type: "text", text: await expected() }] as never);
  const { input_tokens } = await client.messages.countTokens({ model: NAME, system: "A tale.", messages: turns });
  const { usage } = whole;
  expect(usage.input_tokens + usage.cache_read_input_tokens!).toBe(input_tokens);
  expect(usage.output_tokens).toBe(10);
  const stream = client.messages.stream(body);
  let text = "";
  stream.on("text", (delta) => {
    text += delta;
  });
  const final = await stream.finalMessage();
  expect(text).toBe(await expected());
  expect(final.content as unknown).toEqual(whole.content);
  expect(final.usage.output_tokens).toBe(10);
  const all = await events(await post(`${started.url}/v1/messages`, { ...body, stream: true }));
  // A slow answer has pings.
  const types = all.map(({ data }) => data.type).filter((type) => type !== "ping");
  expect(types.filter((type, i) => type !== types[i - 1])).toEqual([
    ...["message_start", "content_block_start", "content_block_delta", "content_block_stop"],
    ...["message_delta", "message_stop"],
  ]);
  expect(all.every(({ event, data }) => event === data.type)).toBe(true);
  expect(all.find(({ event }) => event === "message_start")!.data.message.usage.input_tokens).toBe(input_tokens);
});

test("a stop sequence ends the text, and is named", async () => {
  started = await start();
  const whole = (await expected(40)).trim();
  const stop = whole.split(" ")[3]!;
  const body = { ...greedy, max_tokens: 40, system: [{ type: "text" as const, text: "A tale." }], messages: turns };
  const { stop_reason, stop_sequence, content } = await clientOf().messages.create({
    ...{ ...body, stop_sequences: ["zz", stop] },
  });
  expect([stop_reason, stop_sequence]).toEqual(["stop_sequence", stop]);
  expect((content[0] as { text: string }).text.trim()).toBe(whole.slice(0, whole.indexOf(stop)).trim());
});

test("a loop of tools, streamed and not", async () => {
  for (const stream of [false, true]) {
    const asked: Asked[] = [];
    const answers = [
      'Let me see.<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>',
      "It rains.",
    ];
    const template = "{{ tools }}<tool_call>{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}";
    started = await start({}, { template, as: (model) => scripted(model, answers, asked) });
    const tools = [{ name: "weather", description: "It.", input_schema: { type: "object" as const } }];
    const body = { model: NAME, max_tokens: 100, tools, messages: turns };
    const client = clientOf();
    const first = stream ? await client.messages.stream(body).finalMessage() : await client.messages.create(body);
    expect(first.stop_reason).toBe("tool_use");
    const [said, used] = first.content;
    expect(said).toMatchObject({ type: "text", text: "Let me see." });
    expect(used).toMatchObject({ type: "tool_use", name: "weather", input: { city: "Rome" } });
    expect(first.usage).toMatchObject({ input_tokens: 6, cache_read_input_tokens: 4 });
    const { id } = used as { id: string };
    const second = await client.messages.create({
      ...body,
      messages: [
        ...turns,
        { role: "assistant", content: first.content as never },
        {
          role: "user",
          content: [
            { type: "tool_result", tool_use_id: id, content: "rain" },
            { type: "text", text: "So?" },
          ],
        },
      ],
    });
    expect(second.content[0]).toMatchObject({ text: "It rains." });
    expect(asked[0]!.tools).toEqual([
      { type: "function", function: { name: "weather", description: "It.", parameters: { type: "object" } } },
    ]);
    expect(asked[1]!.messages).toEqual([
      ...turns,
      {
        ...{ role: "assistant", content: "Let me see." },
        tool_calls: [{ id, type: "function", function: { name: "weather", arguments: { city: "Rome" } } }],
      },
      { role: "tool", content: "rain", tool_call_id: id },
      { role: "user", content: "So?" },
    ]);
    if (!stream) await started.stop();
  }
});

test("errors are this API's, for keys as well", async () => {
  started = await start({ apiKeys: ["k"] });
  const body = {
    ...greedy,
    messages: [{ role: "user" as const, content: [{ type: "image" as const, source: {} as never }] }],
  };
  const good = new Anthropic({ baseURL: started.url, apiKey: "k", maxRetries: 0 });
  const error = await good.messages.create(body).catch((error: unknown) => error);
  expect(error).toBeInstanceOf(APIError);
  expect((error as APIError).error).toMatchObject({ type: "error", error: { type: "invalid_request_error" } });
  expect((error as APIError).message).toContain("messages[0].content[0].type: expected text");
  const unknown = await clientOf()
    .messages.create({ ...greedy, messages: turns })
    .catch((error: unknown) => error);
  expect((unknown as APIError).status).toBe(401);
  expect((unknown as APIError).error).toMatchObject({ type: "error", error: { type: "authentication_error" } });
});
