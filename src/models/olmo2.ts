import { boolean, number, only, readConfig } from "../formats/config.ts";
import { GATED_PARTS, gatedDecoder, gatedKeys } from "./llama.ts";
import type { Program } from "./program.ts";

/**
 * OLMo 2: LLaMA with norms of what attention and MLP add to the hidden state in place of those of what they read, and of
 * all queries and all keys of a token together. see: HF Olmo2ForCausalLM, Olmo2Attention
 */
export function olmo2(raw: Readonly<Record<string, unknown>>, name: string): Program {
  const schema = { ...gatedKeys, rms_norm_eps: number(1e-5), attention_bias: boolean(false), mlp_bias: only(false) };
  const config = readConfig(raw, name, schema, GATED_PARTS);
  return gatedDecoder("olmo2", name, config, {
    ...{ qkvBias: config.attention_bias, outBias: config.attention_bias, mlpBias: false },
    norms: { attention: { after: "post_attention_layernorm" }, mlp: { after: "post_feedforward_layernorm" } },
    queryKeyNorm: "all",
  });
}
