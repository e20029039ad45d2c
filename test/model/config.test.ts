/** What a config.json may say: every key is used, known to have no effect, or refused by name. */

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ModelError } from "../../src/base/errors.ts";
import { MODELS, programOf } from "../../src/models/index.ts";
import { attentionOf } from "../../src/models/program.ts";
import { FIXTURES } from "../setup.ts";

type Config = Record<string, unknown>;
const read = (...path: string[]) => JSON.parse(readFileSync(join(FIXTURES, ...path), "utf8"));
const known: {
  defaults: Record<string, Config>;
  pretrained_keys: Config;
  generation_keys: Config;
  attribute_map: Record<string, Record<string, string>>;
  widespread: Record<string, Config>;
} = read("configs.json");
const published: Record<string, Config> = read("real-configs.json");
/** These have their keys in text_config: test/model/gemma.test.ts, test/model/mistral3.test.ts. */
const families = Object.keys(known.defaults).filter((family) => family !== "gemma3" && family !== "mistral3");
const defaults = (family: string, changes: Config = {}): Config => {
  const { layer_types, ...all } = known.defaults[family] as Config;
  // Those that a pattern gives too have a length of their own.
  const mixed = Array.isArray(layer_types) && new Set(layer_types).size > 1;
  return { ...all, ...(Array.isArray(layer_types) && !mixed && { layer_types }), ...changes };
};
/** MPT's defaults with another attn_config. */
const attention = (changes: Config): Config => ({
  attn_config: { ...(known.defaults.mpt?.attn_config as Config), ...changes },
});

