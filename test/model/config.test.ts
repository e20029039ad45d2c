/** What a config.json may say: every key is used, known to have no effect, or refused by name. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ModelError } from "../../src/errors.ts";
import { programOf } from "../../src/model/index.ts";
import { FIXTURES } from "../setup.ts";

type Config = Record<string, unknown>;
const read = (...path: string[]) => JSON.parse(readFileSync(join(FIXTURES, ...path), "utf8"));
const known: {
  defaults: Record<string, Config>;
  pretrained_keys: Config;
  generation_keys: Config;
  widespread: Record<string, Config>;
} = read("configs.json");
const published: Record<string, Config> = read("real-configs.json");
const families = Object.keys(known.defaults);
const defaults = (family: string, changes: Config = {}): Config => ({ ...known.defaults[family], ...changes });
/** MPT's defaults with another attn_config. */
const attention = (changes: Config): Config => ({
  attn_config: { ...(known.defaults.mpt?.attn_config as Config), ...changes },
});

/** A hash of everything that a program says. */
function hashOf(config: Config): string {
  const program = programOf(config, "config.json");
  return Bun.hash(JSON.stringify({ ...program, weights: [...program.weights] })).toString(16);
}

/** The error of a config, which must be one line. */
function refusal(config: Config): string {
  try {
    programOf(config, "config.json");
  } catch (error) {
    if (!(error instanceof ModelError) || /[\n\r]/.test(error.message)) throw error;
    return error.message;
  }
  throw new Error("nothing was refused");
}

describe("configs of published models are accepted, with as many weights as the models have", () => {
  const parameters: Record<string, number> = {
    "EleutherAI/gpt-j-6b": 6_050_882_784,
    "HuggingFaceTB/SmolLM2-135M": 134_515_008,
    "HuggingFaceTB/SmolLM2-135M-Instruct": 134_515_008,
    "Qwen/Qwen2-0.5B": 494_032_768,
    "Qwen/Qwen2.5-0.5B": 494_032_768,
    "Qwen/Qwen2.5-0.5B-Instruct": 494_032_768,
    "Qwen/Qwen2.5-7B": 7_615_616_512,
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": 1_100_048_384,
    "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T": 1_100_048_384,
    "huggyllama/llama-7b": 6_738_415_616,
    "meta-llama/Llama-2-7b-hf": 6_738_415_616,
    "meta-llama/Llama-3.1-8B-Instruct": 8_030_261_248,
    "meta-llama/Llama-3.2-1B": 1_235_814_400,
    "meta-llama/Meta-Llama-3-8B": 8_030_261_248,
    "mistralai/Mistral-7B-Instruct-v0.2": 7_241_732_096,
    "mistralai/Mistral-7B-v0.1": 7_241_732_096,
    "mistralai/Mistral-7B-v0.3": 7_248_023_552,
    "mosaicml/mpt-30b": 29_957_200_896,
    "mosaicml/mpt-7b": 6_649_286_656,
    "mosaicml/mpt-7b-8k (newer code)": 6_649_286_656,
    "mosaicml/mpt-7b-storywriter": 6_649_286_656,
    "unsloth/Llama-3.2-1B-Instruct": 1_235_814_400,
  };
  test.each(Object.keys(published))("%s", (name) => {
    const { weights } = programOf(published[name] as Config, name);
    const stored = [...weights.values()].filter(
      (weight) => weight.name !== "lm_head.weight" || weight.tensors.length === 1,
    );
    const count = stored.reduce((sum, { shape }) => sum + shape[0] * (shape[1] ?? 1), 0);
    expect(count).toBe(parameters[name] as number);
  });

  test("what they say of positions and windows", () => {
    const program = (name: string) => programOf(published[name] as Config, name);
    const spans = (name: string) => [program(name).trainedLength, program(name).slidingWindow];
    expect(spans("mistralai/Mistral-7B-v0.1")).toEqual([32768, 4096]);
    expect(spans("mistralai/Mistral-7B-Instruct-v0.2")).toEqual([32768, undefined]);
    expect(spans("Qwen/Qwen2.5-7B")).toEqual([131072, undefined]);
    expect(spans("mosaicml/mpt-7b-storywriter")).toEqual([65536, undefined]);
    const { positions, layers } = program("mosaicml/mpt-7b-storywriter");
    const slopes = positions.kind === "alibi" ? positions.slopes : [];
    expect(slopes.map((slope) => Math.round(2 * Math.log2(slope)))).toEqual(slopes.map((_, i) => -(i + 1)));
    expect(slopes.length).toBe(32);
    expect(layers[0]?.filter(({ op }) => op === "clip")).toEqual(
      ["q", "k", "v"].map((x) => ({ op: "clip", x, bound: 6 })),
    );
    expect(program("EleutherAI/gpt-j-6b").attention).toEqual({
      heads: 16,
      kvHeads: 16,
      headDim: 256,
      rotaryDim: 64,
      scale: 1 / 16,
    });
  });
});

