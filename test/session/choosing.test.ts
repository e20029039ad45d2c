/** What tokens are chosen by reaches the engine once, in place and in a worker, from options and from the file. */
import { afterAll, describe, expect, test } from "bun:test";
import { OptionError } from "../../src/base/errors.ts";
import { type GenerateOptions, load, type Model } from "../../src/entry/index.ts";
import { resolveSettings } from "../../src/session/settings.ts";
import { BOS, EMBEDDED, failure, removeTemporary, smallFolder } from "./small.ts";

afterAll(removeTemporary);

const PROMPT = [BOS, 20, 34, 7, 9];
const VOCAB = 61;
const open = (file: object = {}, worker = false) => {
  return load(smallFolder("llama-gqa-tied", file), { nLocal: 32, nGlobal: 3, worker });
};

async function idsOf(model: Model, options: GenerateOptions): Promise<number[]> {
  const ids: number[] = [];
  const generation = model.generate(PROMPT, { maxNewTokens: 16, ignoreEos: true, ...options });
  for await (const { id } of generation.tokens()) ids.push(id);
  return ids;
}

test("a text of badWords comes neither at the start of a text, nor inside of a word, nor behind a space", async () => {
  using model = await load(EMBEDDED);
  const options = { maxNewTokens: 60, temperature: 0, ignoreEos: true };
  const plain = await model.generate("The letter lay unopened on the", options).text();
  for (const word of plain.split(" ").slice(1, 8)) {
    expect(` ${plain} `).toContain(` ${word} `);
    const text = await model.generate("The letter lay unopened on the", { ...options, badWords: [word] }).text();
    expect(` ${text} `).not.toContain(` ${word} `);
  }
  const ids = (text: string) => model.tokenizer.encode(text, { addSpecialTokens: false });
  const { badWordsIds } = resolveSettings({ badWords: ["she"] }, {}, {}, model.tokenizer);
  expect(badWordsIds).toContainEqual(ids("she"));
  expect(badWordsIds).toContainEqual(ids(" she"));
});

test("a tokenizer that puts a space before texts has a word without one, too", () => {
  // As Llama's: a space is "_", and every text begins with one.
  const encode = (text: string) =>
    `_${text.replaceAll(" ", "_")}`.match(/_?[a-z]+|\n|_/g)?.map((piece) => PIECES.indexOf(piece)) ?? [];
  const PIECES = ["_", "\n", "_cat", "cat"];
  const { badWordsIds } = resolveSettings({ badWords: ["cat"] }, {}, {}, { encode });
  expect(badWordsIds).toEqual([[2], [3], [0, 2]]);
});

const pairs = (ids: readonly number[]) => ids.slice(1).map((id, i) => `${ids[i]} ${id}`);

describe.each([false, true])("worker: %p", (worker) => {
  test("options and the file say the same", async () => {
    using model = await open({}, worker);
    const [a, b] = (await idsOf(model, {})) as [number, number];
    const cases: [GenerateOptions, object, (ids: number[]) => boolean][] = [
      [{ suppressTokens: [a] }, { suppress_tokens: [a] }, (ids) => !ids.includes(a)],
      [{ logitBias: { [b]: 100 } }, { sequence_bias: [[[b], 100]] }, (ids) => ids.every((id) => id === b)],
      [{ badWords: [[a, b]] }, { bad_words_ids: [[a, b]] }, (ids) => !pairs(ids).includes(`${a} ${b}`)],
      [{ noRepeatNgramSize: 2 }, { no_repeat_ngram_size: 2 }, (ids) => new Set(pairs([...PROMPT, ...ids])).size === 20],
      [{ repetitionPenalty: 1.5 }, { repetition_penalty: 1.5 }, () => true],
    ];
    for (const [options, file, obeyed] of cases) {
      using other = await open(file, worker);
      const ids = await idsOf(model, options);
      expect(ids).toHaveLength(16);
      expect(obeyed(ids)).toBe(true);
      expect(await idsOf(other, {})).toEqual(ids);
    }
  });

  test("tokens are counted from the generation's start, whatever the session held", async () => {
    using model = await open({ begin_suppress_tokens: [] }, worker);
    using session = await model.session();
    await session.append(PROMPT);
    const stop = (await session.fork().then((fork) => fork.next())).id;
    using patient = await open({ eos_token_id: stop, min_new_tokens: 4, begin_suppress_tokens: [5] }, worker);
    for (const before of [[], [BOS, 3, 3, 3, 8]]) {
      using text = await patient.session();
      await text.append(before);
      const generation = text.generate(PROMPT, { maxNewTokens: 30, logitBias: { 5: 100, [stop]: 90 } });
      const ids: number[] = [];
      for await (const { id } of generation.tokens()) ids.push(id);
      expect(ids[0]).not.toBe(5); // begin_suppress_tokens
      expect(ids.slice(1)).toEqual(new Array(29).fill(5));
      const short: number[] = [];
      for await (const { id } of text.generate([7], { logitBias: { [stop]: 90 } }).tokens()) short.push(id);
      expect(short).toHaveLength(5); // four that are no stop token, and the stop token
      expect(short.indexOf(stop)).toBe(4);
    }
  });

  test("the last token is forced", async () => {
    using model = await open({ forced_eos_token_id: 11 }, worker);
    const ids = await idsOf(model, { maxNewTokens: 3, logitBias: { 11: -100 } });
    expect(ids.indexOf(11)).toBe(2);
  });

  test("single tokens are chosen with options too, each by its own", async () => {
    using model = await open({ min_new_tokens: 50, forced_eos_token_id: 11, eos_token_id: 4 }, worker);
    using session = await model.session();
    await session.append(PROMPT);
    expect((await session.next({ logitBias: { 8: 100 } })).id).toBe(8);
    expect((await session.next({ logitBias: [[9, 100]] })).id).toBe(9);
    expect((await session.next({ logitBias: [[9, 100]], noRepeatNgramSize: 1 })).id).not.toBe(9);
    expect((await session.next({ logitBias: { 4: 100 } })).id).toBe(4); // a stop token like any other
    expect((await session.next({ logitBias: { 8: 100, 9: 90 }, suppressTokens: [8] })).id).toBe(9);
  });

  test("where every token is forbidden, the session says so and can go on", async () => {
    using model = await open({}, worker);
    using session = await model.session();
    await session.append(PROMPT);
    const suppressTokens = Array.from({ length: VOCAB }, (_, id) => id);
    const message = "next token: expected one that may be chosen, found none, as all are forbidden";
    expect((await failure(OptionError, () => session.next({ suppressTokens }))).message).toBe(message);
    const generation = session.generate(undefined, { suppressTokens });
    expect((await failure(OptionError, () => generation.text())).message).toBe(message);
    expect(session.length).toBe(5);
    expect((await session.next({ suppressTokens: suppressTokens.slice(1) })).id).toBe(0);
  });

  test("ids that the model does not have are refused by name", async () => {
    using model = await open({}, worker);
    for (const options of [{ suppressTokens: [VOCAB] }, { badWords: [[VOCAB]] }, { logitBias: { [VOCAB]: 1 } }]) {
      const { message } = await failure(OptionError, () => idsOf(model, options));
      expect(message).toStartWith(`${Object.keys(options)[0]}: expected `);
    }
  });
});
