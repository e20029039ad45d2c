import { afterEach, expect, test } from "bun:test";
import OpenAI, { APIError } from "openai";
import type { ResponseFunctionToolCall, ResponseOutputItem } from "openai/resources/responses/responses";
import { type Asked, scripted } from "./scripted.ts";
import { events, type Json, json, NAME, post, type Started, start } from "./serving.ts";

let started: Started;
afterEach(() => started.stop());

const clientOf = () => new OpenAI({ baseURL: `${started.url}/v1`, apiKey: "none", maxRetries: 0 });
const greedy = { model: NAME, temperature: 0, max_output_tokens: 10 };

async function startScripted(answers: string[]): Promise<Asked[]> {
  const asked: Asked[] = [];
  const template = "{{ tools }}<tool_call>{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}";
  started = await start({}, { template, as: (model) => scripted(model, answers, asked) });
  return asked;
}

test("openai: a conversation by previous_response_id is that of a client that resends it all, and nothing is read twice", async () => {
  started = await start();
  const client = clientOf();
  const first = await client.responses.create({ ...greedy, instructions: "A tale.", input: "Who is there?" });
  expect(first.status).toBe("incomplete");
  expect(first.incomplete_details).toEqual({ reason: "max_output_tokens" });
  const chat = [
    { role: "system", content: "A tale." },
    { role: "user", content: "Who is there?" },
  ];
  const options = { temperature: 0, maxNewTokens: 10 };
  expect(first.output_text).toBe(await started.model.generate(chat, options).text());
  const second = await client.responses.create({
    ...{ ...greedy, instructions: "A tale.", input: "And then?", previous_response_id: first.id },
  });
  const whole = [...chat, { role: "assistant", content: first.output_text }, { role: "user", content: "And then?" }];
  expect(second.output_text).toBe(await started.model.generate(whole, options).text());
  expect(second.usage!.input_tokens_details.cached_tokens).toBeGreaterThanOrEqual(first.usage!.input_tokens / 2);
  expect(second.previous_response_id).toBe(first.id);
  // Two may go on from one.
  const other = await client.responses.create({ ...greedy, input: "Why?", previous_response_id: first.id });
  expect(other.output_text).toBe(
    await started.model.generate([...chat.slice(1), whole[2]!, { role: "user", content: "Why?" }], options).text(),
  );
  expect(((await client.responses.retrieve(second.id)) as Json).output_text).toBe(second.output_text);
  await client.responses.delete(first.id);
  const error = await client.responses
    .create({ ...greedy, input: "x", previous_response_id: first.id })
    .catch((error: unknown) => error);
  expect(error).toBeInstanceOf(APIError);
  expect(error).toMatchObject({ status: 404, param: "previous_response_id", code: "previous_response_not_found" });
  // What came from it goes on all the same.
  const third = await client.responses.create({ ...greedy, input: "So?", previous_response_id: second.id });
  expect(third.usage!.input_tokens).toBeGreaterThan(second.usage!.input_tokens);
});

test("a reference to an item of a stored response is that item; one to another is refused", async () => {
  started = await start();
  const client = clientOf();
  const first = await client.responses.create({ ...greedy, input: "Who is there?" });
  const user = { role: "user" as const, content: "Who is there?" };
  const reference = (id: string) => {
    return client.responses.create({ ...greedy, input: [user, { type: "item_reference", id }, user] });
  };
  const second = await reference(first.output[0]!.id!);
  const said = { role: "assistant" as const, content: first.output_text };
  expect(second.output_text).toBe(
    (await client.responses.create({ ...greedy, input: [user, said, user] })).output_text,
  );
  for (const id of ["msg_1", `${first.output[0]!.id}0`, "rs_abc"]) {
    const error = await reference(id).catch((error: unknown) => error);
    expect(error).toMatchObject({ status: 404, param: "input[1].id", code: "item_not_found" });
  }
});

test("store: false keeps nothing", async () => {
  started = await start();
  const client = clientOf();
  const { id } = await client.responses.create({ ...greedy, input: "Who?", store: false });
  expect((await fetch(`${started.url}/v1/responses/${id}`)).status).toBe(404);
});

