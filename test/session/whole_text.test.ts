/** Prompt and generated text together are the decoded whole, under every kind of decoder; special tokens in texts and stops. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type GeneratedToken, type GenerateOptions, load, type Model } from "../../src/entry/index.ts";
import { fieldsOf, put, snapshotOf } from "./forge.ts";
import { BOS, EOS, removeTemporary, smallFolder, WILD } from "./small.ts";

setDefaultTimeout(60_000);
afterAll(removeTemporary);

const OPTIONS: GenerateOptions = { ...WILD, maxNewTokens: 30, ignoreEos: true };

/** SentencePiece's pieces, as Llama's tokenizer.json has them: words with ▁, then bytes. */
const PIECES = [
  ...["<pad>", "<s>", "</s>", "▁", "▁a", "▁the", "▁ab", "▁no", "a", "b", "c", "d", "e", "n", "o", "the", "."],
  ...Array.from({ length: 43 }, (_, i) => `<0x${(i < 20 ? 0x61 + i : 0x80 + 3 * i).toString(16).toUpperCase()}>`),
];
const spaces = { type: "Replace", pattern: { String: "▁" }, content: " " };
const LLAMA = {
  model: {
    type: "BPE",
    vocab: Object.fromEntries(PIECES.map((piece, id) => [piece, id])),
    merges: [],
    byte_fallback: true,
  },
  normalizer: null,
  pre_tokenizer: null,
  decoder: {
    type: "Sequence",
    decoders: [spaces, { type: "ByteFallback" }, { type: "Fuse" }, { type: "Strip", content: " ", start: 1, stop: 0 }],
  },
};
const METASPACE = {
  ...LLAMA,
  decoder: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: false },
};
const NO_DECODER = { ...LLAMA, decoder: null };

async function opened(tokenizer: object, options: object = {}): Promise<Model> {
  const folder = smallFolder("llama-gqa-tied");
  const path = join(folder, "tokenizer.json");
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), ...tokenizer }));
  return load(folder, { nLocal: 8, nGlobal: 3, ...options });
}

async function tokensOf(generation: { tokens(): AsyncIterable<GeneratedToken> }) {
  const tokens: GeneratedToken[] = [];
  for await (const token of generation.tokens()) tokens.push(token);
  return { ids: tokens.map(({ id }) => id), text: tokens.map(({ text }) => text).join("") };
}

describe.each(Object.entries({ LLAMA, METASPACE, NO_DECODER, bytes: {} }))("with the decoder %s", (_, tokenizer) => {
  const prompts = [[BOS, 5], [BOS], [5], [3, 4, 5], [BOS, 8, 20]];

  test.each(prompts.map((prompt) => ({ prompt })))("a continuation of $prompt", async ({ prompt }) => {
    const model = await opened(tokenizer);
    const decode = (ids: readonly number[]) => model.tokenizer.decode(ids);
    for (let seed = 0; seed < 5; seed++) {
      const { ids, text } = await tokensOf(model.generate(prompt, { ...OPTIONS, seed }));
      // Behind an unfinished character the whole has U+FFFD elsewhere.
      if (!decode([...prompt, ...ids]).startsWith(decode(prompt))) continue;
      expect(decode(prompt) + text).toBe(decode([...prompt, ...ids]));
      using session = await model.session({ seed });
      await session.append(prompt);
      using moved = await model.restore(await session.snapshot());
      using fork = await moved.fork();
      expect((await tokensOf(fork.generate(undefined, OPTIONS))).text).toBe(
        (await tokensOf(session.generate(undefined, OPTIONS))).text,
      );
      let one = "";
      for (let i = 0; i < 30; i++) one += (await moved.next(OPTIONS)).text;
      expect(text).toStartWith(one);
      expect(one.length).toBeGreaterThan(text.length - 4);
    }
  });
});

test("a first space is kept behind a prompt, and stripped where there is none", async () => {
  const model = await opened(LLAMA);
  const seen = new Set<string>();
  for (let seed = 0; seed < 60; seed++) {
    const { ids, text } = await tokensOf(model.generate([BOS, 5], { ...OPTIONS, seed, maxNewTokens: 1 }));
    if (PIECES[ids[0] as number]?.startsWith("▁")) seen.add(text);
  }
  expect(seen.size).toBeGreaterThan(1);
  for (const text of seen) expect(text).toStartWith(" ");
});

test("snapshots of the first release, which know nothing of the prompt's text, keep the space too", async () => {
  const model = await opened(LLAMA);
  for (let seed = 0; seed < 20; seed++) {
    const options = { ...OPTIONS, seed };
    using session = await model.session({ seed });
    await session.append([BOS, 5]);
    const added = ["text_whole_tail", "text_hidden", "text_turn"];
    const fields = fieldsOf(await session.snapshot()).filter(({ name }) => !added.includes(name));
    const old = fields.map((field) => (field.name === "text_stream" ? put(0, -1)(field) : field));
    using restored = await model.restore(await snapshotOf(old));
    expect(await restored.generate(undefined, options).text()).toBe(await session.generate(undefined, options).text());
  }
});

describe("special tokens", () => {
  test("are shown where they are not skipped, stop tokens too", async () => {
    const model = await opened({});
    for (let seed = 0; seed < 8; seed++) {
      const options = { ...OPTIONS, seed, maxNewTokens: 100 };
      const plain = await tokensOf(model.generate([BOS, 20], options));
      const shown = await tokensOf(model.generate([BOS, 20], { ...options, skipSpecialTokens: false }));
      expect(shown.ids).toEqual(plain.ids);
      expect(shown.text).toBe(model.tokenizer.decode(plain.ids, { skipSpecialTokens: false }));
      expect(plain.text).toBe(model.tokenizer.decode(plain.ids));
      const ended = { ...options, ignoreEos: false, skipSpecialTokens: false, maxNewTokens: 3000 };
      const { ids, text } = await tokensOf(model.generate([BOS, 20], ended));
      expect(ids.at(-1)).toBe(EOS);
      expect(text).toEndWith("</s>");
    }
  });

  test("end a text as stop strings, alone and with text before them, and are not shown", async () => {
    const model = await opened({});
    for (let seed = 0; seed < 8; seed++) {
      const options = { ...OPTIONS, seed, maxNewTokens: 300 };
      const free = await tokensOf(model.generate([BOS, 20], options));
      const at = free.ids.indexOf(EOS, 2);
      const before = model.tokenizer.decode(free.ids.slice(0, at));
      for (const length of [0, 1, 2]) {
        const stop = `${model.tokenizer.decode(free.ids.slice(at - length, at), { skipSpecialTokens: false })}</s>`;
        if (stop.includes("\ufffd")) continue;
        const generation = model.generate([BOS, 20], { ...options, stopStrings: [stop] });
        const { ids, text } = await tokensOf(generation);
        const { finishReason } = await generation.result;
        expect({ finishReason, last: ids.at(-1) }).toEqual({ finishReason: "stop", last: EOS });
        if (ids.length === at + 1) expect(before).toStartWith(text);
        expect(text).not.toContain("</s>");
      }
    }
  });
});
