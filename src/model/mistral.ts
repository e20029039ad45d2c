import { integer, noEffect, optionalInteger, readConfig } from "../formats/config.ts";
import { gatedDecoder, gatedKeys } from "./llama.ts";
import { MAX, type Program } from "./program.ts";

/**
 * Mistral 7B and its kin: LLaMA without biases, trained with a sliding window where the config has one.
 * see: HF MistralForCausalLM
 */
export function mistral(raw: Readonly<Record<string, unknown>>, name: string): Program {
  const config = readConfig(raw, name, {
    ...gatedKeys,
    num_key_value_heads: integer(MAX.heads, 8),
    // transformers' own default, 4096, holds only where the key is absent: null means none.
    sliding_window: optionalInteger(MAX.positions),
    max_sequence_length: noEffect,
  });
  const slidingWindow = "sliding_window" in raw ? config.sliding_window : 4096;
  return gatedDecoder("mistral", name, config, { qkvBias: false, outBias: false, mlpBias: false, slidingWindow });
}
