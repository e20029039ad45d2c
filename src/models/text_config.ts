import { ModelError, mismatch } from "../base/errors.ts";
import { absent, type Key, noEffect, readConfig } from "../formats/config.ts";
import { isRecord } from "../formats/json.ts";
import type { Program } from "./program.ts";

/** The tensors of such models that text does not need, by the start of their names without base_model_prefix. */
const OTHER_TENSORS = ["vision_tower.", "multi_modal_projector."];

const textConfig: Key<Readonly<Record<string, unknown>>> = (value = {}, name) => {
  if (isRecord(value)) return value;
  throw new ModelError(mismatch(name, "an object", value));
};

const schema = {
  text_config: textConfig,
  // Of the whole or of its text part: the former takes precedence, as in transformers' tie_weights.
  tie_word_embeddings: (value: unknown) => value,
  quantization_config: absent,
  vision_config: noEffect,
  mm_tokens_per_image: noEffect,
  projector_hidden_act: noEffect,
  vision_feature_layer: noEffect,
  multimodal_projector_bias: noEffect,
  spatial_merge_size: noEffect,
};

/** The program of the text part of a model that also sees, which `make` makes of its text_config. */
export function textProgram(
  modelType: string,
  raw: Readonly<Record<string, unknown>>,
  name: string,
  make: (text: Readonly<Record<string, unknown>>, name: string) => Program,
): Program {
  const { text_config: text, tie_word_embeddings: tied, withoutEffect } = readConfig(raw, name, schema);
  const program = make(tied === undefined ? text : { ...text, tie_word_embeddings: tied }, `${name}: text_config`);
  const inText = program.withoutEffect.map((key) => `text_config.${key}`);
  return { ...program, modelType, withoutEffect: [...withoutEffect, ...inText], otherTensors: OTHER_TENSORS };
}
