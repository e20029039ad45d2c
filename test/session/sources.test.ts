/** What a session and an answer say they have looked back at. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { load, type Message } from "../../src/entry/index.ts";
import { encodePiece } from "../../src/session/chat_keys.ts";
import { cutChat } from "../../src/session/chat_pieces.ts";
import { sourcesOf } from "../../src/session/sources.ts";
import { EMBEDDED, removeTemporary, small } from "./small.ts";
import { folderOf, TEMPLATES } from "./templates.ts";

setDefaultTimeout(120_000);
afterAll(removeTemporary);

const RECALL = { nLocal: 64, nGlobal: 16, recall: 4, recallLayers: [1, 2, 3, 4, 5] } as const;

function conversation(turns: number): Message[] {
  return Array.from({ length: 2 * turns + 1 }, (_, i) => ({
    role: i % 2 ? "assistant" : "user",
    content:
      i % 2 ? `The captain went to the harbour ${i} times.` : `Question ${i}: where did the captain go that night?`,
  }));
}

test("an answer names passages of messages beyond the window, the heaviest first; none without recall", async () => {
  const { folder } = folderOf(TEMPLATES.stop);
  using model = await load(folder, RECALL);
  const messages = conversation(14);
  const reply = model.respond(messages, { maxNewTokens: 8, temperature: 0, ignoreEos: true });
  const { sources, window } = await reply.result;
  expect(window.position).toBeGreaterThan(300);
  expect(sources.length).toBeGreaterThan(0);
  expect(sources.length).toBeLessThanOrEqual(3);
  expect(sources.map(({ weight }) => weight)).toEqual(sources.map(({ weight }) => weight).sort((a, b) => b - a));
  for (const { message, text, weight } of sources) {
    expect(weight).toBeGreaterThan(0);
    expect(weight).toBeLessThan(1);
    // The piece of a message has what the template puts around it.
    expect(text).not.toBe("");
    const content = messages[message]?.content as string;
    expect(content.includes(text) || text.includes(content.slice(0, 12)) || content.endsWith(text.slice(0, 8))).toBe(
      true,
    );
  }
  using plain = await load(folder, { nLocal: 64, nGlobal: 16 });
  expect((await plain.respond(messages, { maxNewTokens: 2 }).result).sources).toEqual([]);
});

test("passages are short, and whole characters, also where much is recalled or no space is", async () => {
  using model = await load(folderOf(TEMPLATES.stop).folder, RECALL);
  const words = "The captain went to the harbour and came back, and nobody knew why he had gone there at all. ";
  for (const content of [words.repeat(20), "這是一個很長的故事關於一個人在山中行走".repeat(12), "😀😅".repeat(60)]) {
    const messages = [{ role: "user", content }];
    const { sources } = await model.respond(messages, { maxNewTokens: 20, temperature: 0, ignoreEos: true }).result;
    for (const { text } of sources) {
      expect(text.length).toBeLessThan(500);
      expect(text).not.toContain("\ufffd");
    }
  }
});

test("what is read ahead counts once it is chosen, as if it had been read alone", async () => {
  const options = { nLocal: 32, recall: 3, recallLayers: [1], recallTokens: 100 };
  const found = [];
  for (const promptLookupNumTokens of [0, 4]) {
    using model = await small("llama-gqa-tied", options);
    const session = await model.session();
    await session.append("abc the no on ba cab the and abc ".repeat(4));
    const how = { maxNewTokens: 30, temperature: 0, ignoreEos: true, promptLookupNumTokens };
    await session.generate(undefined, how).text();
    found.push(await session.recalled());
  }
  expect(found[1]).toEqual(found[0]!);
});

test("every recalled token is in the passage that is shown for it", async () => {
  using model = await load(EMBEDDED, { threads: 1, chatStore: 0 });
  const template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";
  const property = fc.asyncProperty(fc.nat({ max: 300 }), fc.integer({ min: 3, max: 12 }), async (at, turns) => {
    const messages = conversation(turns);
    const pieces = cutChat(model.tokenizer, messages, { chatTemplate: template });
    const ids = pieces.texts.map((text, i) => encodePiece(model.tokenizer, text, i === 0));
    const position = at % ids.flat().length;
    let begin = 0;
    const piece = ids.findIndex((own) => position < (begin += own.length));
    const sources = sourcesOf(model.tokenizer, pieces, [{ position, weight: 0.5 }]);
    const message = pieces.of.lastIndexOf(piece);
    expect(sources.map((source) => [source.message, source.weight])).toEqual(message < 0 ? [] : [[message, 0.5]]);
    const shown = model.tokenizer.decode([ids.flat()[position] as number]).trim();
    if (message >= 0) expect(sources[0]?.text).toContain(shown);
  });
  await fc.assert(property, { numRuns: 60 });
});

test("a session in a worker says the same as one in place; a generation starts anew", async () => {
  const options = { nLocal: 32, recall: 3, recallLayers: [1], recallTokens: 100 };
  const found = [];
  for (const worker of [false, true]) {
    using model = await small("llama-gqa-tied", { ...options, worker });
    const session = await model.session();
    await session.append("abc the no on ba cab the and abc ".repeat(4));
    const generation = session.generate(undefined, { maxNewTokens: 5, temperature: 0, ignoreEos: true });
    await generation.text();
    const first = await session.recalled();
    expect(first.length).toBeGreaterThan(0);
    expect(first.every(({ position }) => position < session.length - 16)).toBe(true);
    await session.generate(undefined, { maxNewTokens: 0 }).text();
    expect(await session.recalled()).toEqual([]);
    found.push(first);
  }
  expect(found[0]).toEqual(found[1]!);
});
