/** Configs that are refused, with the words that a user reads; and what counts as the same config. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ModelError } from "../../src/base/errors.ts";
import { MODELS, programOf } from "../../src/models/index.ts";
import { FIXTURES } from "../setup.ts";

type Config = Record<string, unknown>;
const read = (...path: string[]) => JSON.parse(readFileSync(join(FIXTURES, ...path), "utf8"));
const defaults: Record<string, Config> = read("configs.json").defaults;

/** The error of a family's default config with these changes; nested keys as "attn_config.alibi". */
function refusal(family: string, changes: Config): string {
  const config: Config = structuredClone(defaults[family]) as Config;
  for (const [path, value] of Object.entries(changes)) {
    const [key = "", inner] = path.split(".");
    if (inner === undefined) config[key] = value;
    else config[key] = { ...((config[key] ?? {}) as Config), [inner]: value };
  }
  for (const [key, value] of Object.entries(config)) if (value === undefined) delete config[key];
  try {
    programOf(config, "config.json");
  } catch (error) {
    if (error instanceof ModelError) return error.message;
    throw error;
  }
  return "accepted";
}

const names = Object.keys(MODELS).join(", ");

const refused: [family: string, changes: Config, message: string][] = [
  // MPT
  ["mpt", { "attn_config.alibi": false }, "attn_config: alibi: expected true, found false"],
  ["mpt", { "attn_config.qk_ln": true }, "attn_config: qk_ln: expected false, found true"],
  ["mpt", { "attn_config.qk_gn": true }, "attn_config: qk_gn: expected false, found true"],
  ["mpt", { "attn_config.prefix_lm": true }, "attn_config: prefix_lm: expected false, found true"],
  ["mpt", { "attn_config.rope": true }, "attn_config: rope: expected false, found true"],
  ["mpt", { "attn_config.sliding_window_size": 512 }, "attn_config: sliding_window_size: expected -1, found 512"],
  ["mpt", { "attn_config.kv_n_heads": 4 }, "attn_config: kv_n_heads: expected no value, found 4"],
  ["mpt", { "attn_config.clip_qkv": -1 }, "attn_config: clip_qkv: expected a number above -1e-30, found -1"],
  ["mpt", { "attn_config.clip_qkv": "6" }, "attn_config: clip_qkv: expected a number above -1e-30, found 6"],
  ["mpt", { "attn_config.softmax_scale": 0 }, "attn_config: softmax_scale: expected a number above 0, found 0"],
  ["mpt", { "attn_config.alibi_bias_max": -8 }, "attn_config: alibi_bias_max: expected a number above 0, found -8"],
  [
    "mpt",
    { "attn_config.sparse": true },
    "attn_config: sparse: expected a key that this kind of model has, found true",
  ],
  ["mpt", { attn_config: "torch" }, "attn_config: expected an object, found torch"],
  ["mpt", { attn_config: [] }, "attn_config: expected an object, found []"],
  ["mpt", { logit_scale: "inv_sqrt_d_model" }, "logit_scale: expected no value, found inv_sqrt_d_model"],
  ["mpt", { final_logit_softcapping: 30 }, "final_logit_softcapping: expected no value, found 30"],
  [
    "mpt",
    { expansion_ratio: 1.3 },
    "expansion_ratio · d_model: expected a whole number from 1 to 1048576, found 2662.4",
  ],
  ["mpt", { n_heads: 24 }, "d_model: expected a multiple of n_heads (24), found 2048"],
  ["mpt", { "ffn_config.ffn_type": "mptglu" }, 'ffn_config: ffn_type: expected "mptmlp", found mptglu'],
  ["mpt", { norm_type: "rmsnorm" }, 'norm_type: expected "low_precision_layernorm" or "layernorm", found rmsnorm'],
  [
    "mpt",
    { "attn_config.attn_type": "multiquery_attention" },
    'attn_config: attn_type: expected "multihead_attention", found multiquery_attention',
  ],
  // RoPE, in either spelling
  ...["dynamic", "su", "mrope", 3].flatMap((type): typeof refused =>
    [
      ["rope_parameters", "rope_type"],
      ["rope_scaling", "rope_type"],
      ["rope_scaling", "type"],
    ].map(([key, field]) => [
      "llama",
      { [`${key}.${field}`]: type, [`${key}.factor`]: 4 },
      `${key}: expected rope type default, linear, llama3, yarn, longrope or divided, found ${type}`,
    ]),
  ),
  [
    "llama",
    { "rope_scaling.type": "linear" },
    "rope_scaling.factor: expected a number for linear scaling, found nothing",
  ],
  ["llama", { "rope_scaling.factor": -2 }, "rope_scaling: factor: expected a number above 0, found -2"],
  ["llama", { "rope_scaling.beta": 32 }, "rope_scaling: beta: expected a key that this kind of model has, found 32"],
  [
    "llama",
    { "rope_scaling.llama_4_scaling_beta": 0.1 },
    "rope_scaling: llama_4_scaling_beta: expected a key that this kind of model has, found 0.1",
  ],
  [
    "llama",
    { rope_scaling: { rope_type: "longrope", short_factor: [1, 2], long_factor: [1, 2] } },
    "rope_scaling.short_factor: expected 64 numbers for longrope scaling, found 2",
  ],
  [
    "llama",
    { rope_scaling: { rope_type: "longrope", short_factor: Array(64).fill(1) } },
    "rope_scaling.long_factor: expected 64 numbers for longrope scaling, found nothing",
  ],
  [
    "llama",
    { rope_scaling: { rope_type: "longrope", short_factor: [1, 0], long_factor: 7 } },
    "rope_scaling: short_factor[1]: expected a number above 0, found 0",
  ],
  [
    "llama",
    { rope_scaling: { rope_type: "divided" } },
    "rope_scaling.factors: expected 64 numbers for divided scaling, found nothing",
  ],
  ["llama", { "rope_parameters.rope_theta": 1 }, "rope_parameters: rope_theta: expected a number above 1, found 1"],
  [
    "llama",
    { "rope_parameters.partial_rotary_factor": 0.5 },
    "rope_parameters: partial_rotary_factor: expected 1, found 0.5",
  ],
  [
    "llama",
    { rope_scaling: { rope_type: "llama3", factor: 8, low_freq_factor: 4, high_freq_factor: 4 } },
    "rope_scaling.high_freq_factor: expected more than low_freq_factor (4), found 4",
  ],
  [
    "phi3",
    { "rope_parameters.partial_rotary_factor": 1.5 },
    "rope_parameters: partial_rotary_factor: expected a number up to 1, found 1.5",
  ],
  [
    "phi3",
    { "rope_parameters.partial_rotary_factor": 0.01 },
    "partial_rotary_factor · head_dim: expected a whole number from 1 to 96, found 0",
  ],
  [
    "stablelm",
    { "rope_parameters.partial_rotary_factor": 0.3125 },
    "partial_rotary_factor · head_dim: expected a multiple of a pair (2), found 25",
  ],
  [
    "phi3",
    {
      original_max_position_embeddings: 1,
      "rope_scaling.type": "su",
      "rope_scaling.short_factor": Array(48).fill(1),
      "rope_scaling.long_factor": Array(48).fill(1),
    },
    "rope_scaling.attention_factor: expected a number above 0, found Infinity",
  ],
  ["smollm3", { no_rope_layers: [1, 0] }, "no_rope_layers[2]: expected a whole number from 0 to 1, found nothing"],
  ["smollm3", { no_rope_layers: 4 }, "no_rope_layers[0]: expected a whole number from 0 to 1, found nothing"],
  ["stablelm", { qk_layernorm: true }, "qk_layernorm: expected false, found true"],
  [
    "gpt_neox",
    { hidden_act: "quick_gelu" },
    'hidden_act: expected "gelu" or "gelu_new" or "gelu_fast" or "gelu_pytorch_tanh", found quick_gelu',
  ],
  ["gpt_neox", { hidden_size: 100 }, "hidden_size: expected a multiple of num_attention_heads (64), found 100"],
  // LLaMA and its kin
  ["llama", { hidden_act: "gelu" }, 'hidden_act: expected "silu" or "swish", found gelu'],
  ["llama", { rope_interleaved: true }, "rope_interleaved: expected false, found true"],
  ["llama", { sliding_window: 4096 }, "sliding_window: expected no value, found 4096"],
  [
    "llama",
    { num_attention_heads: 30 },
    "num_attention_heads: expected a multiple of num_key_value_heads (32), found 30",
  ],
  [
    "llama",
    { num_key_value_heads: 5 },
    "num_attention_heads: expected a multiple of num_key_value_heads (5), found 32",
  ],
  [
    "llama",
    { head_dim: undefined, num_attention_heads: 48, num_key_value_heads: 16 },
    "hidden_size: expected a multiple of num_attention_heads (48), found 4096",
  ],
  ["llama", { head_dim: 65 }, "head_dim: expected a multiple of a pair (2), found 65"],
  ["llama", { rms_norm_eps: 0 }, "rms_norm_eps: expected a number above 0, found 0"],
  ["llama", { rms_norm_eps: "1e-5" }, "rms_norm_eps: expected a number above 0, found 1e-5"],
  ["llama", { hidden_size: undefined }, "hidden_size: expected a whole number from 1 to 1048576, found nothing"],
  ["llama", { vocab_size: null }, "vocab_size: expected a whole number from 1 to 2097152, found nothing"],
  ["llama", { vocab_size: "32000" }, "vocab_size: expected a whole number from 1 to 2097152, found 32000"],
  ["llama", { intermediate_size: 1.5 }, "intermediate_size: expected a whole number from 1 to 1048576, found 1.5"],
  ["llama", { num_hidden_layers: 1e9 }, "num_hidden_layers: expected a whole number from 1 to 1024, found 1000000000"],
  ["llama", { num_hidden_layers: -1 }, "num_hidden_layers: expected a whole number from 1 to 1024, found -1"],
  ["llama", { num_hidden_layers: 0 }, "num_hidden_layers: expected a whole number from 1 to 1024, found 0"],
  [
    "llama",
    { num_attention_heads: 1e9 },
    "num_attention_heads: expected a whole number from 1 to 4096, found 1000000000",
  ],
  ["llama", { tie_word_embeddings: "false" }, "tie_word_embeddings: expected true or false, found false"],
  ["llama", { attention_bias: 1 }, "attention_bias: expected true or false, found 1"],
  ["llama", { quantization_config: { bits: 4 } }, 'quantization_config: expected no value, found {"bits":4}'],
  ["qwen2", { use_sliding_window: 1 }, "use_sliding_window: expected false, found 1"],
  [
    "qwen2",
    { use_sliding_window: true, sliding_window: 0 },
    "sliding_window: expected a whole number from 1 to 1099511627776, found 0",
  ],
  [
    "qwen2",
    { use_sliding_window: true, num_hidden_layers: 2, layer_types: ["sliding_attention"] },
    'layer_types: expected a list of 2 times "full_attention" or "sliding_attention", found ["sliding_attention"]',
  ],
  [
    "qwen2",
    { layer_types: ["sliding_attention"] },
    'layer_types: expected a list of "full_attention" alone, found ["sliding_attention"]',
  ],
  ["mistral", { sliding_window: 0 }, "sliding_window: expected a whole number from 1 to 1099511627776, found 0"],
  // GPT-J
  ["gptj", { activation_function: "gelu" }, 'activation_function: expected "gelu_new", found gelu'],
  ["gptj", { rotary: false }, "rotary: expected true, found false"],
  ["gptj", { rotary_dim: 7 }, "rotary_dim: expected a multiple of a pair (2), found 7"],
  ["gptj", { rotary_dim: 512 }, "rotary_dim: expected a whole number from 1 to 256, found 512"],
  ["gptj", { n_head: 12 }, "n_embd: expected a multiple of n_head (12), found 4096"],
  ["gptj", { scale_attn_weights: false }, "scale_attn_weights: expected true, found false"],
  // any
  ["llama", { model_type: "bert" }, `model_type: expected one of ${names}, found bert`],
  ["llama", { model_type: "constructor" }, `model_type: expected one of ${names}, found constructor`],
  ["llama", { model_type: undefined }, `model_type: expected one of ${names}, found nothing`],
];

