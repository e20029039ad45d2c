/**
 * Whole models by their definition: token ids in, logits out, in float64, from the keys of config.json and the tensor
 * names of the checkpoint as they are. One function per family, to be read beside the Hugging Face class it names.
 * A key that is null counts as absent; an absent key takes Hugging Face's default.
 */
import { attention, type Policy, type Position } from "./attention";
import * as math from "./math";
import { neighbour } from "./neighbours";
import {
  activation,
  type Config,
  embed,
  embeddings,
  flag,
  get,
  inLayer,
  layerType,
  number,
  project,
  text,
  type Watch,
} from "./parts";
import { POSITIONED } from "./positioned";
import { ropeOf } from "./rope";
import type { Tensors } from "./safetensors";

export type { Config, Watch } from "./parts";

/** ids [n] → logits [n][vocab_size]: row p says which token follows ids[0..p]. */
export function forward(
  config: Config,
  tensors: Tensors,
  ids: ArrayLike<number>,
  policy: Policy,
  watch?: Watch,
): Float64Array[] {
  switch (config.model_type) {
    case "llama":
      return llama(config, tensors, ids, policy, watch);
    case "mistral":
      return mistral(config, tensors, ids, policy, watch);
    case "qwen2":
      return qwen2(config, tensors, ids, policy, watch);
    case "mpt":
      return mpt(config, tensors, ids, policy, watch);
    case "gptj":
      return gptj(config, tensors, ids, policy, watch);
    default:
      return (POSITIONED[config.model_type as string] ?? neighbour)(config, tensors, ids, policy, watch);
  }
}

/** HF LlamaForCausalLM. */
function llama(
  config: Config,
  tensors: Tensors,
  ids: ArrayLike<number>,
  policy: Policy,
  watch?: Watch,
): Float64Array[] {
  const attentionBias = flag(config, "attention_bias", false);
  const kvHeads = number(config, "num_key_value_heads", number(config, "num_attention_heads"));
  const bias = { qkv: attentionBias, o: attentionBias, mlp: flag(config, "mlp_bias", false) };
  return llamaLike(config, tensors, ids, policy, kvHeads, bias, watch);
}

/** HF MistralForCausalLM: no biases. Its sliding_window is the caller's policy: window with nLocal = sliding_window. */
function mistral(
  config: Config,
  tensors: Tensors,
  ids: ArrayLike<number>,
  policy: Policy,
  watch?: Watch,
): Float64Array[] {
  const kvHeads = number(config, "num_key_value_heads", 8);
  return llamaLike(config, tensors, ids, policy, kvHeads, { qkv: false, o: false, mlp: false }, watch);
}

/** HF Qwen2ForCausalLM: biases on q, k and v, always; with use_sliding_window, a window in the layers of that type. */
function qwen2(
  config: Config,
  tensors: Tensors,
  ids: ArrayLike<number>,
  policy: Policy,
  watch?: Watch,
): Float64Array[] {
  const kvHeads = number(config, "num_key_value_heads", 32);
  return llamaLike(config, tensors, ids, policy, kvHeads, { qkv: true, o: false, mlp: false }, watch);
}

/** What llama, mistral and qwen2 share: RMSNorm, RoPE in halves, grouped keys and values, gated feed-forward. */
function llamaLike(
  config: Config,
  tensors: Tensors,
  ids: ArrayLike<number>,
  policy: Policy,
  kvHeads: number,
  bias: { qkv: boolean; o: boolean; mlp: boolean },
  watch?: Watch,
): Float64Array[] {
  const hiddenSize = number(config, "hidden_size");
  const heads = number(config, "num_attention_heads");
  const headDim = number(config, "head_dim", hiddenSize / heads);
  const eps = number(config, "rms_norm_eps", 1e-6);
  const act = activation(text(config, "hidden_act", "silu"));
  const { embedding, head } = embeddings(config, tensors, "model.embed_tokens.weight", false);

  let x = embed(ids, embedding, hiddenSize); // [n][hidden_size]
  watch?.hidden(0, x);
  for (let l = 0; l < number(config, "num_hidden_layers"); l++) {
    const layer = `model.layers.${l}`;
    const type = layerType(config, l);
    const window = type === "sliding_attention" ? number(config, "sliding_window") : undefined;
    const rope = ropeOf(config, headDim, { type, policy, tokens: ids.length });
    const h = math.rmsNorm(x, get(tensors, `${layer}.input_layernorm.weight`), eps);
    const q = project(tensors, `${layer}.self_attn.q_proj`, h, bias.qkv); // [n][heads·headDim]
    const k = project(tensors, `${layer}.self_attn.k_proj`, h, bias.qkv); // [n][kvHeads·headDim]
    const v = project(tensors, `${layer}.self_attn.v_proj`, h, bias.qkv); // [n][kvHeads·headDim]
    const mine = inLayer(policy, watch, l, window);
    const a = attention(q, k, v, { heads, kvHeads, headDim }, rope, ...mine); // [n][heads·headDim]
    x = math.add(x, project(tensors, `${layer}.self_attn.o_proj`, a, bias.o));

    const m = math.rmsNorm(x, get(tensors, `${layer}.post_attention_layernorm.weight`), eps);
    const gate = math.map(project(tensors, `${layer}.mlp.gate_proj`, m, bias.mlp), act); // [n][intermediate_size]
    const up = project(tensors, `${layer}.mlp.up_proj`, m, bias.mlp); // [n][intermediate_size]
    x = math.add(x, project(tensors, `${layer}.mlp.down_proj`, math.multiply(gate, up), bias.mlp));
    watch?.hidden(l + 1, x);
  }
  return math.linear(math.rmsNorm(x, get(tensors, "model.norm.weight"), eps), head);
}

