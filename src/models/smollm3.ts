import {
  boolean,
  integer,
  type Key,
  listOf,
  noEffect,
  optionalInteger,
  readConfig,
  wordsOf,
} from "../formats/config.ts";
import { attentionShape, GATED_PARTS, gatedDecoder, gatedKeys, rotary } from "./llama.ts";
import { MAX, type Program } from "./program.ts";

/** A list with 1 for every layer that has RoPE, and 0 for every one without positions; undefined if absent. */
function ropeLayers(layers: number): Key<readonly number[] | undefined> {
  return (value, name) => {
    if (value === undefined) return undefined;
    const flags = Array.isArray(value) ? value.slice(0, layers) : [];
    const at = (i: number) => integer(1, undefined, 0)(flags[i] ?? undefined, `${name}[${i}]`);
    return Array.from({ length: layers }, (_, i) => at(i));
  };
}

/**
 * SmolLM3: LLaMA with layers without positions, by default every fourth, and, with use_sliding_window, a window in those.
 * see: HF SmolLM3ForCausalLM, SmolLM3Config
 */
export function smollm3(raw: Readonly<Record<string, unknown>>, name: string): Program {
  const slides = raw.use_sliding_window === true;
  const layers = gatedKeys.num_hidden_layers(raw.num_hidden_layers ?? undefined, `${name}: num_hidden_layers`);
  const config = readConfig(
    raw,
    name,
    {
      ...gatedKeys,
      // transformers' default, 4, applies only where the key is absent: null means as many as heads.
      ...("num_key_value_heads" in raw ? {} : { num_key_value_heads: integer(MAX.heads, 4) }),
      tie_word_embeddings: boolean(true),
      attention_bias: boolean(false),
      mlp_bias: boolean(false),
      no_rope_layers: ropeLayers(layers),
      no_rope_layer_interval: integer(MAX.layers, 4),
      use_sliding_window: boolean(false),
      sliding_window: slides ? optionalInteger(MAX.positions) : noEffect,
      layer_types: slides ? wordsOf(layers, "full_attention", "sliding_attention") : listOf("full_attention"),
      max_window_layers: noEffect,
    },
    GATED_PARTS,
  );
  const { no_rope_layer_interval: interval, layer_types: types, sliding_window: window } = config;
  const rotates = (layer: number) => (config.no_rope_layers?.[layer] ?? Number((layer + 1) % interval !== 0)) === 1;
  const isWindowed = (layer: number) => (types ? types[layer] === "sliding_attention" : !rotates(layer));
  const rope = rotary(name, config, attentionShape(name, config).headDim, { theta: 2e6 });
  return gatedDecoder("smollm3", name, config, {
    qkvBias: config.attention_bias,
    outBias: config.attention_bias,
    mlpBias: config.mlp_bias,
    positions: (layer) => (rotates(layer) ? rope : { kind: "none" }),
    window: (layer) => (slides && isWindowed(layer) ? window : undefined),
  });
}