test.each(refused)("%s %o", (family, changes, message) => {
  expect(refusal(family, changes)).toBe(`config.json: ${message}`);
});

describe("the same config in other words", () => {
  const hashOf = (config: Config): string => {
    const { withoutEffect: _, ...program } = programOf(config, "config.json");
    return Bun.hash(JSON.stringify({ ...program, weights: [...program.weights] })).toString(16);
  };
  const llama = (changes: Config): string => {
    const { rope_parameters: _, ...rest } = defaults.llama as Config;
    return hashOf({ ...rest, ...changes });
  };

  test.each(["llama-rope-llama3", "llama-rope-linear"])("%s: as transformers 4 and 5 spell it", (name) => {
    expect(hashOf(read(name, "config.legacy.json"))).toBe(hashOf(read(name, "config.json")));
    const { rope_parameters: _, ...rest } = read(name, "config.json");
    expect(hashOf(rest)).not.toBe(hashOf(read(name, "config.json")));
  });

  test("rope_theta, rope_scaling and rope_parameters", () => {
    const llama3 = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 256 };
    const wanted = llama({ rope_parameters: { rope_type: "llama3", rope_theta: 5e5, ...llama3 } });
    const ways: Config[] = [
      { rope_theta: 5e5, rope_scaling: { rope_type: "llama3", ...llama3 } },
      { rope_theta: 5e5, rope_scaling: { type: "llama3", ...llama3 } },
      { rope_theta: 5e5, rope_parameters: { rope_type: "llama3", ...llama3 } },
      { rope_theta: 1e4, rope_parameters: { rope_type: "llama3", rope_theta: 5e5, ...llama3 } },
      { rope_parameters: { rope_type: "default", rope_theta: 5e5 }, rope_scaling: { rope_type: "llama3", ...llama3 } },
    ];
    for (const way of ways) expect(llama(way)).toBe(wanted);
    for (const way of [{}, { rope_theta: 1e4 }, { rope_scaling: { type: "default" } }, { rope_scaling: null }]) {
      expect(llama(way)).toBe(llama({ rope_parameters: { rope_type: "default", rope_theta: 1e4 } }));
    }
  });

  test("defaults that a config leaves out", () => {
    const without = (family: string, ...keys: string[]) =>
      hashOf(Object.fromEntries(Object.entries(defaults[family] as Config).filter(([key]) => !keys.includes(key))));
    const plain = (family: string) => hashOf(defaults[family] as Config);
    const shared = ["rms_norm_eps", "tie_word_embeddings", "rope_parameters", "hidden_act"];
    expect(without("llama", ...shared, "head_dim", "num_key_value_heads", "attention_bias", "mlp_bias")).toBe(
      plain("llama"),
    );
    expect(without("mistral", ...shared, "head_dim", "num_key_value_heads", "sliding_window")).toBe(plain("mistral"));
    expect(without("qwen2", ...shared, "num_key_value_heads", "layer_types", "use_sliding_window")).toBe(
      plain("qwen2"),
    );
    expect(
      without("mpt", "attn_config", "expansion_ratio", "no_bias", "layer_norm_epsilon", "tie_word_embeddings"),
    ).toBe(plain("mpt"));
    expect(without("gptj", "n_inner", "rotary_dim", "layer_norm_epsilon", "activation_function")).toBe(plain("gptj"));
    expect(hashOf({ ...(defaults.mpt as Config), norm_eps: 1e-5, layer_norm_epsilon: 1e-3 })).toBe(plain("mpt"));
  });
});
