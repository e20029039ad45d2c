/** What generation_config.json says of choosing tokens is taken as transformers takes it, refused by name, or told. */
import { afterAll, describe, expect, test } from "bun:test";
import { ModelError, OptionError } from "../../src/base/errors.ts";
import { type GenerateOptions, load } from "../../src/entry/index.ts";
import { resolveSettings, withoutEnds, withPrompt } from "../../src/session/settings.ts";
import { BOS, failure, removeTemporary, small, smallFolder } from "./small.ts";

afterAll(removeTemporary);

type Json = Record<string, unknown>;
const CONFIG = { vocab_size: 61 };
const resolve = (file: Json, options: GenerateOptions = {}) => resolveSettings(options, CONFIG, file);
const message = async (file: Json, options: GenerateOptions = {}) => {
  return (await failure(ModelError, () => resolve(file, options))).message;
};

describe("a key is taken as transformers takes it", () => {
  const taken: [Json, Json][] = [
    [{ suppress_tokens: [3, 4] }, { suppressTokens: [3, 4] }],
    [{ suppress_tokens: [-1, 900] }, { suppressTokens: [-1, 900] }], // ids of no token count for nothing
    [{ begin_suppress_tokens: [3] }, { beginSuppressTokens: [3] }],
    [{ bad_words_ids: [[3, 4], [5]] }, { badWordsIds: [[3, 4], [5]] }],
    [{ bad_words_ids: [[3], [5]], eos_token_id: [3] }, { badWordsIds: [[5]] }],
    [{ bad_words_ids: [[3]], eos_token_id: 3 }, { badWordsIds: undefined }],
    [{ no_repeat_ngram_size: 3 }, { noRepeatNgramSize: 3 }],
    [{ no_repeat_ngram_size: 0 }, { noRepeatNgramSize: undefined }],
    [{ no_repeat_ngram_size: -1 }, { noRepeatNgramSize: undefined }],
    [{ encoder_no_repeat_ngram_size: 2 }, { encoderNoRepeatNgramSize: 2 }],
    [{ encoder_repetition_penalty: 1.5 }, { encoderRepetitionPenalty: 1.5 }],
    [{ encoder_repetition_penalty: 1 }, { encoderRepetitionPenalty: undefined }],
    [{ min_length: 9 }, { minLength: 9 }],
    [
      { min_length: 9, min_new_tokens: 4 },
      { minLength: undefined, minNewTokens: 4 },
    ],
    [{ forced_bos_token_id: 7 }, { forcedBosTokenId: 7 }],
    [{ forced_eos_token_id: 7 }, { forcedEosTokenId: [7] }],
    [{ forced_eos_token_id: [7, 8] }, { forcedEosTokenId: [7, 8] }],
    [{ exponential_decay_length_penalty: [5, 1.2] }, { exponentialDecayLengthPenalty: [5, 1.2] }],
    [{ remove_invalid_values: true }, { removeInvalidValues: true }],
    [
      { max_new_tokens: 5, max_length: 9 },
      { maxNewTokens: 5, maxLength: undefined },
    ],
    [{ max_length: 9 }, { maxLength: { tokens: 9, file: "generation_config.json" } }],
    [{ max_time: 2.5 }, { maxTime: 2.5 }],
    [
      {
        sequence_bias: [
          [[3, 4], -2],
          [[5], 1.5],
          [[3, 4], 7],
        ],
      }, // the last of equals, single tokens first
      {
        sequenceBias: [
          [[5], 1.5],
          [[3, 4], 7],
        ] as unknown as Json,
      },
    ],
  ];
  test.each(taken)("%j", (file, expected) => expect(resolve(file)).toMatchObject(expected));

  const sampled: [Json, Json][] = [
    [{ top_k: 0 }, { topK: 0 }],
    [{ top_k: 20.0 }, { topK: 20 }],
    [{ top_p: 1.5 }, { topP: 1 }],
    [{ top_p: 0 }, { topP: Number.MIN_VALUE }], // the most likely token alone
    [{ typical_p: 1 }, { typicalP: undefined }],
    [{ typical_p: 0.9 }, { typicalP: 0.9 }],
    [{ top_h: 0.4 }, { topH: 0.4 }],
    [{ epsilon_cutoff: 0 }, { epsilonCutoff: undefined }],
    [
      { epsilon_cutoff: 1e-3, eta_cutoff: 2e-3 },
      { epsilonCutoff: 1e-3, etaCutoff: 2e-3 },
    ],
    [{ eta_cutoff: 1 }, { etaCutoff: undefined }],
  ];
  test.each(sampled)("sampling, %j", (file, expected) => {
    expect(resolve({ do_sample: true, ...file })).toMatchObject(expected);
  });
});

test("what greedy choice does not use may say anything", () => {
  const unused = { temperature: -1, top_k: -1, top_p: -3, min_p: 7, typical_p: 0, top_h: 9, epsilon_cutoff: "a" };
  expect(resolve({ do_sample: false, ...unused }).doSample).toBe(false);
  expect(resolve({ do_sample: true, ...unused }, { temperature: 0 }).doSample).toBe(false);
});

