import { contiguous } from "../base/rows.ts";
import {
  absent,
  boolean,
  divides,
  integer,
  type Key,
  noEffect,
  number,
  object,
  oneOf,
  only,
  optionalNumber,
  readConfig,
  type Values,
  withoutAliases,
} from "../formats/config.ts";
import { isRecord } from "../formats/json.ts";
import { HIDDEN, LAST } from "./buffers.ts";
import { decoder } from "./decoder.ts";
import { alibiSlopes } from "./positions.ts";
import { type AttentionOperation, MAX, type Operation, type Program, Weights } from "./program.ts";

const unused = (...keys: string[]) => Object.fromEntries(keys.map((key) => [key, noEffect]));

/** By name only: other kinds of linear layers and norms compute something else. */
const linearKind: Key<undefined> = (value, name) =>
  only("torch")(isRecord(value) ? readConfig(value, name, { name: oneOf("torch") }).name : value, name);
const mlpKeys = { fc_type: linearKind, ffn_type: only("mptmlp") };

const attentionKeys = {
  attn_type: oneOf("multihead_attention"),
  clip_qkv: optionalNumber(-1e-30),
  softmax_scale: optionalNumber(),
  alibi: only(true),
  alibi_bias_max: number(8),
  prefix_lm: only(false),
  qk_ln: only(false),
  qk_gn: only(false),
  rope: only(false),
  sliding_window_size: only(-1),
  attn_logit_softcapping: absent,
  kv_n_heads: absent,
  kv_dim: absent,
  reuse_kv_layer_idx: absent,
  fused_qkv: only(true),
  fc_type: linearKind,
  // attn_uses_sequence_id packs several documents for training; the rope_* keys have no effect without rope.
  ...unused("attn_impl", "attn_uses_sequence_id", "verbose"),
  ...unused("rope_impl", "rope_theta", "rope_dail_config", "rope_hf_config"),
} as const;

/** attribute_map of transformers' MptConfig. */
const ALIASES = { hidden_size: "d_model", num_attention_heads: "n_heads", num_hidden_layers: "n_layers" };
/** MPT's components, as words in names of switches; see isHarmless. */
const PARTS = /causal|alibi|bias|fused|before|pre_?norm|gelu|^(use_)?(residual|attention|attn|mlp|norm|layer_?norm)s?$/;

const schema = {
  vocab_size: integer(MAX.vocab),
  d_model: integer(MAX.dim),
  n_heads: integer(MAX.heads),
  n_layers: integer(MAX.layers),
  max_seq_len: integer(MAX.positions),
  expansion_ratio: number(4),
  no_bias: boolean(true),
  layer_norm_epsilon: number(1e-5),
  norm_eps: number(1e-5),
  tie_word_embeddings: boolean(true),
  attn_config: object(attentionKeys),
  logit_scale: absent,
  final_logit_softcapping: absent,
  block_overrides: absent,
  norm_type: oneOf("low_precision_layernorm", "layernorm"),
  fc_type: linearKind,
  ffn_config: object(mlpKeys),
  per_layer_config: absent,
  quantization_config: absent,
  layer_types: absent,
  mlp_layer_types: absent,
  // learned_pos_emb says nothing beside alibi; embedding_fraction scales gradients.
  ...unused("learned_pos_emb", "embedding_fraction", "verbose", "use_norm_bias", "use_pad_tok_in_ffn"),
  ...unused("tie_last_hidden_states"),
  causal: only(true),
  is_causal: only(true),
  alibi: only(true),
  // Other architectures' keys, which neither llm-foundry nor transformers reads here.
  ...unused("intermediate_size", "hidden_act", "max_position_embeddings", "layer_norm_eps"),
} as const;

/**
 * MPT-7B, MPT-7B-StoryWriter: LayerNorm, ALiBi, one matrix for query, key and value. The config means what it does in
 * MosaicML's llm-foundry; transformers' own MPT ignores alibi_bias_max, expansion_ratio and no_bias: false. see: HF
 * MptForCausalLM, llm-foundry MPTForCausalLM
 */
export function mpt(raw: Readonly<Record<string, unknown>>, name: string): Program {
  const config = readConfig(withoutAliases(raw, ALIASES), name, schema, PARTS);
  const attn = config.attn_config ?? readConfig({}, `${name}: attn_config`, attentionKeys);
  const hidden = config.d_model;
  const heads = config.n_heads;
  divides(`${name}: d_model`, hidden, "n_heads", heads);
  const headDim = hidden / heads;
  const inner = integer(MAX.dim)(config.expansion_ratio * hidden, `${name}: expansion_ratio · d_model`);
  const eps = raw.norm_eps === undefined ? config.layer_norm_epsilon : config.norm_eps;
  const attention = attentionOf(attn, heads, headDim);
  const weights = new Weights();
  const bias = !config.no_bias;
  const norm = (y: string, x: string, tensor: string) => weights.layerNorm(y, x, tensor, hidden, eps, bias);
  const third = (y: string, layer: string, index: number): Operation[] => {
    const matmul = thirdOf(weights, `${layer}.attn.Wqkv`, y, index * hidden, hidden, bias);
    return attn.clip_qkv ? [matmul, { op: "clip", y, a: y, factor: attn.clip_qkv }] : [matmul];
  };
  const table = weights.table("transformer.wte.weight", config.vocab_size, hidden, config.tie_word_embeddings);
  const layers = Array.from({ length: config.n_layers }, (_, i): Operation[] => {
    const layer = `transformer.blocks.${i}`;
    return [
      norm("normed", HIDDEN, `${layer}.norm_1`),
      ...third("q", layer, 0),
      ...third("k", layer, 1),
      ...third("v", layer, 2),
      attention,
      weights.update("attended", `${layer}.attn.out_proj`, hidden, hidden, bias),
      norm("normed", HIDDEN, `${layer}.norm_2`),
      weights.linear("inner", "normed", `${layer}.ffn.up_proj`, inner, hidden, bias),
      { op: "gelu", y: "inner", a: "inner" },
      weights.update("inner", `${layer}.ffn.down_proj`, hidden, inner, bias),
    ];
  });
  return decoder({
    ...{ modelType: "mpt", config, trainedLength: config.max_seq_len, hidden, weights, table, layers },
    buffers: { q: hidden, k: hidden, v: hidden, attended: hidden, inner },
    finalNorm: norm(LAST, LAST, "transformer.norm_f"),
    headBias: false,
  });
}

function attentionOf(attn: Values<typeof attentionKeys>, heads: number, headDim: number): AttentionOperation {
  return {
    ...({ op: "attention", y: "attended", q: "q", k: "k", v: "v" } as const),
    shape: { heads, kvHeads: heads, headDim, scale: attn.softmax_scale ?? 1 / Math.sqrt(headDim) },
    positions: { kind: "alibi", slopes: alibiSlopes(heads, attn.alibi_bias_max) },
    window: undefined,
  };
}

/** y = query, key or value of `normed`: the third of the rows of a tensor [3 · hidden, hidden] from `first` on. */
function thirdOf(weights: Weights, tensor: string, y: string, first: number, hidden: number, bias: boolean): Operation {
  const part = (kind: "weight" | "bias", ...columns: [] | [number]) =>
    weights.rows(
      `${tensor}.${kind}[${y}]`,
      [`${tensor}.${kind}`],
      [3 * hidden, ...columns],
      contiguous(first, hidden),
      [hidden, ...columns] as [number] | [number, number],
    );
  return { op: "matmul", y, x: "normed", weight: part("weight", hidden), bias: bias ? part("bias") : undefined };
}
