/** Chats without end: whatever was read before, an answer is that of a fresh session, and only what is new is read. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { ModelError, OptionError } from "../../src/base/errors.ts";
import {
  type Chat,
  type ChatStore,
  ContextLengthError,
  load,
  type Message,
  type Model,
  type Reply,
} from "../../src/entry/index.ts";
import { encodePiece } from "../../src/session/chat_keys.ts";
import { cutChat, pinnedTokens } from "../../src/session/chat_pieces.ts";
import { MemoryStore } from "../../src/session/chat_store.ts";
import { encodeChat } from "../../src/tokenizer/chat.ts";
import { MODELS } from "../setup.ts";
import { EMBEDDED, embeddedFolder, failure, freeSlots, removeTemporary } from "./small.ts";
import { folderOf, TEMPLATES } from "./templates.ts";

setDefaultTimeout(120_000);
afterAll(removeTemporary);

/** A store that keeps nothing: every answer is read from the first token on. */
const NOTHING: ChatStore = { latest: async () => undefined, put() {} };
/** A template that drops what is between <| and |> from earlier answers, as those of reasoning models do. */
const REWRITING = `{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' and not loop.last %}{{ m.content.split(' ')[-1] }}{% else %}{{ m.content }}{% endif %}<|end|>
{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}`;
/** That of the embedded models: between turns are a quote and two line ends, which meet in tokens. */
const NOVEL = readFileSync(join(MODELS, "recipe/chat_template.jinja"), "utf8");
/** Answers that differ with what was read, quickly. */
const BRIEF = { maxNewTokens: 6, temperature: 2, topK: 0 } as const;

const user = (content: string): Message => ({ role: "user", content });

async function ended(reply: Reply) {
  await reply.text();
  return reply.result;
}

/**
 * A fresh session's answer to messages, by another model of the same engine: it reads the tokens of the whole text at once, and
 * turns start where the texts of the user's messages do.
 */
async function fresh(model: Model, messages: readonly Message[], seed: number) {
  const reply = model.respond(messages, { ...BRIEF, seed });
  const result = await ended(reply);
  const ids = encodeChat(model.tokenizer, messages);
  const { texts, of } = cutChat(model.tokenizer, messages, {});
  const starts = of
    .filter((_, i) => messages[i]!.role === "user")
    .map((piece) => {
      const before = texts.slice(0, piece).flatMap((text, i) => encodePiece(model.tokenizer, text, i === 0));
      expect(ids.slice(0, before.length)).toEqual(before);
      return before.length;
    });
  // The system turn stays, or what the template starts with, and no less than Λ's ten tokens.
  const nGlobal = Math.min(40, Math.max(10, pinnedTokens(model.tokenizer, messages, {})));
  using session = await model.session({ nGlobal });
  await session.append(ids, { turnStarts: [...new Set(starts)] });
  const generation = session.generate(undefined, { ...BRIEF, seed });
  await generation.text();
  const { logitsHash } = await generation.result;
  expect(result.usage).toMatchObject({ promptTokens: ids.length, cachedTokens: 0 });
  // A stop string of the template may end the answer sooner.
  if (result.finishReason === "length") expect(result.logitsHash).toBe(logitsHash);
  return result;
}

const word = fc.constantFrom("Why?", "Good evening.", "user", "And\n\nthen?", "a", " Where is he? ", "<|end|>", "é😀");
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("send" as const), text: word }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("regenerate" as const), text: word }) },
  fc.record({ kind: fc.constant("edit" as const), text: word, at: fc.nat() }),
  fc.record({
    kind: fc.constantFrom("undo" as const, "fork" as const, "save" as const, "system" as const),
    text: word,
  }),
);

