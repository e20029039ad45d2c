import { boolean, number, only, readConfig } from "../formats/config.ts";
import type { GatedVariant } from "./gated.ts";
import { GATED_PARTS, gatedDecoder, gatedKeys } from "./llama.ts";
import type { Program } from "./program.ts";

/** The config keys that OLMo 2 and 3 share. */
export const olmoKeys = {
  ...gatedKeys,
  rms_norm_eps: number(1e-5),
  attention_bias: boolean(false),
  mlp_bias: only(false),
} as const;

/** What OLMo 2 and 3 make of LLaMA. see: HF Olmo2DecoderLayer, Olmo2Attention */
export function olmoVariant(config: { readonly attention_bias: boolean }) {
  return {
    ...{ qkvBias: config.attention_bias, outBias: config.attention_bias, mlpBias: false },
    norms: { attention: { after: "post_attention_layernorm" }, mlp: { after: "post_feedforward_layernorm" } },
    queryKeyNorm: "all",
  } as const satisfies GatedVariant;
}

/**
 * OLMo 2: norms of what attention and MLP add to the hidden state in place of those of what they read, and of all
 * queries and all keys of a token together. see: HF Olmo2ForCausalLM
 */
export function olmo2(raw: Readonly<Record<string, unknown>>, name: string): Program {
  const config = readConfig(raw, name, olmoKeys, GATED_PARTS);
  return gatedDecoder("olmo2", name, config, olmoVariant(config));
}