describe("what is used and wrong is refused, and the file is named", () => {
  const wrong: [string, unknown[]][] = [
    ["temperature", [-1, "warm"]],
    ["top_k", [-1, 2.5, "5"]],
    ["top_p", [-0.1]],
    ["min_p", [-0.1, 1.1]],
    ["typical_p", [0, -1]],
    ["top_h", [0, 1.1]],
    ["epsilon_cutoff", ["a"]],
    ["repetition_penalty", [0, -1, "2"]],
    ["encoder_repetition_penalty", [0]],
    ["no_repeat_ngram_size", [1.5, "2"]],
    ["min_length", [1.5]],
    ["min_new_tokens", [1.5, "2"]],
    ["max_new_tokens", [-2, 1.5]],
    ["max_length", [-1, 2.5]],
    ["suppress_tokens", [5, ["a"], [1.5]]],
    ["begin_suppress_tokens", [5]],
    ["bad_words_ids", [5, [5], [[]], [["a"]], [[61]], [[-1]]]],
    ["sequence_bias", [{ "(5,)": 1 }, [[5, 1]], [[[5], "1"]], [[[], 1]], [[[61], 1]], [[[5]]]]],
    ["forced_bos_token_id", [61, -1, "a"]],
    ["forced_eos_token_id", [61, [5, -1]]],
    ["exponential_decay_length_penalty", [5, [5], [1.5, 2], [1, "2"]]],
    ["remove_invalid_values", ["yes"]],
    ["stop_strings", [[5], "", ["a", ""], ["x".repeat(257)], ["\ud800"]]],
    ["eos_token_id", ["2"]],
  ];
  test.each(wrong)("%s", async (key, values) => {
    for (const value of values) {
      expect(await message({ do_sample: true, [key]: value })).toStartWith(`generation_config.json: ${key}: expected `);
    }
  });

  test("a token that is both forced and forbidden", async () => {
    const expected = "expected one that suppress_tokens does not forbid, found [3]";
    for (const key of ["forced_bos_token_id", "forced_eos_token_id"]) {
      expect(await message({ [key]: 3, suppress_tokens: [3, 4] })).toBe(`generation_config.json: ${key}: ${expected}`);
    }
    expect(resolve({ forced_eos_token_id: [3, 5], suppress_tokens: [3] }).forcedEosTokenId).toEqual([3, 5]);
  });
});

test("where there is no generation_config.json, config.json says, and is named", async () => {
  const config = { ...CONFIG, do_sample: true, top_k: 7, max_length: 30, num_beams: 4 };
  expect(resolveSettings({}, config, {})).toMatchObject({ doSample: true, topK: 7 });
  expect(resolveSettings({}, config, { top_p: 1 })).toMatchObject({ doSample: false, topK: 50 });
  const { message } = await failure(ModelError, () => resolveSettings({}, { ...config, top_k: -1 }, {}));
  expect(message).toStartWith("config.json: top_k: expected ");
  const { message: late } = await failure(ModelError, () => withPrompt(resolveSettings({}, config, {}), 30));
  expect(late).toStartWith("config.json: max_length: expected ");
});

test("max_length counts the prompt, unless something says maxNewTokens", async () => {
  const { maxNewTokens } = withPrompt(resolve({ max_length: 30 }), 12);
  expect(maxNewTokens).toBe(18);
  expect(withPrompt(resolve({ max_length: 30 }, { maxNewTokens: 5 }), 40).maxNewTokens).toBe(5);
  expect(withPrompt(resolve({}), 40).maxNewTokens).toBe(20);
  const { message } = await failure(ModelError, () => withPrompt(resolve({ max_length: 30 }), 30));
  const expected = "expected more than the 30 tokens of the prompt, or maxNewTokens as an option, found 30";
  expect(message).toBe(`generation_config.json: max_length: ${expected}`);
  using model = await small("llama-gqa-tied", {}, { max_length: 30 });
  using session = await model.session();
  await session.append([BOS, 5, 6]);
  const generation = session.generate([7, 8], { ignoreEos: true });
  await generation.text();
  expect(session.length).toBe(30);
  await failure(ModelError, () => session.generate([7]).text());
});

test("max_time ends a text after its token", async () => {
  using model = await small("llama-gqa-tied", {}, { max_time: 0, max_new_tokens: 50 });
  const generation = model.generate([BOS, 5], { ignoreEos: true });
  await generation.text();
  expect(await generation.result).toMatchObject({ newTokens: 1, finishReason: "length" });
});

