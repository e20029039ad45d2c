/** Turns of a chat in one session: only what is new is read, and together it is the whole chat. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { ModelError, OptionError } from "../../src/base/errors.ts";
import { load, type Message, type Model } from "../../src/entry/index.ts";
import { encodeTurns } from "../../src/session/turns.ts";
import { encodeChat } from "../../src/tokenizer/chat.ts";
import { embeddedFolder, failure, removeTemporary } from "./small.ts";
import { folderOf, TEMPLATES, writeReplaced } from "./templates.ts";

setDefaultTimeout(60_000);
afterAll(removeTemporary);

const user = (content: string): Message => ({ role: "user", content });
const assistant = (content: string): Message => ({ role: "assistant", content });

describe.each(Object.entries(TEMPLATES))("the template %s", (_, template) => {
  test("a session of three turns has read what the whole chat renders to", async () => {
    const { folder, end } = folderOf(template);
    using model = await load(folder);
    const { tokenizer } = model;
    const read: number[] = [];
    const chat: Message[] = [];
    using session = await model.session();
    for (const question of ["Who is there?", "Why?", "And then, <|end|> what?"]) {
      chat.push(user(question));
      const generation = session.generate([user(question)], { doSample: true, seed: 3, maxNewTokens: 1000, topK: 0 });
      const ids: number[] = [];
      for await (const { id } of generation.tokens()) ids.push(id);
      const { finishReason, promptTokens } = await generation.result;
      expect(finishReason).toBe("stop");
      expect(ids.at(-1)).toBe(end);
      const whole = encodeChat(tokenizer, chat);
      read.push(...whole.slice(whole.length - promptTokens), ...ids);
      chat.push(assistant(tokenizer.decode(ids)));
      expect(session.length).toBe(read.length);
    }
    await session.append([user("Well?")]);
    using other = await model.session();
    const rest = session.length - read.length;
    const whole = encodeChat(tokenizer, [...chat, user("Well?")]);
    await other.append([...read, ...whole.slice(whole.length - rest)]);
    expect(await session.logits()).toEqual((await other.logits()) as Float32Array<ArrayBuffer>);
    // Neither the start of a chat nor the stop token comes a second time.
    const starts = tokenizer.decode(read, { skipSpecialTokens: false }).split("Be kind.").length;
    expect(starts).toBeLessThanOrEqual(2);
    expect(tokenizer.decode(read, { skipSpecialTokens: false })).not.toContain("<|end|><|end|>");
  });

  test("snapshots and forks know where they are in the chat", async () => {
    const { folder } = folderOf(template);
    using model = await load(folder);
    using session = await model.session();
    await session.generate([user("Who?")], { maxNewTokens: 5, temperature: 0 }).text();
    using restored = await model.restore(await session.snapshot());
    using fork = await session.fork();
    for (const one of [session, restored, fork]) await one.append([user("Why?")]);
    expect(restored.length).toBe(session.length);
    expect(await restored.logits()).toEqual((await session.logits()) as Float32Array<ArrayBuffer>);
    expect(await fork.logits()).toEqual((await session.logits()) as Float32Array<ArrayBuffer>);
  });
});

test("turns that more turns follow are read without a generation prompt", async () => {
  const { folder } = folderOf(TEMPLATES.stop);
  using model = await load(folder);
  using session = await model.session();
  const chat = [user("a"), assistant("b"), user("c")];
  await session.append(chat.slice(0, 1), { addGenerationPrompt: false });
  await session.append(chat.slice(1, 2), { addGenerationPrompt: false });
  await session.append(chat.slice(2));
  using whole = await model.session();
  await whole.append(chat);
  expect(session.length).toBe(whole.length);
  expect(await session.logits()).toEqual((await whole.logits()) as Float32Array<ArrayBuffer>);
});

test("a chat behind other text begins without BOS; the last message can be continued", async () => {
  using model = await load(folderOf(TEMPLATES.text).folder);
  const { tokenizer } = model;
  const bos = tokenizer.bosTokenId;
  const place = { turn: "none", lastToken: 5 } as const;
  const first = encodeTurns(tokenizer, [user("a")], {}, { ...place, length: 0 });
  expect(first[0]).toBe(bos as number);
  expect(encodeTurns(tokenizer, [user("a")], {}, { ...place, length: 3 })).toEqual(first.slice(1));
  using session = await model.session();
  const open = [user("Who?"), assistant("It was")];
  const text = await session.generate(open, { continueFinalMessage: true, temperature: 0, maxNewTokens: 5 }).text();
  expect(await model.renderChat(open, { continueFinalMessage: true })).toEndWith("assistant: It was");
  const ids = encodeChat(tokenizer, open, { continueFinalMessage: true });
  expect(text).toBe(await model.generate(ids, { temperature: 0, maxNewTokens: 5 }).text());
});

test("turns that were not read are not behind the session", async () => {
  const { folder } = folderOf(TEMPLATES.stop);
  const path = join(folder, "generation_config.json");
  writeReplaced(path, JSON.stringify({ max_length: 3 }));
  using model = await load(folder);
  using session = await model.session();
  await session.append([user("a")], { signal: AbortSignal.abort() }).catch(() => {});
  const { message } = await failure(ModelError, () => session.generate([user("a")]).text());
  expect(message).toContain("max_length");
  await failure(OptionError, () => session.generate([user("a")], { seed: -1 }).text());
  const { promptTokens } = await session.generate([user("a")], { maxNewTokens: 1 }).result;
  expect(promptTokens).toBe(encodeChat(model.tokenizer, [user("a")]).length);
});

test("a system's message that the template writes with the user's is not lost", async () => {
  const template = `{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[{{ messages[0].content if messages[0].role == 'system' and loop.index0 == 1 }} {{ m.content }}]{% endif %}{% endfor %}`;
  using model = await load(folderOf(template).folder);
  using session = await model.session();
  const system = { role: "system", content: "Be kind." };
  const { message } = await failure(OptionError, () => session.append([system], { addGenerationPrompt: false }));
  expect(message).toContain("expected a user's message behind the system's");
  expect(session.length).toBe(0);
  await session.append([system, user("a")]);
  expect(session.length).toBe(encodeChat(model.tokenizer, [system, user("a")]).length);
});

test("options of the chat reach the template", async () => {
  const template =
    "{{ tools | tojson if tools }}|{{ documents | length if documents }}|{{ mood }}|{{ messages[0].content }}|{{ add_generation_prompt }}";
  using model = await load(folderOf(template).folder);
  const tools = [{ type: "function", function: { name: "look" } }];
  const options = {
    tools,
    documents: [{ text: "d" }],
    templateVariables: { mood: "calm" },
    addGenerationPrompt: false,
  };
  expect(await model.renderChat([user("hi")], options)).toBe(
    '[{"type": "function", "function": {"name": "look"}}]|1|calm|hi|False',
  );
  const generation = model.generate([user("hi")], { ...options, maxNewTokens: 1 });
  expect((await generation.result).promptTokens).toBe(encodeChat(model.tokenizer, [user("hi")], options).length);
  await failure(OptionError, () => plainModel().then((plain) => plain.renderChat([user("hi")])));
});

const plainModel = (): Promise<Model> => load(embeddedFolder({}));
