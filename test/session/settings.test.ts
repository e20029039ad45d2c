/** Every setting of a generation: the caller's, else generation_config.json's, else Hugging Face's default. */
import { describe, expect, test } from "bun:test";
import { ModelError, OptionError } from "../../src/base/errors.ts";
import type { GenerateOptions } from "../../src/session/generate_options.ts";
import { resolveSettings, type Settings } from "../../src/session/settings.ts";
import { failure } from "./small.ts";

type Json = Record<string, unknown>;
const resolve = (options: GenerateOptions = {}, generationConfig: Json = {}, config: Json = {}) =>
  resolveSettings(options, config, generationConfig);

/** Hugging Face's defaults: GenerationConfig() of transformers, 20 tokens. */
const DEFAULTS: Settings = {
  doSample: false,
  temperature: 1,
  topK: 50,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  maxNewTokens: 20,
  stopTokens: new Set(),
  stopStrings: [],
};

test("nothing given: Hugging Face's defaults", () => expect(resolve()).toEqual(DEFAULTS));

const file = {
  ...{ do_sample: true, temperature: 0.7, top_k: 7, top_p: 0.9, min_p: 0.1, repetition_penalty: 1.2 },
  ...{ max_new_tokens: 64, eos_token_id: [3, 4], stop_strings: ["END"] },
};
const ofFile: Settings = {
  ...{ doSample: true, temperature: 0.7, topK: 7, topP: 0.9, minP: 0.1, repetitionPenalty: 1.2 },
  ...{ maxNewTokens: 64, stopTokens: new Set([3, 4]), stopStrings: ["END"] },
};

test("generation_config.json comes before the defaults", () => expect(resolve({}, file)).toEqual(ofFile));

/** Of greedy choice: numbers of the file that it does not use are not read. */
const GREEDY_CHOICE = { doSample: false, temperature: 1, topK: 50, topP: 1, minP: 0 };

const options: [GenerateOptions, Partial<Settings>][] = [
  [{ temperature: 2 }, { temperature: 2 }],
  [{ topK: 3 }, { topK: 3 }],
  [{ topK: 0 }, { topK: 0 }],
  [{ topP: 0.5 }, { topP: 0.5 }],
  [{ minP: 0 }, { minP: 0 }],
  [{ repetitionPenalty: 1 }, { repetitionPenalty: 1 }],
  [{ maxNewTokens: 5 }, { maxNewTokens: 5 }],
  [{ maxNewTokens: 0 }, { maxNewTokens: 0 }],
  [{ maxNewTokens: -1 }, { maxNewTokens: Infinity }],
  [{ stopStrings: ["x", "y"] }, { stopStrings: ["x", "y"] }],
  [{ stopStrings: [] }, { stopStrings: [] }],
  [{ ignoreEos: true }, { stopTokens: new Set() }],
  [{ ignoreEos: false }, {}],
  [{ doSample: false }, GREEDY_CHOICE],
  [{ temperature: 0 }, GREEDY_CHOICE],
  [
    { temperature: 0, topK: 5, doSample: true },
    { ...GREEDY_CHOICE, topK: 5 },
  ],
  [{ temperature: undefined, topK: undefined, stopStrings: undefined, maxNewTokens: undefined }, {}],
];
test.each(options)("the caller's %j comes before generation_config.json", (given, expected) => {
  expect(resolve(given, file)).toEqual({ ...ofFile, ...expected });
});

describe("sampling", () => {
  const samples: [GenerateOptions, Json, boolean][] = [
    [{}, { do_sample: false, temperature: 0.5 }, false],
    [{}, { temperature: 0.5 }, false],
    [{ temperature: 0.5 }, {}, true],
    [{ topK: 5 }, { do_sample: false }, true],
    [{ topP: 0.5 }, {}, true],
    [{ minP: 0.5 }, {}, true],
    [{ repetitionPenalty: 1.5 }, {}, false],
    [{ seed: 5 }, {}, false],
    [{ doSample: false, temperature: 0.5 }, { do_sample: true }, false],
    [{ doSample: true }, {}, true],
    [{ temperature: 0 }, { do_sample: true }, false],
    [{}, { do_sample: true, temperature: 0 }, false],
    [{ temperature: 0.5 }, { do_sample: true, temperature: 0 }, true],
  ];
  test.each(samples)("%j over %j: %j", (given, config, doSample) => {
    expect(resolve(given, config).doSample).toBe(doSample);
  });
});

test("stop tokens: one or several, of generation_config.json, else of config.json", () => {
  const tokens = (generationConfig: Json, config: Json = {}) => [...resolve({}, generationConfig, config).stopTokens];
  expect(tokens({ eos_token_id: 7 })).toEqual([7]);
  expect(tokens({ eos_token_id: [7, 9] })).toEqual([7, 9]);
  expect(tokens({ eos_token_id: 7 }, { eos_token_id: 8 })).toEqual([7]);
  expect(tokens({}, { eos_token_id: 8 })).toEqual([8]);
  expect(tokens({ eos_token_id: null }, { eos_token_id: [8] })).toEqual([8]);
  expect(tokens({}, { eos_token_id: null })).toEqual([]);
});

test("stop strings of generation_config.json: one or several", () => {
  expect(resolve({}, { stop_strings: "END" }).stopStrings).toEqual(["END"]);
  expect(resolve({}, { stop_strings: null }).stopStrings).toEqual([]);
});

test("null in generation_config.json counts as not given", () => {
  const nulls = Object.fromEntries(Object.keys(file).map((key) => [key, null]));
  expect(resolve({}, nulls)).toEqual(DEFAULTS);
});

const bad: [keyof GenerateOptions, unknown[]][] = [
  ["temperature", [-1, Number.NaN, Infinity, "1"]],
  ["topK", [-1, 1.5, Number.NaN, Infinity, "5"]],
  ["topP", [0, -0.1, 1.01, Number.NaN, "0.5"]],
  ["minP", [-0.1, 1.01, Number.NaN, "0.5"]],
  ["repetitionPenalty", [0, -1, Infinity, Number.NaN, "2"]],
  ["maxNewTokens", [-2, 1.5, Number.NaN, "5", 2 ** 53]],
  ["seed", [-1, 1.5, Number.NaN, 2 ** 53, "5"]],
  ["minNewTokens", [-1, 1.5, Number.NaN, "5", Infinity]],
  ["noRepeatNgramSize", [-1, 1.5, Number.NaN, "5"]],
];
test.each(bad)("%s: a bad value is refused by name, and shown", async (name, values) => {
  for (const value of values) {
    const { message } = await failure(OptionError, () => resolve({ [name]: value }));
    expect(message).toStartWith(`${name}: expected `);
    expect(message).toEndWith(`, found ${value}`);
  }
});

const badFiles: [Json, string][] = [
  [{ do_sample: true, temperature: "warm" }, "temperature"],
  [{ do_sample: true, top_k: "5" }, "top_k"],
  [{ do_sample: 1 }, "do_sample"],
  [{ max_new_tokens: [5] }, "max_new_tokens"],
  [{ eos_token_id: "2" }, "eos_token_id"],
  [{ eos_token_id: [2, 2.5] }, "eos_token_id"],
  [{ stop_strings: [5] }, "stop_strings"],
];
test.each(badFiles)("generation_config.json %j is refused by name: %s", async (config, name) => {
  const { message } = await failure(ModelError, () => resolve({}, config));
  expect(message).toStartWith(`generation_config.json: ${name}: expected `);
});