/**
 * HF MptForCausalLM, and MosaicML's original (llm-foundry, models/mpt/modeling_mpt.py) where Hugging Face's ignores a
 * key: alibi_bias_max, expansion_ratio, and no_bias: false (then every linear and every norm has a bias, the head not).
 */
function mpt(config: Config, tensors: Tensors, ids: ArrayLike<number>, policy: Policy, watch?: Watch): Float64Array[] {
  const dModel = number(config, "d_model");
  const heads = number(config, "n_heads");
  const eps = number(config, "layer_norm_epsilon", 1e-5);
  const bias = !flag(config, "no_bias", true);
  const expansionRatio = number(config, "expansion_ratio", 4);
  const attn = (config.attn_config ?? {}) as Config;
  if (!flag(attn, "alibi", true)) throw new Error("attn_config.alibi: expected true, found false");
  if (flag(attn, "qk_ln", false)) throw new Error("attn_config.qk_ln: expected false, found true");
  if (config.logit_scale != null) throw new Error(`logit_scale: expected null, found ${config.logit_scale}`);
  const clip = number(attn, "clip_qkv", Number.POSITIVE_INFINITY) || Number.POSITIVE_INFINITY; // 0 means none too
  const headDim = dModel / heads;
  const shape = { heads, kvHeads: heads, headDim, scale: number(attn, "softmax_scale", 1 / Math.sqrt(headDim)) };
  const alibi: Position = { kind: "alibi", slopes: math.alibiSlopes(heads, number(attn, "alibi_bias_max", 8)) };
  const { embedding, head } = embeddings(config, tensors, "transformer.wte.weight", true);
  const norm = (name: string, x: Float64Array[]) =>
    math.layerNorm(x, get(tensors, `${name}.weight`), bias ? get(tensors, `${name}.bias`) : null, eps);

  let x = embed(ids, embedding, dModel); // [n][d_model]
  watch?.hidden(0, x);
  for (let l = 0; l < number(config, "n_layers"); l++) {
    const block = `transformer.blocks.${l}`;
    const wqkv = project(tensors, `${block}.attn.Wqkv`, norm(`${block}.norm_1`, x), bias);
    const qkv = math.map(wqkv, (value) => Math.max(-clip, Math.min(clip, value))); // [n][3·d_model]
    const part = (i: number) => qkv.map((row) => row.slice(i * dModel, (i + 1) * dModel)); // [n][d_model]
    const a = attention(part(0), part(1), part(2), shape, alibi, ...inLayer(policy, watch, l)); // [n][d_model]
    x = math.add(x, project(tensors, `${block}.attn.out_proj`, a, bias));

    const up = project(tensors, `${block}.ffn.up_proj`, norm(`${block}.norm_2`, x), bias);
    if (up[0] && up[0].length !== expansionRatio * dModel)
      throw new Error(`${block}.ffn.up_proj.weight: expected ${expansionRatio * dModel} rows, found ${up[0].length}`);
    x = math.add(x, project(tensors, `${block}.ffn.down_proj`, math.map(up, math.gelu), bias)); // GELU with erf
    watch?.hidden(l + 1, x);
  }
  return math.linear(norm("transformer.norm_f", x), head);
}

/** HF GPTJForCausalLM: attention and feed-forward side by side on one norm; RoPE on the first rotary_dim, theta 10000. */
function gptj(config: Config, tensors: Tensors, ids: ArrayLike<number>, policy: Policy, watch?: Watch): Float64Array[] {
  const nEmbd = number(config, "n_embd");
  const heads = number(config, "n_head");
  const eps = number(config, "layer_norm_epsilon", 1e-5);
  const act = activation(text(config, "activation_function", "gelu_new"));
  const shape = { heads, kvHeads: heads, headDim: nEmbd / heads };
  const frequencies = math.inverseFrequencies(number(config, "rotary_dim", 64), 10000);
  const rope: Position = { kind: "rope", inverseFrequencies: frequencies, layout: "interleaved" };
  const { embedding, head } = embeddings(config, tensors, "transformer.wte.weight", false);
  const norm = (name: string, x: Float64Array[]) =>
    math.layerNorm(x, get(tensors, `${name}.weight`), get(tensors, `${name}.bias`), eps);

  let x = embed(ids, embedding, nEmbd); // [n][n_embd]
  watch?.hidden(0, x);
  for (let l = 0; l < number(config, "n_layer"); l++) {
    const block = `transformer.h.${l}`;
    const h = norm(`${block}.ln_1`, x);
    const q = project(tensors, `${block}.attn.q_proj`, h, false); // [n][n_embd]
    const k = project(tensors, `${block}.attn.k_proj`, h, false); // [n][n_embd]
    const v = project(tensors, `${block}.attn.v_proj`, h, false); // [n][n_embd]
    const a = project(
      tensors,
      `${block}.attn.out_proj`,
      attention(q, k, v, shape, rope, ...inLayer(policy, watch, l)),
      false,
    );
    const inner = math.map(project(tensors, `${block}.mlp.fc_in`, h, true), act); // [n][n_inner]
    x = math.add(math.add(a, project(tensors, `${block}.mlp.fc_out`, inner, true)), x);
    watch?.hidden(l + 1, x);
  }
  return math.linear(norm("transformer.ln_f", x), head, get(tensors, "lm_head.bias"));
}
