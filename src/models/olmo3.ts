import { integer, readConfig, wordsOf } from "../formats/config.ts";
import { windowedLayers } from "./gated.ts";
import { attentionShape, GATED_PARTS, gatedDecoder, gatedKeys, rotaryByType } from "./llama.ts";
import { olmoKeys, olmoVariant } from "./olmo2.ts";
import { MAX, type Program } from "./program.ts";
import { ropeByType } from "./rope_config.ts";

/** OLMo 3: OLMo 2 with a window in three of four layers; the scaling of RoPE is of the others. see: HF Olmo3ForCausalLM */
export function olmo3(raw: Readonly<Record<string, unknown>>, name: string): Program {
  const layers = gatedKeys.num_hidden_layers(raw.num_hidden_layers ?? undefined, `${name}: num_hidden_layers`);
  const config = readConfig(
    raw,
    name,
    {
      ...olmoKeys,
      sliding_window: integer(MAX.positions, "sliding_window" in raw ? undefined : 4096),
      layer_types: wordsOf(layers, "full_attention", "sliding_attention"),
      rope_parameters: ropeByType("full_attention", "sliding_attention"),
    },
    GATED_PARTS,
  );
  const theta = config.rope_theta ?? 5e5;
  const { headDim } = attentionShape(name, config);
  const { global, windowed } = rotaryByType(name, config, headDim, { global: theta, windowed: theta });
  const window = windowedLayers(config, 4);
  return gatedDecoder(
    "olmo3",
    name,
    { ...config, rope_parameters: undefined },
    {
      ...olmoVariant(config),
      ...{ window, positions: (layer) => (window(layer) ? windowed : global) },
    },
  );
}