/** Of transformers' defaults, the keys that count, and those of which one value is supported. Every other has no effect. */
const used: Record<string, Config> = {
  llama: {
    ...{ vocab_size: 100, hidden_size: 64, intermediate_size: 96, num_hidden_layers: 3, num_attention_heads: 64 },
    ...{ num_key_value_heads: 8, head_dim: 96, max_position_embeddings: 4096, rms_norm_eps: 1e-5 },
    ...{ tie_word_embeddings: true, attention_bias: true, mlp_bias: true, model_type: "mistral" },
    rope_parameters: { rope_theta: 5e5, rope_type: "default" },
  },
  gptj: {
    ...{ vocab_size: 100, n_embd: 2048, n_layer: 3, n_head: 32, n_positions: 4096, n_inner: 96, rotary_dim: 32 },
    ...{ layer_norm_epsilon: 1e-6, tie_word_embeddings: true, model_type: "llama" },
  },
  mpt: {
    ...{
      vocab_size: 100,
      d_model: 64,
      n_heads: 32,
      n_layers: 3,
      max_seq_len: 4096,
      expansion_ratio: 2,
      no_bias: false,
    },
    ...{ layer_norm_epsilon: 1e-6, tie_word_embeddings: false, model_type: "llama" },
    ...attention({ alibi_bias_max: 16 }),
  },
};
used.mistral = { ...used.llama, num_key_value_heads: 4, sliding_window: null, model_type: "llama" };
used.qwen2 = { ...used.llama, model_type: "llama" };
const single: Record<string, Config> = {
  llama: { hidden_act: "gelu" },
  mistral: { hidden_act: "gelu" },
  qwen2: { hidden_act: "gelu", use_sliding_window: true, layer_types: ["full_attention", "sliding_attention"] },
  mpt: { logit_scale: 2, norm_type: "rmsnorm" },
  gptj: { activation_function: "gelu" },
};
/** A value that no key has. */
const OTHER = { surprise: [1] };

describe.each(families)("%s: transformers' default config, key by key", (family) => {
  const plain = hashOf(defaults(family));
  const changed = (changes: Config) => hashOf(defaults(family, changes));

  test.each(Object.keys(defaults(family)))("%s", (key) => {
    if (key in (single[family] as Config)) {
      expect(refusal(defaults(family, { [key]: single[family]?.[key] }))).toStartWith(`config.json: ${key}: expected `);
    } else if (key in (used[family] as Config)) {
      if (key !== "model_type") expect(changed({ [key]: used[family]?.[key] })).not.toBe(plain);
      expect(refusal(defaults(family, { [key]: OTHER }))).toStartWith(`config.json: ${key}`);
    } else {
      expect(changed({ [key]: OTHER })).toBe(plain);
    }
  });

  test("null is the same as nothing, for every key of it", () => {
    const outcome = (config: Config) => {
      try {
        return hashOf(config);
      } catch (error) {
        return (error as Error).message;
      }
    };
    for (const key of Object.keys(defaults(family))) {
      if (family === "mistral" && key === "sliding_window") continue; // null is no window, nothing is transformers' 4096
      const { [key]: _, ...without } = defaults(family);
      expect([key, outcome(defaults(family, { [key]: null }))]).toEqual([key, outcome(without)]);
    }
  });

  test("keys that other versions and trainers write are known; those of another architecture are not", () => {
    const elsewhere = ["original_max_position_embeddings", "partial_rotary_factor", "rope_theta"];
    const rotates = family !== "mpt" && family !== "gptj";
    for (const [key, value] of Object.entries({ ...known.pretrained_keys, ...known.generation_keys })) {
      if (key === "model_type") continue;
      if (rotates || !elsewhere.includes(key)) changed({ [key]: value });
      else expect(refusal(defaults(family, { [key]: value }))).toStartWith(`config.json: ${key}: expected a key that`);
    }
    for (const [key, value] of Object.entries(known.widespread[family] as Config)) changed({ [key]: value });
    expect(refusal(defaults(family, { window_pattern: 3 }))).toBe(
      "config.json: window_pattern: expected a key that this kind of model has, found 3",
    );
    expect(changed({ window_pattern: null })).toBe(plain);
  });
});

test("MPT's attn_config, key by key", () => {
  const plain = hashOf(defaults("mpt"));
  const counts: Config = { alibi_bias_max: 16, clip_qkv: 6, softmax_scale: 0.5 };
  const one: Config = { alibi: false, attn_type: "multiquery_attention", prefix_lm: true, qk_ln: true };
  for (const key of Object.keys(known.defaults.mpt?.attn_config as Config)) {
    const given = (value: unknown) => defaults("mpt", attention({ [key]: value }));
    if (key in counts) expect(hashOf(given(counts[key]))).not.toBe(plain);
    else if (key in one) expect(refusal(given(one[key]))).toStartWith(`config.json: attn_config: ${key}: expected `);
    else expect(hashOf(given(OTHER))).toBe(plain);
  }
  expect(hashOf(defaults("mpt", { attn_config: null }))).toBe(plain);
  expect(hashOf(defaults("mpt", attention({ clip_qkv: 0 })))).toBe(plain);
});
