import { ModelError, mismatch, show } from "../errors.ts";
import { isRecord } from "./json.ts";

/**
 * What a model file says of one config key: how its value is read. `value` is undefined where the key is absent or null;
 * `name` is what errors call it.
 */
export type Key<T> = (value: unknown, name: string) => T;

/** Every key of a config, used or not. */
export type Schema = Readonly<Record<string, Key<unknown>>>;
export type Values<S extends Schema> = { readonly [K in keyof S]: ReturnType<S[K]> };

/**
 * Reads `raw` by its schema. A key that the schema does not declare is refused by name: a setting that nobody looked at
 * may change what the model computes.
 */
export function readConfig<S extends Schema>(
  raw: Readonly<Record<string, unknown>>,
  name: string,
  schema: S,
): Values<S> {
  for (const key of Object.keys(raw)) {
    if (Object.hasOwn(schema, key) || COMMON.has(key) || raw[key] === null || /^unsloth_/.test(key)) continue;
    throw new ModelError(mismatch(`${name}: ${show(key)}`, "a key that this kind of model has", raw[key]));
  }
  const values = Object.entries(schema).map(([key, read]) => {
    const value = Object.hasOwn(raw, key) ? raw[key] : undefined;
    return [key, read(value ?? undefined, `${name}: ${key}`)];
  });
  return Object.fromEntries(values) as Values<S>;
}

/** The keys of a config that may change what the model computes, in an order of its own: what a model's hash begins with. */
export function canonicalConfig(raw: Readonly<Record<string, unknown>>): string {
  const keys = Object.keys(raw).filter((key) => key === "model_type" || !(COMMON.has(key) || raw[key] === null));
  return JSON.stringify(keys.sort().map((key) => [key, raw[key]]));
}

function fail(name: string, expected: string, value: unknown): never {
  throw new ModelError(mismatch(name, expected, value === undefined ? "nothing" : value));
}

/** A whole number from 1 (or `min`) to `max`; `fallback` where it is absent, else it is required. */
export function integer(max: number, fallback?: number, min = 1): Key<number> {
  return (value, name) => {
    const number = value ?? fallback;
    if (typeof number === "number" && Number.isInteger(number) && number >= min && number <= max) return number;
    return fail(name, `a whole number from ${min} to ${max}`, value);
  };
}

/** A whole number as `integer` reads it, undefined where it is absent. */
export function optionalInteger(max: number): Key<number | undefined> {
  return (value, name) => (value === undefined ? undefined : integer(max)(value, name));
}

/** A finite number above `above` (0 unless told). */
export function number(fallback?: number, above = 0): Key<number> {
  return (value, name) => {
    const found = value ?? fallback;
    if (typeof found === "number" && found > above && found < 1e30 && (found === 0 || Math.abs(found) >= 1e-30))
      return found;
    return fail(name, `a number above ${above}`, value);
  };
}

export function optionalNumber(above = 0): Key<number | undefined> {
  return (value, name) => (value === undefined ? undefined : number(undefined, above)(value, name));
}

export function boolean(fallback: boolean): Key<boolean> {
  return (value, name) => {
    const found = value ?? fallback;
    return typeof found === "boolean" ? found : fail(name, "true or false", value);
  };
}

/** The only values that are supported, of which the first is meant where the key is absent. */
export function only<T extends string | number | boolean>(...values: T[]): Key<T> {
  return (value, name) => {
    if (value === undefined) return values[0] as T;
    if (values.includes(value as T)) return value as T;
    return fail(name, values.map((item) => JSON.stringify(item)).join(" or "), value);
  };
}

/** Only absent or null. */
export const absent: Key<undefined> = (value, name) =>
  value === undefined ? undefined : fail(name, "no value", value);

/** A key without effect on inference. */
export const noEffect: Key<undefined> = () => undefined;

/** An object with a schema of its own; undefined where it is absent. */
export function object<S extends Schema>(schema: S): Key<Values<S> | undefined> {
  return (value, name) => {
    if (value === undefined) return undefined;
    return isRecord(value) ? readConfig(value, name, schema) : fail(name, "an object", value);
  };
}

/** A list whose entries are all `item`, such as layer_types. */
export function listOf(item: string): Key<undefined> {
  return (value, name) => {
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every((entry) => entry === item)) return undefined;
    return fail(name, `a list of "${item}" alone`, value);
  };
}

/** Refuses a config unless `divisor` divides `value`. */
export function divides(name: string, value: number, divisorName: string, divisor: number): void {
  if (value % divisor !== 0) throw new ModelError(mismatch(name, `a multiple of ${divisorName} (${divisor})`, value));
}

/**
 * Keys that any Hugging Face config may have and that change nothing here: what transformers' PretrainedConfig has written
 * in versions 4 and 5, its old generation defaults (generation_config.json is what counts), and what trainers leave behind.
 */
const COMMON: ReadonlySet<string> = new Set(
  `model_type architectures _name_or_path name_or_path _commit_hash transformers_version dtype torch_dtype auto_map
  _attn_implementation _attn_implementation_internal _attn_implementation_autoset attn_implementation
  _experts_implementation _experts_implementation_internal experts_implementation _flash_attn_2_enabled
  use_flash_attention_2 use_flash_attn use_cache return_dict use_return_dict output_attentions output_hidden_states
  torchscript use_bfloat16 tf_legacy_loss xla_device chunk_size_feed_forward pruned_heads gradient_checkpointing
  is_decoder is_encoder_decoder add_cross_attention cross_attention_hidden_size tie_encoder_decoder
  finetuning_task task_specific_params problem_type id2label label2id num_labels initializer_range license
  tokenizer_class tokenizer_name tokenizer_padding_side tokenizer_model_max_length model_max_length prefix
  bos_token_id eos_token_id pad_token_id sep_token_id unk_token_id decoder_start_token_id vocab_file trust_remote_code
  neftune_noise_alpha transformers.js_config transformers_weights distributed_config
  max_length min_length max_new_tokens min_new_tokens do_sample early_stopping num_beams num_beam_groups
  diversity_penalty temperature top_k top_p min_p top_h typical_p repetition_penalty length_penalty
  no_repeat_ngram_size encoder_no_repeat_ngram_size encoder_repetition_penalty bad_words_ids num_return_sequences
  output_scores output_logits return_dict_in_generate forced_bos_token_id forced_eos_token_id
  remove_invalid_values exponential_decay_length_penalty suppress_tokens begin_suppress_tokens epsilon_cutoff
  eta_cutoff renormalize_logits guidance_scale penalty_alpha low_memory max_time stop_strings use_mtp
  cache_implementation cache_config max_cache_len disable_compile compile_config watermarking_config
  assistant_confidence_threshold assistant_early_exit assistant_ensemble_weight assistant_lookbehind target_lookbehind
  num_assistant_tokens num_assistant_tokens_schedule is_assistant max_matching_ngram_size prompt_lookup_num_tokens
  token_healing prefill_chunk_size speculation_type continuous_batching_config constraints force_words_ids
  sequence_bias dola_layers _from_model_config`.split(/\s+/),
);
