/**
 * The config.json that a GGUF's metadata stands for: one table of architectures, each with its model_type, its names of
 * tensors and its keys. What the metadata does not say is what llama.cpp takes for it, which is what the models have.
 */
import { ModelError, mismatch } from "../base/errors.ts";
import type { Metadata } from "./gguf_metadata.ts";
import {
  GEMMA_NAMES,
  type GgufNames,
  type Heads,
  LLAMA_NAMES,
  MPT_NAMES,
  NEOX_NAMES,
  OLMO2_NAMES,
  PHI3_NAMES,
  QWEN_NAMES,
} from "./gguf_names.ts";
import { clean, headDimOf, rope, rotaryPart } from "./gguf_rope.ts";
import type { TensorInfo } from "./safetensors.ts";

type Config = Record<string, unknown>;

/** What a config is made of. */
export interface GgufFacts {
  readonly metadata: Metadata;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The numbers of rope_freqs.weight, rope_factors_long.weight and rope_factors_short.weight, where they are. */
  readonly rope: ReadonlyMap<string, readonly number[]>;
}

interface Architecture {
  readonly names: GgufNames;
  config(facts: GgufFacts): Config;
}

const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  llama: { names: LLAMA_NAMES, config: llama },
  qwen2: { names: QWEN_NAMES, config: (facts) => ({ model_type: "qwen2", ...rotary(facts) }) },
  qwen3: { names: QWEN_NAMES, config: (facts) => ({ model_type: "qwen3", ...rotary(facts), ...biases(facts) }) },
  gemma2: { names: GEMMA_NAMES, config: gemma2 },
  gemma3: { names: GEMMA_NAMES, config: gemma3 },
  phi3: { names: PHI3_NAMES, config: phi3 },
  gptneox: { names: NEOX_NAMES, config: gptNeox },
  smollm3: { names: LLAMA_NAMES, config: smollm3 },
  olmo2: { names: OLMO2_NAMES, config: olmo2 },
  granite: { names: LLAMA_NAMES, config: granite },
  mistral3: { names: LLAMA_NAMES, config: ministral3 },
  stablelm: { names: QWEN_NAMES, config: stablelm },
  mpt: { names: MPT_NAMES, config: mpt },
};

/** The config of a model, how its tensors are named, and its heads. Throws ModelError for another architecture. */
export function ggufConfig(facts: GgufFacts): { config: Config; names: GgufNames; heads: Heads } {
  const { metadata } = facts;
  const { architecture, file } = metadata;
  const found = architectureOf(metadata);
  const config = { ...found.config(facts), tie_word_embeddings: !facts.tensors.has("output.weight") };
  const causal = metadata.boolean(".attention.causal") ?? true;
  if (!causal) throw new ModelError(mismatch(`${file}: ${architecture}.attention.causal`, "true", false));
  metadata.expectAllRead();
  const heads = metadata.require(".attention.head_count", metadata.each(".attention.head_count"));
  const kvHeads = metadata.each(".attention.head_count_kv") ?? heads;
  return { config: clean(config), names: found.names, heads: { heads, kvHeads } };
}

/** How the tensors of a file's architecture are named. Throws ModelError for another architecture. */
export function ggufNames(metadata: Metadata): GgufNames {
  return architectureOf(metadata).names;
}

function architectureOf({ architecture, file }: Metadata): Architecture {
  const found = Object.hasOwn(ARCHITECTURES, architecture) ? ARCHITECTURES[architecture] : undefined;
  if (found) return found;
  const expected = `one of ${Object.keys(ARCHITECTURES).join(", ")}`;
  throw new ModelError(mismatch(`${file}: general.architecture`, expected, architecture || "nothing"));
}

/** The rows of the embedding: the vocabulary of the model. */
function vocabulary({ metadata, tensors }: GgufFacts): number {
  const table = tensors.get("token_embd.weight");
  if (!table) throw new ModelError(mismatch(metadata.file, "tensor token_embd.weight", "none"));
  return table.shape[0] ?? 0;
}

