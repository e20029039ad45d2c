import { ModelError, mismatch } from "../base/errors.ts";
import { type Key, object, only, optionalInteger, optionalNumber, type Values } from "../formats/config.ts";
import { isRecord } from "../formats/json.ts";
import type { RopeScaling } from "./positions.ts";

const ROPE_TYPES = ["default", "linear", "llama3"] as const;
type RopeType = (typeof ROPE_TYPES)[number];

function ropeType(value: unknown, name: string): RopeType | undefined {
  const found = ROPE_TYPES.find((type) => type === value);
  if (found || value === undefined) return found;
  throw new ModelError(mismatch(name, "rope type default, linear or llama3", value));
}

const scalingKeys = {
  rope_type: ropeType,
  type: ropeType,
  rope_theta: optionalNumber(1),
  factor: optionalNumber(),
  low_freq_factor: optionalNumber(),
  high_freq_factor: optionalNumber(),
  original_max_position_embeddings: optionalInteger(2 ** 40),
  partial_rotary_factor: only(1),
} as const;

/** One of the two objects. The type is checked first: other keys of an unsupported type matter less. */
const scaling: Key<Values<typeof scalingKeys> | undefined> = (value, name) => {
  if (isRecord(value)) ropeType(value.rope_type ?? value.type ?? undefined, name);
  return object(scalingKeys)(value, name);
};

/** The config keys of RoPE: transformers 4's `rope_theta` and `rope_scaling`, 5's `rope_parameters`. */
export const ropeKeys = {
  rope_theta: optionalNumber(1),
  rope_scaling: scaling,
  rope_parameters: scaling,
  original_max_position_embeddings: optionalInteger(2 ** 40),
  partial_rotary_factor: only(1),
} as const;

type RopeConfig = { readonly [K in keyof typeof ropeKeys]: ReturnType<(typeof ropeKeys)[K]> };

/**
 * The base and scaling of RoPE. As in transformers 5, rope_scaling takes precedence over rope_parameters, and a
 * rope_theta inside either over the one at the top level. see: HF modeling_rope_utils.py
 */
export function ropeOf(
  config: RopeConfig,
  name: string,
  trainedLength: number,
): { theta: number; scaling: RopeScaling } {
  const [key, given] = config.rope_scaling
    ? (["rope_scaling", config.rope_scaling] as const)
    : (["rope_parameters", config.rope_parameters] as const);
  const theta = given?.rope_theta ?? config.rope_parameters?.rope_theta ?? config.rope_theta ?? 10000;
  const type = given?.rope_type ?? given?.type ?? "default";
  if (!given || type === "default") return { theta, scaling: { type: "default" } };
  const need = (field: "factor" | "low_freq_factor" | "high_freq_factor"): number => {
    const value = given[field];
    if (value !== undefined) return value;
    throw new ModelError(mismatch(`${name}: ${key}.${field}`, `a number for ${type} scaling`, "nothing"));
  };
  if (type === "linear") return { theta, scaling: { type, factor: need("factor") } };
  const lowFreqFactor = need("low_freq_factor");
  const highFreqFactor = need("high_freq_factor");
  if (highFreqFactor <= lowFreqFactor) {
    const expected = `more than low_freq_factor (${lowFreqFactor})`;
    throw new ModelError(mismatch(`${name}: ${key}.high_freq_factor`, expected, highFreqFactor));
  }
  const originalMaxPositionEmbeddings =
    config.original_max_position_embeddings ?? given.original_max_position_embeddings ?? trainedLength;
  return {
    theta,
    scaling: { type, factor: need("factor"), lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings },
  };
}
