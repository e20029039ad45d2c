import { absent, integer, object, optionalNumber, readConfig } from "../formats/config.ts";
import { gemmaKeys, gemmaVariant, windowedLayers } from "./gemma2.ts";
import { GATED_PARTS, gatedDecoder, rotary } from "./llama.ts";
import { MAX, type Program } from "./program.ts";
import { ropeKeys } from "./rope_config.ts";
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
      rope_parameters: object({
        full_attention: ropeKeys.rope_parameters,
        sliding_attention: ropeKeys.rope_parameters,
      }),
      // transformers does not read it here: refused rather than ignored.
      attn_logit_softcapping: absent,
    },
    GATED_PARTS,
  );
  const { rope_parameters: types, head_dim: headDim, rope_theta: theta = 1e6 } = config;
  const global = { ...config, rope_theta: theta, rope_parameters: types?.full_attention };
  const localTheta = config.rope_local_base_freq ?? 1e4;
  const local = {
    ...global,
    rope_theta: localTheta,
    rope_scaling: undefined,
    rope_parameters: types?.sliding_attention,
  };
  const [everywhere, inWindow] = [rotary(name, global, headDim), rotary(name, local, headDim)];
  const window = windowedLayers(config, config.sliding_window_pattern);
  return gatedDecoder("gemma3_text", name, global, {
    ...gemmaVariant(config),
    ...{ window, positions: (layer) => (window(layer) ? inWindow : everywhere), queryKeyNorm: "head" },
  });
}

/** The text part of Gemma 3 with vision. see: HF Gemma3ForConditionalGeneration */
export function gemma3(raw: Readonly<Record<string, unknown>>, name: string): Program {
  return textProgram("gemma3", raw, name, gemma3Text);
}
