import { absent, integer, optionalNumber, readConfig } from "../formats/config.ts";
import { windowedLayers } from "./gated.ts";
import { gemmaKeys, gemmaVariant } from "./gemma2.ts";
import { GATED_PARTS, gatedDecoder, rotaryByType } from "./llama.ts";
import { MAX, type Program } from "./program.ts";
import { ropeByType } from "./rope_config.ts";
import { textProgram } from "./text_config.ts";

/**
 * Gemma 3: norms around attention and MLP, of queries and keys too; a window, and a base of RoPE of their own, in five
 * of six layers. see: HF Gemma3ForCausalLM, Gemma3TextConfig
 */
export function gemma3Text(raw: Readonly<Record<string, unknown>>, name: string): Program {
  const layers = integer(MAX.layers, 26)(raw.num_hidden_layers ?? undefined, `${name}: num_hidden_layers`);
  const config = readConfig(
    raw,
    name,
    {
      ...gemmaKeys(raw, layers),
      vocab_size: integer(MAX.vocab, 262208),
      max_position_embeddings: integer(MAX.positions, 131072),
      sliding_window_pattern: integer(MAX.layers, 6),
      rope_local_base_freq: optionalNumber(1),
      rope_parameters: ropeByType("full_attention", "sliding_attention"),
      // transformers does not read it here: refused rather than ignored.
      attn_logit_softcapping: absent,
    },
    GATED_PARTS,
  );
  const theta = { global: config.rope_theta ?? 1e6, windowed: config.rope_local_base_freq ?? 1e4 };
  const { global, windowed } = rotaryByType(name, config, config.head_dim, theta);
  const window = windowedLayers(config, config.sliding_window_pattern);
  return gatedDecoder(
    "gemma3_text",
    name,
    { ...config, rope_parameters: undefined },
    {
      ...gemmaVariant(config),
      ...{ window, positions: (layer) => (window(layer) ? windowed : global), queryKeyNorm: "head" },
    },
  );
}

/** The text part of Gemma 3 with vision. see: HF Gemma3ForConditionalGeneration */
export function gemma3(raw: Readonly<Record<string, unknown>>, name: string): Program {
  return textProgram("gemma3", raw, name, gemma3Text);
}