describe.each(Object.entries({ ...TEMPLATES, rewriting: REWRITING, novel: NOVEL }))(
  "the template %s",
  (_, template) => {
    test("lives of a chat answer as fresh sessions do, in and beyond the window", async () => {
      const { folder } = folderOf(template);
      const options = { nLocal: 48, nGlobal: 40 };
      using model = await load(folder, options);
      using other = await load(folder, { ...options, chatStore: NOTHING });
      const life = fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 10 }), async (steps) => {
        let chat: Chat = model.chat({ ...BRIEF, messages: [user("Hello.")] });
        for (const [seed, { kind, text, ...rest }] of steps.entries()) {
          const answers = kind === "send" || kind === "regenerate";
          if (kind === "edit") {
            const { at } = rest as { at: number };
            chat.edit(at % chat.messages.length, text);
          }
          if (kind === "undo" && chat.messages.length > 2) expect(chat.undo()).toMatchObject({ role: "user" });
          if (kind === "system") chat.setSystem(text);
          if (kind === "fork") chat = chat.fork();
          if (kind === "save") chat = model.restoreChat(await chat.save(), BRIEF);
          if (!answers || chat.messages.every(({ role }) => role === "system")) continue;
          const result = await ended(kind === "send" ? chat.send(text, { seed }) : chat.regenerate({ seed }));
          const asked = chat.messages.slice(0, -1);
          expect(chat.messages.at(-1)).toEqual({ role: "assistant", content: result.text });
          const { text: expected, logitsHash, usage } = await fresh(other, asked, seed);
          if (seed % 3 === 0) {
            const beside = await Array.fromAsync(other.respond(asked, { ...BRIEF, seed, topLogprobs: 2 }).tokens());
            expect(beside.map((token) => token.text).join("")).toBe(expected);
            expect(beside.every(({ top }) => top?.length === 2)).toBe(true);
          }
          expect(result).toMatchObject({ text: expected, logitsHash });
          expect(result.usage.promptTokens).toBe(usage.promptTokens);
        }
      });
      await fc.assert(life, { numRuns: 3 });
      expect(await freeSlots(model)).toBe(16);
    });
  },
);

test("200 turns: constant memory and states, only new turns are read, by a chat and by a client that resends all", async () => {
  const states: number[] = [];
  const store = new MemoryStore(2 ** 24);
  const spy: ChatStore = {
    latest: (keys) => store.latest(keys),
    put(key, state) {
      states.push(state.length);
      store.put(key, state);
    },
  };
  using model = await load(folderOf(TEMPLATES.stop).folder, { nLocal: 64, nGlobal: 16, chatStore: spy });
  const chat = model.chat({ system: "Be brief.", ...BRIEF });
  const resent: Message[] = [{ role: "system", content: "Be brief." }];
  let memory = 0;
  for (let turn = 0; turn < 200; turn++) {
    const question = `Question ${turn}: where is the captain?`;
    const { usage, window } = await ended(chat.send(question, { seed: turn }));
    const fresh = usage.promptTokens - usage.cachedTokens;
    if (turn > 0) expect(fresh).toBeLessThan(48);
    expect(window.position).toBe(usage.promptTokens + usage.completionTokens);
    resent.push(user(question));
    const content = chat.messages.at(-1)?.content as string;
    if (turn % 5 === 0) {
      const again = await ended(model.respond(resent, { ...BRIEF, seed: turn }));
      expect(again.text).toBe(content);
      expect(again.usage.cachedTokens).toBeGreaterThanOrEqual(usage.cachedTokens);
    }
    resent.push({ role: "assistant", content });
    if (turn === 2) memory = await model.memory();
  }
  expect(chat.window?.position).toBeGreaterThan(10 * 64);
  expect(chat.window?.unseen).toBeGreaterThan(390);
  expect(chat.window?.unseen).toBeLessThan(401);
  expect(await model.memory()).toBe(memory);
  expect(new Set(states).size).toBe(1);
  expect(store.bytes).toBeLessThanOrEqual(2 ** 24);
});