test("what is not supported is told once, by key, and only if it asks for something", async () => {
  const harmless = {
    ...{ num_beams: 1, num_return_sequences: 1, length_penalty: 1.0, early_stopping: false, num_beam_groups: 1 },
    ...{ penalty_alpha: null, guidance_scale: 1.0, diversity_penalty: 0.0, token_healing: false, use_cache: false },
    ...{ num_assistant_tokens: 20, pad_token_id: 3, output_scores: true, transformers_version: "5.24.0", made_up: 9 },
  };
  const asking = {
    ...{ num_beams: 4, num_return_sequences: 2, penalty_alpha: 0.6, guidance_scale: 1.5, dola_layers: "high" },
    ...{ watermarking_config: { bias: 2 }, constraints: [], force_words_ids: [[5]] },
    ...{ token_healing: true, assistant_early_exit: 4, num_beam_groups: 2, diversity_penalty: 0.5, length_penalty: 2 },
  };
  const warnings = async (file: Json, worker: boolean) => {
    using model = await load(smallFolder("llama-gqa-tied", file), { worker });
    return model.warnings;
  };
  for (const worker of [false, true]) {
    expect(await warnings(harmless, worker)).toEqual([]);
    const told = await warnings({ ...harmless, ...asking }, worker);
    expect(told.map((line) => line.split(" ")[1]).sort()).toEqual(Object.keys(asking).sort());
    expect(told).toContain("generation_config.json: num_beams is not supported and has no effect, found 4");
  }
});

describe("options", () => {
  const TOKENIZER = { encode: (text: string) => [...text].map((letter) => letter.charCodeAt(0) - 32) };
  const given = (options: GenerateOptions, file: Json = {}) =>
    resolveSettings(options, { vocab_size: 100 }, file, TOKENIZER);

  test("logitBias: by id, as a Map, as pairs; beside sequence_bias", () => {
    for (const logitBias of [
      { 5: -2, 7: 1.5 },
      new Map([
        [5, -2],
        [7, 1.5],
      ]),
      [
        [5, -2],
        [7, 1.5],
      ] as const,
    ]) {
      expect(given({ logitBias }).sequenceBias).toEqual([
        [[5], -2],
        [[7], 1.5],
      ]);
    }
    expect(given({ logitBias: {} }).sequenceBias).toBeUndefined();
    const file = {
      sequence_bias: [
        [[5], 9],
        [[5, 6], 1],
      ],
    };
    expect(given({ logitBias: { 5: -Infinity } }, file).sequenceBias).toEqual([
      [[5], -Infinity],
      [[5, 6], 1],
    ]);
  });

  test("badWords: ids, and texts as they are and behind a space; instead of the file's", () => {
    const file = { bad_words_ids: [[9]] };
    expect(given({ badWords: [[5, 6]] }, file).badWordsIds).toEqual([[5, 6]]);
    expect(given({ badWords: [] }, file).badWordsIds).toBeUndefined();
    const sequences = given({ badWords: ["a"] }).badWordsIds;
    expect(sequences).toEqual([[65], [65], [0, 65]]);
  });

  test("others replace what the file says", () => {
    const file = { suppress_tokens: [9], no_repeat_ngram_size: 3, min_new_tokens: 7, min_length: 30 };
    expect(given({ suppressTokens: [5] }, file).suppressTokens).toEqual([5]);
    expect(given({ noRepeatNgramSize: 0 }, file).noRepeatNgramSize).toBe(0);
    expect(given({ minNewTokens: 2 }, file)).toMatchObject({ minNewTokens: 2, minLength: undefined });
  });

  const wrong: [keyof GenerateOptions, unknown[]][] = [
    [
      "logitBias",
      [5, null, "5", { x: 1 }, { "": 1 }, { 100: 1 }, { 5: "1" }, { 5: NaN }, { 5: Infinity }, [5], [[-1, 1]]],
    ],
    ["badWords", ["word", 5, [5], [""], [[]], [[100]], [["a"]], [null]]],
    ["suppressTokens", [5, "5", [100], [-1], [1.5], ["5"]]],
  ];
  test.each(wrong)("%s: another value is refused by name", async (name, values) => {
    for (const value of values) {
      const { message } = await failure(OptionError, () => given({ [name]: value }));
      expect(message).toStartWith(`${name}: expected `);
    }
  });

  test("-Infinity, which Python's JSON has, forbids", () => {
    const sequence_bias = [[[5], -Infinity]];
    expect(resolve({ sequence_bias })).toMatchObject({ sequenceBias: sequence_bias });
    for (const bias of [NaN, Infinity])
      expect(() => resolve({ sequence_bias: [[[5], bias]] })).toThrow("sequence_bias");
  });

  test("texts of badWords need a tokenizer", async () => {
    const { message } = await failure(OptionError, () => resolveSettings({ badWords: ["a"] }, {}, {}));
    expect(message).toBe("badWords: expected token ids, as the model has no tokenizer, found a");
  });
});

test("a token that is chosen alone is neither start nor end of a text", () => {
  const file = { min_new_tokens: 3, begin_suppress_tokens: [3], forced_eos_token_id: 4, suppress_tokens: [5] };
  const none = { minNewTokens: undefined, beginSuppressTokens: undefined, forcedEosTokenId: undefined };
  expect(withoutEnds(resolve(file))).toMatchObject({ ...none, suppressTokens: [5] });
});
