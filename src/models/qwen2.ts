import { integer, listOf, noEffect, only, optionalInteger, readConfig, wordsOf } from "../formats/config.ts";
import { GATED_PARTS, gatedDecoder, gatedKeys } from "./llama.ts";
import { MAX, type Program } from "./program.ts";

/** The keys that Qwen2 and Qwen3 read differently from LLaMA. */
export function qwenKeys(raw: Readonly<Record<string, unknown>>, name: string) {
  const slides = raw.use_sliding_window === true;
  const layers = gatedKeys.num_hidden_layers(raw.num_hidden_layers ?? undefined, `${name}: num_hidden_layers`);
  return {
    // transformers' default, 32, applies only where the key is absent: null means as many as heads.
    ...("num_key_value_heads" in raw ? {} : { num_key_value_heads: integer(MAX.heads, 32) }),
    use_sliding_window: slides ? noEffect : only(false),
    // Without use_sliding_window these have no effect. Defaults are transformers'; null means no window.
    sliding_window: slides ? optionalInteger(MAX.positions) : noEffect,
    max_window_layers: slides ? integer(MAX.layers, 28, 0) : noEffect,
    layer_types: slides ? wordsOf(layers, "full_attention", "sliding_attention") : listOf("full_attention"),
  };
}

/** The window of a layer, with use_sliding_window: of those that layer_types names, or of all from max_window_layers on. */
export function qwenWindow(
  raw: Readonly<Record<string, unknown>>,
  config: {
    readonly sliding_window: number | undefined;
    readonly max_window_layers: number | undefined;
    readonly layer_types: readonly string[] | undefined;
  },
): (layer: number) => number | undefined {
  const { layer_types: types, max_window_layers: first = 0 } = config;
  const window = "sliding_window" in raw ? config.sliding_window : 4096;
  const isWindowed = (layer: number) => (types ? types[layer] === "sliding_attention" : layer >= first);
  return (layer) => (raw.use_sliding_window === true && isWindowed(layer) ? window : undefined);
}

/**
 * Qwen2 and Qwen2.5: LLaMA with biases on the query, key and value projections, and, with use_sliding_window, a window
 * in some layers. see: HF Qwen2ForCausalLM, Qwen2Config
 */
export function qwen2(raw: Readonly<Record<string, unknown>>, name: string): Program {
  const config = readConfig(
    raw,
    name,
    {
      ...gatedKeys,
      ...qwenKeys(raw, name),
      use_mrope: only(false),
      // transformers does not read this key: query, key and value have biases, the rest has none.
      attention_bias: noEffect,
      mlp_bias: only(false),
      qkv_bias: only(true),
      use_qkv_bias: only(true),
    },
    GATED_PARTS,
  );
  const biases = { qkvBias: true, outBias: false, mlpBias: false };
  return gatedDecoder("qwen2", name, config, { ...biases, window: qwenWindow(raw, config) });
}