describe("the window", () => {
  const long = "Remember that the captain came home late, and that nobody may know of it. ".repeat(3);

  test("a system turn that would leave it is refused with both numbers, before anything is read", async () => {
    using model = await load(EMBEDDED, { nLocal: 128, nGlobal: 4 });
    const chat = model.chat({ system: long });
    expect((await ended(chat.send("Who?", { maxNewTokens: 5 }))).window.unseen).toBe(0);
    const asked = chat.send("And then? ".repeat(40), { maxNewTokens: 5 });
    const error = (await failure(ContextLengthError, () => asked.text())) as ContextLengthError;
    expect(error.message).toMatch(/nGlobal \(4\) .*window of 128, found \d\d/);
    expect(error).toMatchObject({ code: "context_length_exceeded", limit: 4 });
    expect(chat.messages).toHaveLength(3);
    using wide = await load(EMBEDDED, { nLocal: 128, nGlobal: error.tokens });
    await wide.respond([...chat.messages, user("And then? ".repeat(40))], { maxNewTokens: 5 }).text();
  });

  test("truncation disabled: an answer ends where it is full, longer messages are refused", async () => {
    using model = await load(EMBEDDED, { nLocal: 64 });
    const bounded = { truncation: "disabled", stopStrings: [], chatTemplate: "{{ messages[0].content }}" } as const;
    const { window, finishReason, usage } = await ended(
      model.respond([user("It was late in the evening.")], { ...bounded, ignoreEos: true }),
    );
    expect({ finishReason, position: window.position }).toEqual({ finishReason: "length", position: 64 });
    expect(usage.promptTokens + usage.completionTokens).toBe(64);
    const error = await failure(ContextLengthError, () => model.respond([user(long.repeat(3))], bounded).text());
    expect(error.message).toMatch(
      /^messages: expected less than the 64 tokens of the window under lambda attention, found/,
    );
    await failure(OptionError, () => model.respond([user("a")], { truncation: "some" as "auto" }).text());
  });

  test("a policy that forgets nothing refuses what is longer", async () => {
    using model = await load(EMBEDDED, { attention: "full", maxPositions: 64 });
    await failure(ContextLengthError, () => model.respond([user(long.repeat(3))]).text());
  });
});

describe("states", () => {
  test("a system turn is read once for all chats, and regenerating reads only the start of the answer", async () => {
    using model = await load(EMBEDDED, { nGlobal: 64 });
    const system = "The captain and his sister sat in the small room over the shop, and spoke of the sea.";
    const one = model.chat({ system, ...BRIEF });
    const first = await ended(one.send("Who are you?"));
    expect(first.usage.cachedTokens).toBe(0);
    const again = await ended(one.regenerate());
    expect(again.seed).not.toBe(first.seed);
    expect(again.usage.promptTokens - again.usage.cachedTokens).toBeLessThan(4);
    const other = await ended(model.chat({ system, ...BRIEF }).send("Where do you live?"));
    expect(other.usage.cachedTokens).toBeGreaterThan(15);
    // Not those of another system turn.
    const third = await ended(model.chat({ system: `${system} And`, ...BRIEF }).send("Where do you live?"));
    expect(third.usage.cachedTokens).toBe(0);
  });

  test("an answer that its text encodes to is not read again, whether it stopped or was full", async () => {
    using model = await load(folderOf(TEMPLATES.stop).folder);
    for (const maxNewTokens of [3, 1000]) {
      const chat = model.chat({ maxNewTokens, topK: 1 });
      const one = await ended(chat.send("Who is there?"));
      const stopped = one.finishReason === "stop" ? 1 : 0;
      expect(stopped).toBe(maxNewTokens === 3 ? 0 : 1);
      const { usage } = await ended(chat.send("Why?"));
      expect(usage.cachedTokens).toBe(one.usage.promptTokens + one.usage.completionTokens - stopped);
    }
  });

  test("without `store` nothing is kept; a store that is full forgets the oldest", async () => {
    const store = new MemoryStore(0);
    using model = await load(EMBEDDED, { chatStore: store });
    await model.respond([user("Who?")], { ...BRIEF, store: false }).text();
    expect(store.bytes).toBe(0);
    const chat = model.chat(BRIEF);
    for (const question of ["Who?", "Why?", "Where?"]) await chat.send(question).text();
    const { length } = await (await model.session()).snapshot();
    expect(store.bytes).toBeLessThan(2.1 * length);
    expect((await ended(chat.send("When?"))).usage.cachedTokens).toBeGreaterThan(40);
  });

  test("a damaged state is as good as none", async () => {
    const damaged: ChatStore = { latest: async () => [0, new Uint8Array(100)], put() {} };
    using model = await load(EMBEDDED, { chatStore: damaged });
    expect((await ended(model.respond([user("Who?")], BRIEF))).usage.cachedTokens).toBe(0);
    await failure(OptionError, () => load(EMBEDDED, { chatStore: "much" as unknown as number }));
  });

  test("a saved chat goes on elsewhere without reading again; its state is of constant size", async () => {
    const { folder } = folderOf(TEMPLATES.stop);
    const chatStore = new MemoryStore(0);
    let bytes: Uint8Array;
    let size = 0;
    {
      using model = await load(folder, { chatStore });
      const chat = model.chat({ ...BRIEF, templateVariables: { enable_thinking: false } });
      await chat.send("Who?", { seed: 1 }).text();
      size = (await chat.save()).length - JSON.stringify(chat.messages).length;
      await chat.send("Why?", { seed: 1 }).text();
      bytes = await chat.save();
      expect(bytes.length - JSON.stringify(chat.messages).length - size).toBeLessThan(64);
    }
    using model = await load(folder);
    const chat = model.restoreChat(bytes, BRIEF);
    expect(chat.messages).toHaveLength(4);
    const { usage } = await ended(chat.send("Where?"));
    expect(usage.cachedTokens).toBeGreaterThan(15);
    for (const wrong of [bytes.slice(0, 50), bytes.slice(0, -8), new Uint8Array(9)])
      await failure(ModelError, () => model.restoreChat(wrong));
    await failure(OptionError, () => model.restoreChat("x" as unknown as Uint8Array));
  });
});

