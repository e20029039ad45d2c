import { integer, listOf, noEffect, only, optionalInteger, optionalNumber, readConfig } from "../formats/config.ts";
import { GATED_PARTS, gatedDecoder, gatedKeys } from "./llama.ts";
import { MAX, type Program } from "./program.ts";
import { ropeKeysWith } from "./rope_config.ts";

/** The rope parameters of transformers' Ministral3Config where a config has none. */
const ROPE = {
  ...{ rope_type: "yarn", rope_theta: 1e6, factor: 16, original_max_position_embeddings: 16384 },
  ...{ beta_fast: 32, beta_slow: 1, mscale: 1, mscale_all_dim: 1, llama_4_scaling_beta: 0.1 },
};

/**
 * Ministral 3: Mistral with yarn, and queries that grow with the logarithm of their position. Where a policy clamps
 * distances, the position counts as at most its ceiling too: Λ then treats every query alike, however long the text is.
 * see: HF Ministral3ForCausalLM, Ministral3Config
 */
export function ministral3(raw: Readonly<Record<string, unknown>>, name: string): Program {
  const given = raw.rope_scaling ?? raw.rope_parameters ?? undefined;
  const config = readConfig(
    given === undefined ? { ...raw, rope_parameters: ROPE } : raw,
    name,
    {
      ...gatedKeys,
      // transformers' default, 8, applies only where the key is absent: null means as many as heads.
      ...("num_key_value_heads" in raw ? {} : { num_key_value_heads: integer(MAX.heads, 8) }),
      ...("head_dim" in raw ? {} : { head_dim: integer(MAX.dim, 128) }),
      ...ropeKeysWith({ llama_4_scaling_beta: optionalNumber(-1e-30), max_position_embeddings: noEffect }),
      sliding_window: optionalInteger(MAX.positions),
      layer_types: listOf("full_attention", ...(raw.sliding_window ? ["sliding_attention"] : [])),
      attention_bias: only(false),
      mlp_bias: only(false),
    },
    GATED_PARTS,
  );
  const variant = { qkvBias: false, outBias: false, mlpBias: false, window: () => config.sliding_window };
  return gatedDecoder("ministral3", name, config, variant);
}
