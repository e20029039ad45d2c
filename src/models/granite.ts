import { absent, boolean, number, readConfig } from "../formats/config.ts";
import { GATED_PARTS, gatedDecoder, gatedKeys } from "./llama.ts";
import type { Program } from "./program.ts";

/** Granite 3: LLaMA with factors of embeddings, attention, residuals and logits. see: HF GraniteForCausalLM */
export function granite(raw: Readonly<Record<string, unknown>>, name: string): Program {
  const config = readConfig(
    raw,
    name,
    {
      ...gatedKeys,
      attention_bias: boolean(false),
      mlp_bias: boolean(false),
      embedding_multiplier: number(1),
      attention_multiplier: number(1),
      residual_multiplier: number(1),
      logits_scaling: number(1),
      query_pre_attn_scalar: absent,
    },
    GATED_PARTS,
  );
  return gatedDecoder("granite", name, config, {
    ...{ qkvBias: config.attention_bias, outBias: config.attention_bias, mlpBias: config.mlp_bias },
    ...{ embedScale: config.embedding_multiplier, scale: config.attention_multiplier },
    ...{ residualScale: config.residual_multiplier, logitScale: 1 / config.logits_scaling },
  });
}