describe("a chat", () => {
  test("takes one answer at a time, keeps what an aborted one said, and is as before where none began", async () => {
    using model = await load(EMBEDDED);
    const chat = model.chat({ ignoreEos: true });
    const reply = chat.send("Who?");
    expect(chat.messages).toEqual([]);
    let said = "";
    for await (const piece of reply) {
      said += piece;
      expect((await failure(OptionError, () => chat.send("Why?").text())).message).toBe(
        "the chat is busy: it takes one call at a time",
      );
      await failure(OptionError, () => chat.undo());
      if (said.length > 10) break;
    }
    expect(chat.messages).toEqual([user("Who?"), { role: "assistant", content: said }]);
    expect((await reply.result).finishReason).toBe("abort");
    const { finishReason } = await chat.send("Why?", { signal: AbortSignal.abort() }).result;
    expect({ finishReason, turns: chat.messages.length }).toEqual({ finishReason: "abort", turns: 2 });
    expect(await freeSlots(model)).toBe(16);
  });

  test("refuses what it cannot do, by name", async () => {
    using model = await load(EMBEDDED);
    const chat = model.chat({ system: "Night." });
    await failure(OptionError, () => chat.regenerate().text());
    await failure(OptionError, () => chat.edit(1, "x"));
    expect(chat.undo()).toBeUndefined();
    await failure(OptionError, () => model.chat({ messages: "x" as unknown as Message[] }));
    await failure(OptionError, () => chat.send(3 as unknown as string).text());
    await failure(OptionError, () => model.respond([]).text());
    using bare = await load(embeddedFolder({}));
    expect((await failure(OptionError, () => bare.respond([user("x")]).text())).message).toMatch(
      /has no chat template/,
    );
    expect(await freeSlots(model)).toBe(16);
  });

  test("runs over an engine in a worker", async () => {
    using model = await load(EMBEDDED);
    using other = await load(EMBEDDED, { worker: true });
    const texts = [model, other].map(async (model) => {
      const chat = model.chat({ seed: 5 });
      return [await chat.send("Who?").text(), await chat.send("Why?").text(), chat.window];
    });
    const [one, two] = await Promise.all(texts);
    expect(one).toEqual(two as typeof one & object);
  });
});

test("the embedded models talk as in a novel: an answer ends where the other would speak", async () => {
  for (const name of ["lambent-llama-5m", "lambent-gptj-6m", "lambent-mpt-5m"]) {
    using model = await load(join(MODELS, name));
    expect(model.tokenizer.chatTemplate).toBe(NOVEL);
    const chat = model.chat({ seed: 2 });
    for (const question of ["Good evening.", "Where have you been?"]) {
      const { finishReason, text } = await ended(chat.send(question));
      expect(finishReason).toBe("stop");
      expect(text).not.toMatch(/"|\n\n/);
    }
    const parts = [{ type: "text", text: "A" }, { type: "image" }, { type: "text", text: "B" }];
    const messages = [
      { role: "developer", content: "Night." },
      { role: "user", content: parts },
    ];
    expect(await model.renderChat(messages)).toBe('<|endoftext|>Night.\n\n"AB"\n\n"');
  }
});

test("an answer that has a form ends with it, not where the template would end it", async () => {
  using model = await load(EMBEDDED, { threads: 1 });
  const text = '{"say":\n\n"no"}';
  const responseFormat = { type: "grammar", grammar: `root ::= ${JSON.stringify(text)}` } as const;
  const result = await ended(model.respond([user("Who?")], { responseFormat }));
  expect(result).toMatchObject({ text, finishReason: "stop" });
});
