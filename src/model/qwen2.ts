import { integer, noEffect, only, readConfig } from "../formats/config.ts";
import { GATED_PARTS, gatedDecoder, gatedKeys } from "./llama.ts";
import { MAX, type Program } from "./program.ts";

/** Qwen2 and Qwen2.5: LLaMA with biases on the query, key and value projections. see: HF Qwen2ForCausalLM */
export function qwen2(raw: Readonly<Record<string, unknown>>, name: string): Program {
  const config = readConfig(
    raw,
    name,
    {
      ...gatedKeys,
      // transformers' own default, 32, holds only where the key is absent: null means as many as heads.
      ...("num_key_value_heads" in raw ? {} : { num_key_value_heads: integer(MAX.heads, 32) }),
      use_sliding_window: only(false),
      use_mrope: only(false),
      // Without use_sliding_window these say nothing.
      sliding_window: noEffect,
      max_window_layers: noEffect,
      // transformers does not read this one: query, key and value have biases, the rest has none.
      attention_bias: noEffect,
      mlp_bias: only(false),
      qkv_bias: only(true),
      use_qkv_bias: only(true),
    },
    GATED_PARTS,
  );
  const variant = { qkvBias: true, outBias: false, mlpBias: false, slidingWindow: undefined };
  return gatedDecoder("qwen2", name, config, variant);
}
