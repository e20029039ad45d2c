import {
  absent,
  boolean,
  computed,
  divides,
  integer,
  listOf,
  noEffect,
  number,
  oneOf,
  only,
  optionalInteger,
  optionalNumber,
  readConfig,
  type Values,
} from "../formats/config.ts";
import { LAST } from "./buffers.ts";
import { decoder } from "./decoder.ts";
import { type GatedLayers, type GatedVariant, gatedLayer, gatedNorm } from "./gated.ts";
import type { Positions, Rope } from "./positions.ts";
import { type AttentionShape, MAX, type Program, Weights } from "./program.ts";
import { type RopeDefaults, type ropeByType, ropeKeys, ropeOf } from "./rope_config.ts";

/** The config keys that LLaMA, Mistral and Qwen2 share. */
export const gatedKeys = {
  vocab_size: integer(MAX.vocab),
  hidden_size: integer(MAX.dim),
  intermediate_size: integer(MAX.dim),
  num_hidden_layers: integer(MAX.layers),
  num_attention_heads: integer(MAX.heads),
  num_key_value_heads: optionalInteger(MAX.heads),
  head_dim: optionalInteger(MAX.dim),
  hidden_act: oneOf("silu", "swish"),
  max_position_embeddings: integer(MAX.positions),
  rms_norm_eps: number(1e-6),
  tie_word_embeddings: boolean(false),
  pretraining_tp: noEffect, // how the reference code splits its matrices
  layer_types: listOf("full_attention"),
  mlp_layer_types: absent,
  per_layer_config: absent,
  quantization_config: absent,
  tie_last_hidden_states: noEffect,
  // Keys of other architectures, which transformers does not read here.
  layer_norm_eps: noEffect,
  layer_norm_epsilon: noEffect,
  // Keys of other architectures whose value is what is computed anyway.
  ...Object.fromEntries(
    ["causal", "is_causal", "use_rope", "use_rotary_emb", "use_rms_norm", "scale_attn_weights"].map((key) => [
      key,
      only(true),
    ]),
  ),
  activation_function: only("silu", "swish"),
  hidden_activation: only("silu", "swish"),
  norm_type: only("rmsnorm", "rms_norm", "RMSNorm"),
  normalization_type: only("rmsnorm", "rms_norm", "RMSNorm"),
  position_embedding_type: only("rope", "rotary"),
  rope_interleaved: only(false),
  rotary_pct: only(1),
  attention_multiplier: optionalNumber(),
  query_pre_attn_scalar: optionalNumber(),
  rotary_dim: optionalInteger(MAX.dim),
  ...ropeKeys,
} as const;

/** Components of LLaMA, Mistral and Qwen2, as words in names of switches; see isHarmless. */
export const GATED_PARTS =
  /causal|^(use_|apply_|enable_)?(rope|rotary)(_pos\w*|_emb\w*)?$|rms|glu|gated?_(mlp|ffn|act)|before|pre_?norm|^(use_)?(residual|attention|attn|mlp|norm|final_norm|layer_?norm|positional_\w+)s?$|^scale_attn_weights$/;

/** LLaMA, Llama-2, Llama-3.x, TinyLlama, SmolLM2. see: HF LlamaForCausalLM */
export function llama(raw: Readonly<Record<string, unknown>>, name: string): Program {
  const config = readConfig(
    raw,
    name,
    {
      ...gatedKeys,
      attention_bias: boolean(false),
      mlp_bias: boolean(false),
      use_sliding_window: only(false),
      max_window_layers: noEffect,
      // A window that is off is no window; transformers has none here either way.
      sliding_window: raw.use_sliding_window === false ? noEffect : absent,
      is_llama_config: noEffect,
    },
    GATED_PARTS,
  );
  return gatedDecoder("llama", name, config, {
    qkvBias: config.attention_bias,
    outBias: config.attention_bias,
    mlpBias: config.mlp_bias,
  });
}

/** How layer_types and the activation are read depends on the model. */
export type GatedConfig = Omit<Values<typeof gatedKeys>, "layer_types" | "hidden_act" | "hidden_activation">;

