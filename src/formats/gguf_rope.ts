/** What a GGUF says about rotary positions, as keys of Hugging Face's configs. */
import { ModelError, mismatch } from "../base/errors.ts";
import type { Metadata } from "./gguf_metadata.ts";

/** Tensors that say something about positions, and are read before the others. */
export const ROPE_TENSORS = ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"];

/** Without keys that have no value. */
export function clean(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined));
}

/** Numbers of a head. */
export function headDimOf(metadata: Metadata): number {
  const heads = metadata.each(".attention.head_count") ?? 1;
  return metadata.number(".attention.key_length") ?? (metadata.number(".embedding_length") ?? 0) / heads;
}

/** The part of each head's numbers that is rotated: partial_rotary_factor. */
export function rotaryPart(metadata: Metadata): number {
  const dims = metadata.number(".rope.dimension_count");
  return dims === undefined ? 1 : dims / headDimOf(metadata);
}

/** The base and the scaling of rotary positions; `tensors`: the numbers of those of ROPE_TENSORS that there are. */
export function rope(metadata: Metadata, tensors: ReadonlyMap<string, readonly number[]>): Record<string, unknown> {
  const factors = tensors.get("rope_freqs.weight");
  const [long, short] = ["long", "short"].map((kind) => tensors.get(`rope_factors_${kind}.weight`));
  const theta = { rope_theta: metadata.number(".rope.freq_base") ?? 10000 };
  if (factors) return { ...theta, rope_scaling: { rope_type: "divided", factors } };
  if (!long || !short) return { ...theta, rope_scaling: scalingOf(metadata) };
  metadata.get(".rope.scaling.type");
  const longrope = { rope_type: "longrope", short_factor: short, long_factor: long };
  return {
    ...theta,
    rope_scaling: clean({ ...longrope, attention_factor: metadata.number(".rope.scaling.attn_factor") }),
    original_max_position_embeddings: metadata.number(".rope.scaling.original_context_length"),
  };
}

function scalingOf(metadata: Metadata): Record<string, unknown> | undefined {
  const key = ".rope.scaling.type";
  const factor = metadata.number(".rope.scaling.factor") ?? metadata.number(".rope.scale_linear");
  const type = metadata.string(key) ?? (factor === undefined || factor === 1 ? "none" : "linear");
  if (type === "none") return undefined;
  if (type === "linear") return { rope_type: "linear", factor };
  if (type !== "yarn") {
    const found = type === "longrope" ? "longrope without its tensors" : type;
    throw new ModelError(mismatch(`${metadata.file}: ${metadata.architecture}${key}`, "none, linear or yarn", found));
  }
  const extra = metadata.number(".rope.scaling.attn_factor") ?? 1;
  if (extra !== 1) {
    const thing = `${metadata.file}: ${metadata.architecture}.rope.scaling.attn_factor`;
    throw new ModelError(mismatch(thing, "1 beside yarn", extra));
  }
  const log = metadata.number(".rope.scaling.yarn_log_multiplier") || undefined;
  return clean({
    ...{ rope_type: "yarn", factor },
    original_max_position_embeddings: metadata.number(".rope.scaling.original_context_length"),
    beta_fast: metadata.number(".rope.scaling.yarn_beta_fast"),
    beta_slow: metadata.number(".rope.scaling.yarn_beta_slow"),
    attention_factor: metadata.number(".rope.scaling.yarn_attn_factor"),
    ...(log === undefined ? {} : { mscale: 1, mscale_all_dim: log }),
  });
}
