/** Rotary positions from a config, with what HF modeling_rope_utils.py makes of scalings that also change logits. */
import type { Policy, Position } from "./attention";
import * as math from "./math";
import { type Config, number, ropeFrequencies, text } from "./parts";

export interface About {
  /** Of layer_types. */
  type?: string;
  policy: Policy;
  /** How long the text is. */
  tokens: number;
  /** Where the config has none: 10000 and 1. */
  theta?: number;
  partialRotaryFactor?: number;
}

export type Rope = Extract<Position, { kind: "rope" }>;

/** The positions of a layer whose heads have `headDim` numbers. */
export function ropeOf(config: Config, headDim: number, about: About): Rope {
  const parameters = (config.rope_scaling ?? config.rope_parameters ?? {}) as Config;
  const type = about.type ?? "full_attention";
  const given = (parameters[type] ?? parameters) as Config;
  const partial = number(
    given,
    "partial_rotary_factor",
    number(config, "partial_rotary_factor", about.partialRotaryFactor ?? 1),
  );
  const rotaryDim = Math.floor(headDim * partial);
  const theta = number(given, "rope_theta", number(config, "rope_theta", about.theta ?? 10000));
  const rope = { kind: "rope", layout: "half" } as const;
  const length = number(config, "max_position_embeddings");
  const original = number(
    config,
    "original_max_position_embeddings",
    (given.original_max_position_embeddings ?? length) as number,
  );
  const factor = number(given, "factor", length / original);
  switch (text(given, "rope_type", text(given, "type", "default"))) {
    case "yarn": {
      const [betaFast, betaSlow] = [number(given, "beta_fast", 32), number(given, "beta_slow", 1)];
      const truncate = (given.truncate ?? true) as boolean;
      const scaling = { type: "yarn", factor, betaFast, betaSlow, truncate, originalContext: original } as const;
      const inverseFrequencies = math.inverseFrequencies(rotaryDim, theta, scaling);
      return { ...rope, inverseFrequencies, factor: number(given, "attention_factor", yarnFactor(factor, given)) };
    }
    case "longrope": {
      const isLong = spanOf(about.policy, about.tokens) > original;
      const factors = (isLong ? given.long_factor : given.short_factor) as number[];
      const inverseFrequencies = math.inverseFrequencies(rotaryDim, theta, { type: "divided", factors });
      const own = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
      return { ...rope, inverseFrequencies, factor: number(given, "attention_factor", own) };
    }
    default:
      return { ...rope, inverseFrequencies: ropeFrequencies({ rope_theta: theta, ...config }, rotaryDim, type) };
  }
}

/** _compute_yarn_parameters: get_mscale. */
function yarnFactor(factor: number, { mscale, mscale_all_dim: allDim }: Config): number {
  const getMscale = (scale: number, times = 1) => (scale <= 1 ? 1 : 0.1 * times * Math.log(scale) + 1);
  if (mscale && allDim) return getMscale(factor, mscale as number) / getMscale(factor, allDim as number);
  return getMscale(factor);
}

/** How far apart a query and a key may be, which longrope's factors follow; transformers: how long the text is. */
function spanOf({ policy, nGlobal = 0, nLocal = Infinity, limit = nLocal }: Policy, tokens: number): number {
  switch (policy) {
    case "full":
      return tokens;
    case "ceiling-only":
      return Math.min(limit, tokens);
    case "lambda":
      return limit;
    case "window":
      return nLocal;
    case "sinks":
      return nGlobal + nLocal;
    case "lambda-only":
      return Infinity;
  }
}