/** A hash of everything that a program says of computing. */
function hashOf(config: Config): string {
  const { withoutEffect: _, ...program } = programOf(config, "config.json");
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
    "EleutherAI/pythia-160m": 162_322_944,
    "HuggingFaceTB/SmolLM3-3B": 3_075_098_624,
    "microsoft/Phi-3-mini-4k-instruct": 3_821_079_552,
    "stabilityai/stablelm-2-1_6b": 1_644_515_328,
    "allenai/OLMo-2-0425-1B": 1_484_916_736,
    "google/gemma-2-2b": 2_614_341_888,
    "google/gemma-3-1b-it": 999_885_952,
    "google/gemma-3-270m": 268_098_176,
    "google/gemma-3-4b-it": 3_880_263_168,
    "ibm-granite/granite-3.3-2b-instruct": 2_533_539_840,
    "Qwen/Qwen3-0.6B": 596_049_920,
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
      (weight) =>
        weight.name !== "lm_head.weight" ||
        weight.tensors.every((tensor) => tensor === weight.name || !weights.has(tensor)),
    );
    const count = stored.reduce((sum, { shape }) => sum + shape[0] * (shape[1] ?? 1), 0);
    expect(count).toBe(parameters[name] as number);
  });

  test("what they say of positions and windows", () => {
    const program = (name: string) => programOf(published[name] as Config, name);
    const spans = (name: string) => [program(name).trainedLength, attentionOf(program(name), 0)?.window];
    expect(spans("mistralai/Mistral-7B-v0.1")).toEqual([32768, 4096]);
    expect(spans("mistralai/Mistral-7B-Instruct-v0.2")).toEqual([32768, undefined]);
    expect(spans("Qwen/Qwen2.5-7B")).toEqual([131072, undefined]);
    expect(spans("mosaicml/mpt-7b-storywriter")).toEqual([65536, undefined]);
    const { layers } = program("mosaicml/mpt-7b-storywriter");
    const positions = layers[0]?.flatMap((operation) => (operation.op === "attention" ? operation.positions : []))[0];
    const slopes = positions?.kind === "alibi" ? positions.slopes : [];
    expect(slopes.map((slope) => Math.round(2 * Math.log2(slope)))).toEqual(slopes.map((_, i) => -(i + 1)));
    expect(slopes.length).toBe(32);
    expect(layers[0]?.filter(({ op }) => op === "clip")).toEqual(
      ["q", "k", "v"].map((y) => ({ op: "clip", y, a: y, factor: 6 })),
    );
    const gptj = attentionOf(program("EleutherAI/gpt-j-6b"), 0);
    expect(gptj?.shape).toEqual({ heads: 16, kvHeads: 16, headDim: 256, scale: 1 / 16 });
    expect(gptj?.positions.kind === "rope" && gptj.positions.inverseFrequencies.length).toBe(32);
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
used.qwen3 = { ...used.llama, model_type: "llama" };
used.olmo2 = { ...used.llama, rms_norm_eps: 1e-6, model_type: "llama" };
used.olmo3 = {
  ...{ ...used.olmo2, sliding_window: 512 },
  rope_parameters: { full_attention: { rope_theta: 1e5, rope_type: "default" } },
};
const factors = { embedding_multiplier: 2, attention_multiplier: 0.5, residual_multiplier: 0.5, logits_scaling: 4 };
used.granite = { ...used.llama, ...factors, model_type: "llama" };
const gemma: Config = {
  ...{ ...used.llama, tie_word_embeddings: false, num_attention_heads: 64, sliding_window: 512 },
  ...{ query_pre_attn_scalar: 144, final_logit_softcapping: 20, model_type: "llama" },
};
used.gemma2 = { ...gemma, attn_logit_softcapping: 20 };
used.gemma3_text = { ...gemma, rope_parameters: { sliding_attention: { rope_theta: 5e5, rope_type: "default" } } };
const yarnOf = (changes: Config) => ({ rope_type: "yarn", rope_theta: 1e6, factor: 16, ...changes });
const { head_dim: _headDim, attention_bias: _bias, mlp_bias: _mlpBias, ...heads } = used.llama as Config;
used.phi3 = { ...heads, max_position_embeddings: 8192, rms_norm_eps: 1e-6, sliding_window: 512, model_type: "llama" };
used.smollm3 = {
  ...{ ...heads, tie_word_embeddings: false, attention_bias: true, mlp_bias: true, no_rope_layers: Array(36).fill(1) },
  model_type: "llama",
};
used.ministral3 = {
  ...{ ...heads, head_dim: 96, num_key_value_heads: 4, rms_norm_eps: 1e-6, sliding_window: 512, model_type: "llama" },
  rope_parameters: yarnOf({ llama_4_scaling_beta: 0.2, original_max_position_embeddings: 16384 }),
};
used.gpt_neox = {
  ...{ vocab_size: 100, hidden_size: 2048, intermediate_size: 96, num_hidden_layers: 3, num_attention_heads: 32 },
  ...{ max_position_embeddings: 4096, layer_norm_eps: 1e-6, tie_word_embeddings: true, attention_bias: false },
  ...{ use_parallel_residual: false, hidden_act: "gelu_new", model_type: "llama" },
  rope_parameters: { rope_theta: 10000, rope_type: "default", partial_rotary_factor: 0.5 },
};
used.stablelm = {
  ...{ ...heads, hidden_size: 1280, max_position_embeddings: 8192, layer_norm_eps: 1e-6, use_qkv_bias: true },
  ...{ use_parallel_residual: true, model_type: "llama", rope_parameters: used.gpt_neox.rope_parameters },
};
delete used.stablelm.rms_norm_eps;
const single: Record<string, Config> = {
  phi3: { hidden_act: "gelu", original_max_position_embeddings: 0 },
  smollm3: {
    ...{ hidden_act: "gelu", use_sliding_window: 1, no_rope_layer_interval: 0 },
    layer_types: ["full_attention", "sliding_attention"],
  },
  ministral3: { hidden_act: "gelu" },
  gpt_neox: {},
  stablelm: { hidden_act: "gelu", qk_layernorm: true },
  llama: { hidden_act: "gelu" },
  mistral: { hidden_act: "gelu" },
  qwen2: { hidden_act: "gelu", use_sliding_window: 1, layer_types: ["full_attention", "sliding_attention"] },
  qwen3: { hidden_act: "gelu", use_sliding_window: 1, layer_types: ["full_attention", "sliding_attention"] },
  olmo2: { hidden_act: "gelu" },
  olmo3: { hidden_act: "gelu" },
  granite: { hidden_act: "gelu" },
  gemma2: { hidden_activation: "gelu", use_bidirectional_attention: true },
  gemma3_text: { hidden_activation: "gelu", use_bidirectional_attention: true, attn_logit_softcapping: 50 },
  mpt: { logit_scale: 2, norm_type: "rmsnorm" },
  gptj: { activation_function: "gelu" },
};
/** A value that no key has. */
const OTHER = { surprise: [1] };

/** null is no window, as many as heads, no cap; nothing is transformers' 4096, 8, 50 and 30. */
const otherThanNull: Record<string, string[]> = {
  mistral: ["sliding_window", "num_key_value_heads"],
  gemma2: ["sliding_window", "attn_logit_softcapping", "final_logit_softcapping"],
  gemma3_text: ["sliding_window"],
  olmo3: ["sliding_window"],
  smollm3: ["num_key_value_heads"],
  ministral3: ["num_key_value_heads"],
  stablelm: ["num_key_value_heads"],
};

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
      if (otherThanNull[family]?.includes(key)) continue;
      const { [key]: _, ...without } = defaults(family);
      expect([key, outcome(defaults(family, { [key]: null }))]).toEqual([key, outcome(without)]);
    }
  });

  test("keys that other versions and trainers write are known; those of another architecture are not", () => {
    const elsewhere = ["original_max_position_embeddings", "rope_theta"];
    if (family === "gptj") elsewhere.push("partial_rotary_factor");
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

/** What is accepted though no part of an architecture, by the reason for it. */
const harmless: Record<string, Config> = {
  dropouts: {
    ...{ hidden_dropout: 0, hidden_dropout_prob: 0.1, attention_probs_dropout_prob: 0.1, attention_dropout: 0.3 },
    ...{ embd_pdrop: 0.1, resid_pdrop: 0.1, attn_pdrop: 0.1, emb_pdrop: 0, classifier_dropout: null, layerdrop: 0.1 },
    ...{ drop_path_rate: 0.1, dropout: 0.1, attn_dropout_prob: 0.2, activation_dropout: 0, ffn_dropout_rate: 0.5 },
  },
  "what transformers' model testers leave": {
    ...{ type_vocab_size: 16, num_choices: 4, is_training: true, seq_length: 7, type_sequence_label_size: 2 },
    ...{ use_input_mask: true, use_labels: true, use_token_type_ids: false, batch_size: 13, scope: null },
    ...{ is_decoder: false, hidden_dropout_prob: 0.1, num_labels: 3, layer_norm_eps: 1e-12 },
  },
  training: {
    ...{ router_aux_loss_coef: 0.001, label_smoothing: 0.1, init_std: 0.02, gradient_checkpointing: true, fp16: true },
    ...{ initializer_factor: 1, deepspeed: { stage: 3 }, learning_rate: 2e-5, num_train_epochs: null, z_loss: 1e-4 },
    ...{ attention_softmax_in_fp32: true, end_token_id: 2, unsloth_version: "2024.9", compute_dtype: "bfloat16" },
  },
  "front ends": {
    ...{ badwordsids: [[0]], newlinemode: "s", welcome: "Hello\nthere", nobreakmodel: true, formatoptns: { a: false } },
    ...{ temp: 0.7, rep_pen: 1.1, rep_pen_slope: 0.7, rep_pen_range: 1024, tfs: 0.9, top_a: 0, typical: 1 },
    ...{ sampler_order: [6, 0, 1], antemplate: "[<|>]", default_preset: "Mayday", genamt: 80 },
  },
  "other tasks and other programs": {
    ...{ summary_type: "cls_index", summary_use_proj: true, classifier_activation: "tanh", image_token_id: 32000 },
    ...{ onnx_safe: null, use_xformers: true, device_map: "auto", tensor_parallel_size: 2, use_cache_kernel: true },
    ...{
      _some_private_key: 1,
      model_name: "x",
      dataset: "y",
      max_sequence_length: 512,
      context_length: 2048,
      n_ctx: 1024,
    },
    ...{ num_nextn_predict_layers: 1, im_start_id: 5, pad_token: "<pad>", chat_template: "{{ messages }}" },
  },
  "switches that are off": {
    ...{ qk_norm: false, qk_layernorm: false, use_sliding_window: false, use_moe: false, tie_encoder_decoder: false },
    ...{ mup: false, scale_attn_by_inverse_layer_idx: false, add_cross_attention: false, use_dynamic_ntk: false },
  },
  "amounts of 0 and factors of 1": {
    ...{ logits_soft_cap: 0, attn_logit_softcapping: 0, num_experts: 0, n_routed_experts: 0, attention_window: 0 },
    ...{ embedding_multiplier: 1, residual_multiplier: 1.0, logits_scaling: 1, logit_scale: null, scale_emb: 1 },
  },
  nothing: { surprise: null, adapters: {}, mlp_only_layers: [], no_rope_layers: [], logits_soft_cap: null },
};
/** What stays refused: each may mean a computation that is not there. */
const doubtful: Config = {
  ...{ qk_layernorm: true, qk_norm: true, attn_logit_softcapping: 50, logits_soft_cap: 30, embedding_multiplier: 12 },
  ...{ residual_multiplier: 0.22, logits_scaling: 8, use_dynamic_ntk: true, num_experts: 8, num_experts_per_tok: 2 },
  ...{ attention_window: 512, sliding_window_size: 512, mup: true, scale_emb: 12, attention_scale: 1, qk_scale: 1 },
  ...{ quantization: { bits: 4 }, quantization_config: { bits: 4 }, compression_config: { a: 1 }, is_causal: false },
  ...{ pre_norm: false, normalize_before: false, attn_temperature: 0.5, kv_sharing: [1], surprise: 0, wonder: 1 },
  ...{ expansion: "", use_alibi: true, num_hash_layers: 2, position_bias: true },
};

/** Whether the key has a meaning in this family. */
const isOwn = (family: string, key: string) => key in { ...used[family], ...single[family] };

describe.each(families)("%s: keys that are no part of it", (family) => {
  const plain = hashOf(defaults(family));

  test.each(Object.entries(harmless))("accepted, and told: %s", (_, keys) => {
    const foreign = Object.entries(keys).filter(([key]) => !isOwn(family, key));
    for (const [key, value] of foreign) {
      const config = defaults(family, { [key]: value });
      expect([key, hashOf(config)]).toEqual([key, plain]);
      const told = programOf(config, "config.json").withoutEffect.includes(key);
      const everywhere = key in known.pretrained_keys || key in (known.widespread[family] as Config);
      if (value !== null && !everywhere) expect([key, told]).toEqual([key, true]);
    }
    expect(hashOf(defaults(family, Object.fromEntries(foreign)))).toBe(plain);
  });

  test("what may change the result is refused by name", () => {
    for (const [key, value] of Object.entries(doubtful).filter(([key]) => !isOwn(family, key))) {
      expect(refusal(defaults(family, { [key]: value }))).toStartWith(`config.json: ${key}: expected `);
    }
  });
});

/** A window in all layers but every `pattern`-th. */
function alternating(layers: number, pattern: number): string[] {
  return Array.from({ length: layers }, (_, i) => ((i + 1) % pattern ? "sliding_attention" : "full_attention"));
}

test.each([
  ["llama", { use_sliding_window: false, sliding_window: 4096, max_window_layers: 28 }],
  ["llama", { head_dim: 128, attention_multiplier: 128 ** -0.5, query_pre_attn_scalar: 128, rotary_dim: 128 }],
  ["llama", { rope_scaling: { type: "default" }, partial_rotary_factor: 1.0, layer_types: ["full_attention"] }],
  ["llama", { num_key_value_heads: null, head_dim: null, num_attention_heads: 32.0, use_rms_norm: true, causal: true }],
  ["mistral", { attention_bias: false, mlp_bias: false, use_sliding_window: false, max_window_layers: 28 }],
  ["qwen2", { qkv_bias: true, use_qkv_bias: true, mlp_bias: false, attention_bias: false }],
  ["gemma2", { hidden_act: "gelu", sliding_window_size: 4096, layer_types: alternating(26, 2) }],
  ["gemma3_text", { sliding_window_pattern: 6, rope_local_base_freq: 1e4, layer_types: alternating(26, 6) }],
  ["granite", { embedding_multiplier: null, logits_scaling: 1 }],
  ["olmo3", { layer_types: alternating(32, 4), rope_parameters: null, rope_theta: 5e5 }],
  ["mpt", { hidden_size: 2048, num_attention_heads: 16, intermediate_size: 37, hidden_act: "gelu", n_positions: 512 }],
  ["gptj", { hidden_size: 4096, max_position_embeddings: 2048, intermediate_size: 37, hidden_act: "gelu" }],
])("%s: values that are what is computed anyway: %o", (family, changes) => {
  expect(hashOf(defaults(family, changes))).toBe(hashOf(defaults(family)));
});

test.each([
  ["llama", { use_sliding_window: true, sliding_window: 4096 }, "use_sliding_window: expected false, found true"],
  ["llama", { attention_multiplier: 0.1 }, "attention_multiplier: expected 0.088388347"],
  ["llama", { query_pre_attn_scalar: 256 }, "query_pre_attn_scalar: expected 128, which is what is computed"],
  ["granite", { query_pre_attn_scalar: 128 }, "query_pre_attn_scalar: expected no value, found 128"],
  ["gemma2", { sliding_window: null }, "sliding_window: expected a whole number from 1"],
  ["gemma2", { sliding_window_size: 512 }, "sliding_window_size: expected 4096, which is what is computed"],
  ["gemma3_text", { layer_types: ["full_attention"] }, "layer_types: expected a list of 26 times"],
  [
    "gemma3_text",
    { rope_parameters: { rope_theta: 1e6, rope_type: "default" } },
    "rope_parameters: rope_theta: expected",
  ],
  ["llama", { use_rms_norm: false }, "use_rms_norm: expected true, found false"],
  ["llama", { position_embedding_type: "alibi" }, 'position_embedding_type: expected "rope" or "rotary", found alibi'],
  ["mistral", { attention_bias: true }, "attention_bias: expected false, found true"],
  ["gptj", { use_parallel_residual: false }, "use_parallel_residual: expected true, found false"],
  ["gptj", { lm_head_bias: false }, "lm_head_bias: expected a key that this kind of model has, found false"],
  ["mpt", { alibi: false }, "alibi: expected true, found false"],
  ["mpt", { use_bias: false }, "use_bias: expected a key that this kind of model has, found false"],
])("%s: values that are not: %o", (family, changes, message) => {
  expect(refusal(defaults(family, changes))).toStartWith(`config.json: ${message}`);
});

test("special tokens, vocabularies and training by other names change nothing", () => {
  const keys = {
    ...{ additional_special_tokens: ["<x>"], n_special: 0, padded_vocab_size: 50432, base_model: "a/b", lr: 1e-5 },
    ...{ base_model_name_or_path: "a/b", keys_to_ignore_at_inference: ["past_key_values"], optimizer: "adamw" },
  };
  for (const family of families) expect(hashOf(defaults(family, keys))).toBe(hashOf(defaults(family)));
});

test("mistral's layers all have the window, however layer_types says it; one without a window has none", () => {
  const layers = (type: string) => ({ layer_types: [type, type] });
  const window = { sliding_window: 128 };
  const plain = hashOf(defaults("mistral", window));
  for (const type of ["sliding_attention", "full_attention"])
    expect(hashOf(defaults("mistral", { ...window, ...layers(type) }))).toBe(plain);
  const none = { sliding_window: null, ...layers("sliding_attention") };
  expect(refusal(defaults("mistral", none))).toContain('layer_types: expected a list of "full_attention" alone, found');
  const mixed = { ...window, layer_types: ["sliding_attention", "full_attention"] };
  expect(refusal(defaults("mistral", mixed))).toContain('"full_attention" alone or of "sliding_attention" alone');
});

test("MPT's kind of linear layer, as a word or as an object", () => {
  for (const fc_type of ["torch", { name: "torch" }]) {
    const changes = { fc_type, ffn_config: { ffn_type: "mptmlp", fc_type }, ...attention({ fc_type }) };
    expect(hashOf(defaults("mpt", changes))).toBe(hashOf(defaults("mpt")));
  }
  expect(refusal(defaults("mpt", { fc_type: { name: "te" } }))).toContain('fc_type: name: expected "torch", found te');
});

test("attribute_map: the other names of keys that transformers reads, which win", () => {
  expect(known.attribute_map.gptj).toMatchObject({ hidden_size: "n_embd" });
  for (const [family, names] of Object.entries(known.attribute_map)) {
    for (const [alias, key] of Object.entries(names)) {
      const { [key]: value, ...rest } = defaults(family);
      const renamed = { ...rest, [alias]: value };
      expect(hashOf(renamed)).toBe(hashOf(defaults(family)));
      expect(hashOf({ ...renamed, [key]: 12345 })).toBe(hashOf(defaults(family)));
    }
  }
});

test("null is as many key heads as heads, which the default is not", () => {
  const kvHeads = (config: Config) => attentionOf(programOf(config, "config.json"), 0)?.shape.kvHeads;
  const { num_key_value_heads: _, ...without } = defaults("mistral");
  expect([kvHeads({ ...without, num_key_value_heads: null }), kvHeads(without)]).toEqual([32, 8]);
});

test("the type of a rope that is not supported comes before its other keys", () => {
  const dynamic = { rope_type: "dynamic", factor: 4, alpha: 1000, original_max_position_embeddings: 4096 };
  for (const key of ["rope_scaling", "rope_parameters"]) {
    expect(refusal(defaults("llama", { [key]: dynamic }))).toBe(
      `config.json: ${key}: expected rope type default, linear, llama3, yarn, longrope or divided, found dynamic`,
    );
  }
});

test("a config without model_type is told what its architectures would have", () => {
  const { model_type: _, ...config } = defaults("qwen2");
  expect(refusal({ ...config, architectures: ["Qwen2ForCausalLM"] })).toBe(
    `config.json: model_type: expected one of ${Object.keys(MODELS).join(", ")}, ` +
      'found nothing (architectures has Qwen2ForCausalLM: add "model_type": "qwen2")',
  );
  expect(refusal({ ...config, architectures: ["BertModel"] })).toEndWith(", found nothing");
});