/** Sizes, as LLaMA's config and those that follow it name them. */
function sizes(facts: GgufFacts): Config {
  const { metadata } = facts;
  const heads = metadata.require(".attention.head_count", metadata.each(".attention.head_count"));
  const headDim = metadata.number(".attention.key_length");
  const valueDim = metadata.number(".attention.value_length");
  if (valueDim !== undefined && headDim !== undefined && valueDim !== headDim) {
    const thing = `${metadata.file}: ${metadata.architecture}.attention.value_length`;
    throw new ModelError(mismatch(thing, `the key length (${headDim})`, valueDim));
  }
  return {
    vocab_size: vocabulary(facts),
    hidden_size: metadata.number(".embedding_length"),
    intermediate_size: metadata.each(".feed_forward_length"),
    num_hidden_layers: metadata.number(".block_count"),
    num_attention_heads: heads,
    num_key_value_heads: metadata.each(".attention.head_count_kv") ?? heads,
    head_dim: headDim,
    max_position_embeddings: metadata.number(".context_length"),
  };
}

/** Sizes, RMSNorm and rotary positions over whole heads. */
function rotary(facts: GgufFacts): Config {
  const { metadata } = facts;
  const dims = metadata.number(".rope.dimension_count");
  return {
    ...sizes(facts),
    ...rope(metadata, facts.rope),
    rms_norm_eps: metadata.number(".attention.layer_norm_rms_epsilon"),
    rotary_dim: dims === headDimOf(metadata) ? undefined : dims,
  };
}

/** Whether the first layer has biases, as Hugging Face's keys for LLaMA say it. */
function biases({ tensors }: GgufFacts): Config {
  return { attention_bias: tensors.has("blk.0.attn_q.bias"), mlp_bias: tensors.has("blk.0.ffn_up.bias") || undefined };
}

/** LLaMA; with a window Mistral. */
function llama(facts: GgufFacts): Config {
  const window = facts.metadata.number(".attention.sliding_window");
  if (window) return { model_type: "mistral", ...rotary(facts), sliding_window: window };
  return { model_type: "llama", ...rotary(facts), ...biases(facts) };
}

/** layer_types: every `pattern`-th layer is full, the others slide, unless the metadata says it for every layer. */
function layerTypes({ metadata }: GgufFacts, pattern: number): string[] {
  const given = metadata.get(".attention.sliding_window_pattern");
  const layers = metadata.require(".block_count", metadata.number(".block_count"));
  const slides = (layer: number) =>
    ArrayBuffer.isView(given)
      ? Number((given as Uint8Array)[layer]) !== 0
      : (layer + 1) % (Number(given) || pattern) !== 0;
  const count = layers > 0 && layers < 2 ** 16 ? layers : 0;
  return Array.from({ length: count }, (_, i) => (slides(i) ? "sliding_attention" : "full_attention"));
}

/** What Gemma 2 and 3 share. `large`: layers of the one whose scale is that of hidden_size / heads. */
function gemma(facts: GgufFacts, large: number): Config {
  const { metadata } = facts;
  const config = rotary(facts);
  const scale = metadata.number(".attention.scale");
  const headDim = headDimOf(metadata);
  const isLarge = config.num_hidden_layers === large;
  const scalar = isLarge ? Number(config.hidden_size) / Number(config.num_attention_heads) : headDim;
  return {
    ...config,
    head_dim: headDim,
    hidden_activation: "gelu_pytorch_tanh",
    sliding_window: metadata.number(".attention.sliding_window"),
    query_pre_attn_scalar: scale === undefined ? scalar : Math.fround(scale ** -2),
    attn_logit_softcapping: metadata.number(".attn_logit_softcapping"),
    final_logit_softcapping: metadata.number(".final_logit_softcapping"),
  };
}

function gemma2(facts: GgufFacts): Config {
  return { model_type: "gemma2", ...gemma(facts, 46), layer_types: layerTypes(facts, 2) };
}

/** Those without a window (1B trained on short texts) are full in every layer. */
function gemma3(facts: GgufFacts): Config {
  const config = gemma(facts, 62);
  return {
    model_type: "gemma3_text",
    ...config,
    rope_local_base_freq: facts.metadata.number(".rope.freq_base_swa") ?? 10000,
    layer_types: layerTypes(facts, config.sliding_window ? 6 : 1),
  };
}

function phi3(facts: GgufFacts): Config {
  const { metadata } = facts;
  return {
    ...{ model_type: "phi3", ...rotary(facts), rotary_dim: undefined },
    sliding_window: metadata.number(".attention.sliding_window") || undefined,
    partial_rotary_factor: rotaryPart(metadata),
    original_max_position_embeddings: metadata.number(".rope.scaling.original_context_length"),
  };
}