/** A decoder of RMSNorm, attention and a gated MLP, each with a residual: LLaMA, and what a variant makes of it. */
export function gatedDecoder(modelType: string, name: string, config: GatedConfig, variant: GatedVariant): Program {
  const hidden = config.hidden_size;
  const inner = config.intermediate_size;
  const shape = attentionShape(name, config, variant);
  const { heads, kvHeads, headDim } = shape;
  const positions = variant.positions ?? same(rotary(name, config, headDim));
  const weights = new Weights();
  const parts: GatedLayers = { variant, weights, hidden, inner, eps: config.rms_norm_eps, shape, positions };
  const table = weights.table("model.embed_tokens.weight", config.vocab_size, hidden, config.tie_word_embeddings);
  const layers = Array.from({ length: config.num_hidden_layers }, (_, i) => gatedLayer(parts, i));
  const { embedScale, logitScale, logitCap } = variant;
  return decoder({
    ...{ modelType, config, trainedLength: config.max_position_embeddings, hidden, weights, table, layers },
    buffers: {
      q: heads * headDim,
      k: kvHeads * headDim,
      v: kvHeads * headDim,
      attended: heads * headDim,
      gate: inner,
      up: inner,
    },
    finalNorm: gatedNorm(parts, LAST, LAST, "model.norm"),
    headBias: false,
    ...{ embedScale, logitScale, logitCap },
  });
}

/** Grouped heads where the config has them. */
export function attentionShape(
  name: string,
  config: Omit<GatedConfig, "rms_norm_eps" | "layer_norm_eps" | "rope_parameters">,
  variant: Pick<GatedVariant, "scale" | "softCap"> = {},
): AttentionShape {
  const hidden = config.hidden_size;
  const heads = config.num_attention_heads;
  const kvHeads = config.num_key_value_heads ?? heads;
  divides(`${name}: num_attention_heads`, heads, "num_key_value_heads", kvHeads);
  if (config.head_dim === undefined) divides(`${name}: hidden_size`, hidden, "num_attention_heads", heads);
  const headDim = integer(MAX.headDim)(config.head_dim ?? hidden / heads, `${name}: head_dim`);
  divides(`${name}: head_dim`, headDim, "a pair", 2);
  const { scale = 1 / Math.sqrt(headDim), softCap } = variant;
  computed(`${name}: attention_multiplier`, config.attention_multiplier, scale);
  if (variant.scale === undefined) computed(`${name}: query_pre_attn_scalar`, config.query_pre_attn_scalar, headDim);
  computed(`${name}: rotary_dim`, config.rotary_dim, headDim);
  return { heads, kvHeads, headDim, scale, softCap };
}

/** The same positions in every layer. */
function same(positions: Positions): () => Positions {
  return () => positions;
}

/** Rotary positions in halves, by a config's keys of RoPE; `defaults` are the model's own. */
export function rotary(
  name: string,
  config: Parameters<typeof ropeOf>[0] & { readonly max_position_embeddings: number },
  headDim: number,
  defaults: RopeDefaults = {},
): Rope {
  return ropeOf(config, name, { headDim, trainedLength: config.max_position_embeddings, ...defaults });
}

/** What `rope_parameters` has for each type of layers; a key of ropeByType. */
type RopeByType = ReturnType<ReturnType<typeof ropeByType<"full_attention" | "sliding_attention">>>;

/**
 * Rotary positions of global layers, and of those with a window, of which rope_scaling says nothing. `theta`: the bases
 * where rope_parameters has none. see: HF Gemma3TextConfig, Olmo3Config
 */
export function rotaryByType(
  name: string,
  config: Omit<Parameters<typeof rotary>[1], "rope_parameters"> & { readonly rope_parameters: RopeByType },
  headDim: number,
  theta: { readonly global: number; readonly windowed: number },
): { readonly global: Rope; readonly windowed: Rope } {
  const { full_attention: full, sliding_attention: sliding } = config.rope_parameters ?? {};
  const all = { ...config, rope_theta: theta.global, rope_parameters: full };
  const some = { ...config, rope_theta: theta.windowed, rope_scaling: undefined, rope_parameters: sliding };
  return { global: rotary(name, all, headDim), windowed: rotary(name, some, headDim) };
}
