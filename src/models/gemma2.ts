import {
  boolean,
  computed,
  integer,
  noEffect,
  number,
  oneOf,
  only,
  optionalInteger,
  optionalNumber,
  readConfig,
  wordsOf,
} from "../formats/config.ts";
import { type GatedVariant, windowedLayers } from "./gated.ts";
import { GATED_PARTS, gatedDecoder, gatedKeys } from "./llama.ts";
import { MAX, type Program } from "./program.ts";

/**
 * The config keys that Gemma 2 and 3 share, with their classes' defaults for keys that are absent: a text_config is
 * often sparse. `layers`: the number of layers.
 */
export function gemmaKeys(raw: Readonly<Record<string, unknown>>, layers: number) {
  return {
    ...gatedKeys,
    hidden_size: integer(MAX.dim, 2304),
    intermediate_size: integer(MAX.dim, 9216),
    num_hidden_layers: integer(MAX.layers, layers),
    num_attention_heads: integer(MAX.heads, 8),
    num_key_value_heads: integer(MAX.heads, 4),
    head_dim: integer(MAX.headDim, 256),
    hidden_activation: oneOf("gelu_pytorch_tanh"),
    tie_word_embeddings: boolean(true),
    query_pre_attn_scalar: number(256),
    attention_bias: boolean(false),
    mlp_bias: only(false),
    // null is a window of no size, which transformers refuses.
    sliding_window: integer(MAX.positions, "sliding_window" in raw ? undefined : 4096),
    layer_types: wordsOf(layers, "full_attention", "sliding_attention"),
    final_logit_softcapping: optionalNumber(),
    use_bidirectional_attention: only(false),
    // transformers reads hidden_activation; hidden_act and activation_function are older names of it.
    hidden_act: noEffect,
    activation_function: noEffect,
  } as const;
}

/** What Gemma 2 and 3 make of LLaMA. see: HF Gemma2DecoderLayer, Gemma2RMSNorm, Gemma2TextScaledWordEmbedding */
export function gemmaVariant(config: {
  readonly hidden_size: number;
  readonly query_pre_attn_scalar: number;
  readonly attention_bias: boolean;
  readonly final_logit_softcapping: number | undefined;
}) {
  return {
    ...{ qkvBias: config.attention_bias, outBias: config.attention_bias, mlpBias: false },
    ...{ embedScale: Math.sqrt(config.hidden_size), scale: 1 / Math.sqrt(config.query_pre_attn_scalar) },
    ...{ logitCap: config.final_logit_softcapping, activation: "geluTanhMul", normAdded: 1 },
    norms: {
      attention: { before: "input_layernorm", after: "post_attention_layernorm" },
      mlp: { before: "pre_feedforward_layernorm", after: "post_feedforward_layernorm" },
    },
  } as const satisfies GatedVariant;
}

/** Gemma 2: norms around attention and MLP, soft caps, a window in every second layer. see: HF Gemma2ForCausalLM */
export function gemma2(raw: Readonly<Record<string, unknown>>, name: string): Program {
  const layers = integer(MAX.layers, 26)(raw.num_hidden_layers ?? undefined, `${name}: num_hidden_layers`);
  const softCap = (key: string, cap: number) => (key in raw ? optionalNumber() : number(cap));
  const config = readConfig(
    raw,
    name,
    {
      ...gemmaKeys(raw, layers),
      vocab_size: integer(MAX.vocab, 256000),
      max_position_embeddings: integer(MAX.positions, 8192),
      // null is no cap; nothing is transformers' default.
      final_logit_softcapping: softCap("final_logit_softcapping", 30),
      attn_logit_softcapping: softCap("attn_logit_softcapping", 50),
      sliding_window_size: optionalInteger(MAX.positions),
    },
    GATED_PARTS,
  );
  computed(`${name}: sliding_window_size`, config.sliding_window_size, config.sliding_window);
  const window = windowedLayers(config, 2);
  return gatedDecoder("gemma2", name, config, {
    ...gemmaVariant(config),
    ...{ window, softCap: config.attn_logit_softcapping },
  });
}