function gptNeox(facts: GgufFacts): Config {
  const { metadata } = facts;
  const { num_key_value_heads: _, head_dim: __, ...config } = sizes(facts);
  const { rope_theta: theta, rope_scaling: scaling } = rope(metadata, facts.rope);
  return {
    ...{ model_type: "gpt_neox", ...config, rope_scaling: scaling, rotary_emb_base: theta },
    rotary_pct: rotaryPart(metadata),
    layer_norm_eps: metadata.number(".attention.layer_norm_epsilon"),
    use_parallel_residual: metadata.boolean(".use_parallel_residual") ?? true,
    hidden_act: "gelu",
  };
}

/** Every fourth layer has no positions: llama.cpp knows no other SmolLM3. */
function smollm3(facts: GgufFacts): Config {
  const config = rotary(facts);
  const length = Math.min(Number(config.num_hidden_layers) || 0, 2 ** 16);
  const noRope = Array.from({ length }, (_, i) => ((i + 1) % 4 === 0 ? 0 : 1));
  return { model_type: "smollm3", ...config, ...biases(facts), no_rope_layers: noRope };
}

/** With a window it is OLMo 3. */
function olmo2(facts: GgufFacts): Config {
  const window = facts.metadata.number(".attention.sliding_window");
  if (!window) return { model_type: "olmo2", ...rotary(facts), ...biases(facts) };
  return { model_type: "olmo3", ...rotary(facts), sliding_window: window, layer_types: layerTypes(facts, 4) };
}

function granite(facts: GgufFacts): Config {
  const { metadata } = facts;
  const finetuned = metadata.boolean(".rope.scaling.finetuned") ?? true;
  if (!finetuned) {
    const thing = `${metadata.file}: granite.rope.scaling.finetuned`;
    throw new ModelError(mismatch(thing, "true, a model with rotary positions", false));
  }
  return {
    ...{ model_type: "granite", ...rotary(facts), ...biases(facts) },
    embedding_multiplier: metadata.number(".embedding_scale"),
    residual_multiplier: metadata.number(".residual_scale"),
    attention_multiplier: metadata.number(".attention.scale"),
    logits_scaling: metadata.number(".logit_scale"),
  };
}

/** Ministral 3, whose queries grow with their position beyond the original length. */
function ministral3(facts: GgufFacts): Config {
  const { metadata } = facts;
  const { rope_scaling: scaling, ...config } = rotary(facts);
  const original = metadata.number(".rope.scaling.original_context_length");
  const length = metadata.number(".attention.temperature_length") ?? original;
  if (length !== original) {
    const thing = `${metadata.file}: mistral3.attention.temperature_length`;
    throw new ModelError(mismatch(thing, `the original context length (${original})`, length));
  }
  const beta = metadata.number(".attention.temperature_scale");
  const factors = { ...(scaling as Config | undefined), ...(beta ? { llama_4_scaling_beta: beta } : {}) };
  return { model_type: "ministral3", ...config, rope_scaling: scaling && factors };
}

function stablelm(facts: GgufFacts): Config {
  const { metadata, tensors } = facts;
  const { rms_norm_eps: _, rotary_dim: __, ...config } = rotary(facts);
  return {
    ...{ model_type: "stablelm", ...config },
    layer_norm_eps: metadata.number(".attention.layer_norm_epsilon"),
    partial_rotary_factor: rotaryPart(metadata),
    use_parallel_residual: metadata.boolean(".use_parallel_residual") ?? false,
    use_qkv_bias: tensors.has("blk.0.attn_q.bias"),
    qk_layernorm: tensors.has("blk.0.attn_q_norm.weight"),
  };
}

function mpt(facts: GgufFacts): Config {
  const { metadata, tensors } = facts;
  const hidden = metadata.require(".embedding_length", metadata.number(".embedding_length"));
  const inner = metadata.each(".feed_forward_length") ?? 4 * hidden;
  const biasMax = metadata.number(".attention.max_alibi_bias");
  return {
    ...{ model_type: "mpt", vocab_size: vocabulary(facts), d_model: hidden, expansion_ratio: inner / hidden },
    n_heads: metadata.each(".attention.head_count"),
    n_layers: metadata.number(".block_count"),
    max_seq_len: metadata.number(".context_length"),
    layer_norm_epsilon: metadata.number(".attention.layer_norm_epsilon"),
    no_bias: !tensors.has("blk.0.attn_norm.bias"),
    attn_config: clean({
      alibi: biasMax !== 0,
      alibi_bias_max: biasMax || undefined,
      clip_qkv: metadata.number(".attention.clamp_kqv") || undefined,
    }),
  };
}