test("openai's helper takes the stream, and events come in the order that clients need", async () => {
  started = await start();
  const stream = clientOf().responses.stream({ ...greedy, input: "Who is there?" });
  let text = "";
  stream.on("response.output_text.delta", ({ delta }) => {
    text += delta;
  });
  const final = await stream.finalResponse();
  expect(final.output_text).toBe(text);
  expect(text).toBe(
    await started.model
      .generate([{ role: "user", content: "Who is there?" }], { temperature: 0, maxNewTokens: 10 })
      .text(),
  );
  const all = await events(
    await post(`${started.url}/v1/responses`, { ...greedy, input: "Who is there?", stream: true }),
  );
  const types = all.map(({ data }) => data.type).filter((type, i, list) => type !== list[i - 1]);
  expect(types).toEqual([
    ...["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"],
    ...["response.output_text.delta", "response.output_text.done", "response.content_part.done"],
    ...["response.output_item.done", "response.incomplete"],
  ]);
  expect(all.map(({ data }) => data.sequence_number)).toEqual(all.map((_, i) => i));
  expect(all.every(({ event, data }) => event === data.type)).toBe(true);
  expect(new Set(all.flatMap(({ data }) => data.response?.id ?? [])).size).toBe(1);
});

test("a window that is too small: an error that says so by default, truncation: auto goes on", async () => {
  started = await start({}, { nLocal: 64 });
  const input = "It was late in the evening, and the old captain came home. ".repeat(10);
  const refused = await post(`${started.url}/v1/responses`, { ...greedy, input });
  expect(refused.status).toBe(400);
  expect((await json(refused)).error.code).toBe("context_length_exceeded");
  const on = await json(post(`${started.url}/v1/responses`, { ...greedy, input, truncation: "auto" }));
  expect(on.output[0].content[0].text.length).toBeGreaterThan(0);
  expect(on.window.position).toBeGreaterThan(on.window.window);
});

test("openai: a tool is called, and its result goes back by previous_response_id", async () => {
  for (const stream of [false, true]) {
    const call = '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>';
    const asked = await startScripted([`Let me see.${call}${call}`, "It rains.", "It rains."]);
    const client = clientOf();
    const tools = [
      { type: "function" as const, name: "weather", parameters: { type: "object" }, strict: false },
      { type: "web_search" as const },
    ];
    const body = { model: NAME, input: "Rome?", tools };
    const first = stream ? await client.responses.stream(body).finalResponse() : await client.responses.create(body);
    expect(first.output.map(({ type }) => type)).toEqual(["message", "function_call", "function_call"]);
    const calls = (first.output as ResponseOutputItem[]).filter(
      (item): item is ResponseFunctionToolCall => item.type === "function_call",
    );
    expect(calls.map(({ name, arguments: json, status }) => [name, json, status])).toEqual(
      Array(2).fill(["weather", '{"city": "Rome"}', "completed"]),
    );
    expect(first.status).toBe("completed");
    expect(first.usage!.input_tokens_details.cached_tokens).toBe(4);
    const input = calls.map(({ call_id }) => ({ type: "function_call_output" as const, call_id, output: "rain" }));
    const second = await client.responses.create({ model: NAME, previous_response_id: first.id, input, tools });
    expect(second.output_text).toBe("It rains.");
    const ids = calls.map(({ call_id }) => call_id);
    expect(asked[1]!.messages).toMatchObject([
      { role: "user", content: "Rome?" },
      {
        role: "assistant",
        content: "Let me see.",
        tool_calls: ids.map((id) => ({ id, function: { arguments: { city: "Rome" } } })),
      },
      ...ids.map((id) => ({ role: "tool", content: "rain", tool_call_id: id })),
    ]);
    // The same by references to what was said.
    const items = first.output.map(({ id }) => ({ type: "item_reference" as const, id: id! }));
    const whole = [{ role: "user" as const, content: "Rome?" }, ...items, ...input];
    await client.responses.create({ model: NAME, input: whole, tools });
    expect(asked[2]!.messages).toEqual(asked[1]!.messages);
    // Tools that only other hosts have are left out.
    expect(asked[0]!.tools!.length).toBe(1);
    if (!stream) await started.stop();
  }
});
