/** Damage to tokenizers and shards, and options of a caller that make no sense. */
import { cases, config, cut, file, LLAMA, type Row } from "./case.ts";
import { type Draft, INDEX } from "./draft.ts";

const tokenizer = (change: (json: Record<string, unknown>) => void) => (draft: Draft) =>
  change(draft.json("tokenizer.json"));
export const TOKENIZER_CASES = cases(LLAMA, [
  [
    "!an unknown pre-tokenizer",
    tokenizer((json) => Object.assign(json, { pre_tokenizer: { type: "Magic" } })),
    /tokenizer\.json: pre_tokenizer\.type: expected one of .*, found "Magic"$/,
  ],
  [
    "a million special tokens before every text",
    tokenizer((json) => {
      const single = [{ SpecialToken: { id: "s" } }, { Sequence: { id: "A" } }];
      const special_tokens = { s: { ids: new Array(1e6).fill(0) } };
      json.post_processor = { type: "TemplateProcessing", single, special_tokens };
    }),
    /tokenizer\.json: post_processor: expected at most 1000 tokens around a text, found an object$/,
  ],
  [
    "an unknown model",
    tokenizer((json) => Object.assign(json, { model: { type: "WordLevel", vocab: {} } })),
    /tokenizer\.json: model\.type: expected one of BPE, Unigram, WordPiece, found "WordLevel"$/,
  ],
  [
    "an unknown decoder",
    tokenizer((json) => Object.assign(json, { decoder: { type: "CTC" } })),
    /tokenizer\.json: decoder\.type: expected one of .*, found "CTC"$/,
  ],
  [
    "a vocabulary whose tokens share a long name's id",
    tokenizer((json) =>
      Object.assign(json, { model: { type: "BPE", vocab: { ["t".repeat(5000)]: 0, u: 0 }, merges: [] } }),
    ),
    /tokenizer\.json: model\.vocab\.u: expected an id that no other token has \(.*/,
  ],
  [
    "an id for a long name that is none",
    tokenizer((json) => Object.assign(json, { model: { type: "BPE", vocab: { ["t".repeat(5000)]: -1 }, merges: [] } })),
    /tokenizer\.json: model\.vocab.*: expected an integer in 0\.\.16777215, found -1$/,
  ],
  [
    "more tokens than the model has",
    config({ vocab_size: 5 }),
    /model\.embed_tokens\.weight: expected shape \[5,32\], found \[61,32\]$/,
  ],
  ["!an invalid tokenizer.json", cut("tokenizer.json", 1000), /tokenizer\.json: line 1, column \d+: expected /],
  [
    "!a directory for the tokenizer",
    file("tokenizer.json", "directory"),
    /tokenizer\.json: expected a file, found a directory$/,
  ],
  [
    "tokenizer settings of numbers",
    (draft) => draft.setJson("tokenizer_config.json", { bos_token: 5 }),
    /tokenizer_config: bos_token: expected an object, found 5$/,
  ],
]);

const SHARD = "model-00003-of-00005.safetensors";
const map = (change: (map: Record<string, unknown>) => void) => (draft: Draft) =>
  change(draft.json(INDEX).weight_map as never);
export const SHARD_CASES = cases("llama-sharded", [
  [
    "!a missing shard",
    file(SHARD, undefined),
    /index\.json: expected shard model-00003-of-00005\.safetensors in the same folder, found no such file$/,
  ],
  [
    "a directory for a shard",
    file(SHARD, "directory"),
    /model-00003-of-00005\.safetensors: expected a file, found a directory$/,
  ],
  ["a shard cut short", cut(SHARD, 1000), /model-00003-of-00005\.safetensors: expected /],
  [
    "a shard twice",
    (draft) =>
      draft.edit((files) => void files.set(SHARD, files.get("model-00002-of-00005.safetensors") as Uint8Array)),
    /^dir: expected a tensor model\.layers\.0\.input_layernorm\.weight, found none$/,
  ],
  [
    "an index into the folder above",
    map((map) => Object.assign(map, { x: "../config.json" })),
    /weight_map: x: expected a plain file name, found \.\.\/config\.json$/,
  ],
  [
    "an index without a map",
    (draft) => draft.setJson(INDEX, {}),
    /weight_map: expected an object of file names, found undefined$/,
  ],
  [
    "a map to the index itself",
    map((map) => Object.assign(map, { x: INDEX })),
    /index\.json: expected a header of at most \d+ bytes, found \d+$/,
  ],
]);

const NO_OPTION =
  /^(nLocal|nGlobal|limit|maxPositions|chunkSize|maxSessions|bankBytes): expected a whole number from \d to \d+, found /;
const option = (options: object) => (draft: Draft) => void Object.assign(draft.options, options);
const NUMBERS = ["nLocal", "nGlobal", "limit", "chunkSize", "maxSessions", "bankBytes"];
const WRONG = [Number.NaN, Infinity, -1, 1.5, 1e300, "8", true, {}, [1], 5n, Symbol("x")];
export const OPTION_CASES = cases(LLAMA, [
  ...NUMBERS.flatMap((name) =>
    WRONG.map((value): Row => [`${name} ${typeof value} ${String(value)}`, option({ [name]: value }), NO_OPTION]),
  ),
  [
    "maxPositions that is none",
    option({ attention: "full", maxPositions: Number.NaN }),
    /^maxPositions: expected a whole number from 1 to 2147483648, found NaN$/,
  ],
  [
    "a policy that is none",
    option({ attention: "__proto__" }),
    /^attention: expected one of lambda, .*, found __proto__$/,
  ],
  [
    "a dtype that is none",
    option({ dtype: "q9" }),
    /^dtype: expected one of auto, f32, bf16, f16, q8, q7, q4, found q9$/,
  ],
  [
    "a dtype that is inherited",
    option({ dtype: "toString" }),
    /^dtype: expected one of auto, f32, bf16, f16, q8, q7, q4, found toString$/,
  ],
  ["banks of a byte", option({ bankBytes: 1 }), /^memory: expected at most 8 banks of 1 bytes, /],
  ["a window beyond every memory", option({ nLocal: 2 ** 31 }), /^memory: expected at most 8 banks of \d+ bytes, /],
]);
