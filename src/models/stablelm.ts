import { boolean, integer, noEffect, number, only, readConfig } from "../formats/config.ts";
import { HIDDEN, LAST } from "./buffers.ts";
import { decoder } from "./decoder.ts";
import { attentionShape, GATED_PARTS, gatedKeys, rotary } from "./llama.ts";
import { MAX, type Operation, type Program, Weights } from "./program.ts";
import { partialRotaryFactor, ropeKeysWith } from "./rope_config.ts";

/**
 * StableLM 3B, StableLM 2: LLaMA with LayerNorms, RoPE on a part of each head, and, with use_parallel_residual, attention
 * and MLP side by side on one norm. see: HF StableLmForCausalLM, StableLmConfig
 */
export function stablelm(raw: Readonly<Record<string, unknown>>, name: string): Program {
  const config = readConfig(
    raw,
    name,
    {
      ...gatedKeys,
      ...ropeKeysWith({ partial_rotary_factor: partialRotaryFactor }),
      ...("num_key_value_heads" in raw ? {} : { num_key_value_heads: integer(MAX.heads, 32) }),
      layer_norm_eps: number(1e-5),
      rms_norm_eps: noEffect,
      use_qkv_bias: boolean(false),
      use_parallel_residual: boolean(false),
      // Norms of queries and keys with weights of their own for every head.
      qk_layernorm: only(false),
      attention_bias: noEffect,
      mlp_bias: only(false),
    },
    GATED_PARTS,
  );
  const hidden = config.hidden_size;
  const inner = config.intermediate_size;
  const shape = attentionShape(name, config);
  const { heads, kvHeads, headDim } = shape;
  const positions = rotary(name, config, headDim, { partialRotaryFactor: 0.25 });
  const weights = new Weights();
  const bias = config.use_qkv_bias;
  const norm = (y: string, x: string, tensor: string) =>
    weights.layerNorm(y, x, tensor, hidden, config.layer_norm_eps, true);
  const [queries, keys] = [heads * headDim, kvHeads * headDim];
  const table = weights.table("model.embed_tokens.weight", config.vocab_size, hidden, config.tie_word_embeddings);
  const layers = Array.from({ length: config.num_hidden_layers }, (_, i): Operation[] => {
    const layer = `model.layers.${i}`;
    return [
      norm("normed", HIDDEN, `${layer}.input_layernorm`),
      weights.linear("q", "normed", `${layer}.self_attn.q_proj`, queries, hidden, bias),
      weights.linear("k", "normed", `${layer}.self_attn.k_proj`, keys, hidden, bias),
      weights.linear("v", "normed", `${layer}.self_attn.v_proj`, keys, hidden, bias),
      { op: "attention", y: "attended", q: "q", k: "k", v: "v", shape, positions, window: undefined },
      weights.update("attended", `${layer}.self_attn.o_proj`, hidden, queries, false),
      ...(config.use_parallel_residual ? [] : [norm("normed", HIDDEN, `${layer}.post_attention_layernorm`)]),
      weights.linear("gate", "normed", `${layer}.mlp.gate_proj`, inner, hidden, false),
      weights.linear("up", "normed", `${layer}.mlp.up_proj`, inner, hidden, false),
      { op: "siluMul", y: "gate", a: "gate", b: "up" },
      weights.update("gate", `${layer}.mlp.down_proj`, hidden, inner, false),
    ];
  });
  return decoder({
    ...{ modelType: "stablelm", config, trainedLength: config.max_position_embeddings, hidden, weights, table, layers },
    buffers: { q: queries, k: keys, v: keys, attended: queries, gate: inner, up: inner },
    finalNorm: norm(LAST, LAST, "model.norm"),
    headBias: false,
  });
}
