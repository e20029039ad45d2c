import { integer, listOf, noEffect, only, optionalInteger, readConfig } from "../formats/config.ts";
import { GATED_PARTS, gatedDecoder, gatedKeys } from "./llama.ts";
import { MAX, type Program } from "./program.ts";

/**
 * Mistral 7B and its derivatives: LLaMA without biases, trained with a sliding window if the config has one. see: HF
 * MistralForCausalLM
 */
export function mistral(raw: Readonly<Record<string, unknown>>, name: string): Program {
  const config = readConfig(
    raw,
    name,
    {
      ...gatedKeys,
      // transformers' defaults, 8 and 4096, apply only where the key is absent: null means as many as heads, and no
      // window.
      ...("num_key_value_heads" in raw ? {} : { num_key_value_heads: integer(MAX.heads, 8) }),
      sliding_window: optionalInteger(MAX.positions),
      max_window_layers: noEffect,
      // transformers reads nothing but the window: all layers have it, or none.
      layer_types: listOf("full_attention", ...(raw.sliding_window === null ? [] : ["sliding_attention"])),
      attention_bias: only(false),
      mlp_bias: only(false),
    },
    GATED_PARTS,
  );
  const slidingWindow = "sliding_window" in raw ? config.sliding_window : 4096;
  const variant = { qkvBias: false, outBias: false, mlpBias: false, window: () => slidingWindow };
  return gatedDecoder("mistral", name, config, variant);
}
