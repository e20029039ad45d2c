/**
 * Keys of a config.json that no schema has to declare.
 *
 * transformers ignores a key that a model's config class does not read, whatever its value. Here it is refused by name,
 * because it may stand for a computation that this model lacks, unless it cannot:
 *
 * - its value is empty (null, [] or {}),
 * - its name is about something other than logits: training, heads of other tasks, ids of special tokens, how code
 * runs, versions, front ends, transformers' own model testers (UNRELATED),
 * - its value is neutral: a switch that is off, a factor of 1, an amount of 0 (`isNeutral`).
 */

/**
 * Keys that any Hugging Face config may have and that change nothing here: what PretrainedConfig writes in transformers
 * 4 and 5, its old generation defaults (generation_config.json counts instead), and leftovers of trainers.
 */
export const COMMON: ReadonlySet<string> = new Set(
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
  sequence_bias dola_layers _from_model_config keys_to_ignore_at_inference`.split(/\s+/),
);

/** Names about something other than how logits are computed. */
const UNRELATED: readonly RegExp[] = [
  // training: dropouts, initialisation, losses, precision
  /drop_?out|pdrop|layer_?drop|drop_(path|rate|prob)|(^|_)(noise|jitter)(_|$)/i,
  /^init(_|ial)|_init(_|$)|initiali[sz]|_init(ial)?_(std|value|scale)/,
  /(^|_)loss(es)?(_|$)|label_smoothing|gradient|(^|_)(is_)?train(ing|er|able)?(_|$)|learning_rate|weight_decay|deepspeed|^(lr|optim(izer)?|epochs?|warmup)(_|$)/,
  /(^|_)(fp16|bf16|fp32|float32|dtype|amp)$|(^|_)upcast/,
  // heads and inputs of other tasks
  /^(summary|classifier|pooler)_|^num_(choices|classes)$|^type_(vocab|sequence_label)_size$|^problem_|(^|_)(id2|label2)/,
  /^use_(labels|input_mask|token_type_ids|mc_token_ids)$|^(batch_size|scope|expert_interval)$/,
  // other vocabulary sizes: that of the weights is vocab_size
  /(^|_)vocab_size(_|$)/,
  // special tokens, by id or by name
  /(^|_)tokens?_?(ids?|index)$|(^|_)special(_tokens?)?(_|$)|^(bos|eos|pad|unk|sep|mask|cls|eod|eot|im_start|im_end)(_token|_id)$/,
  // lengths used in training or of other files; the trained length has its own key
  /^n_(ctx|positions)$|^(model_|train_|pretrain_)?(max_)?(seq(uence)?|context|position)_?(len|length|window|size)$/,
  // how the code runs, what serves or stores it
  /^_(?!_)|flash|xformers|sdpa|(^|_)attn?_?(ention)?_impl|(^|_)cache(_|$)|onnx|compile|(^|_)device|offload|(^|_)kernels?$/,
  /(tensor|pipeline|sequence|model)_parallel|(^|_)(tp|pp|dp)(_size)?$|^world_size$|checkpoint|(^|_)(mtp|nextn)(_|$)/,
  // versions and names
  /(^|_)(version|date|author|license|description|comment|language|languages|tags?|url|dataset|datasets)$|^(un)?sloth_/,
  /^(tokenizer|processor)_|^((base_)?model_|project_|run_|hub_)?(name|id|path|revision)$|(^|_)name_or_path$|^base_model$/,
  // presets and texts of KoboldAI and others
  /^(badwordsids|bad_?words|newlinemode|nobreakmodel|welcome|antemplate|formatoptns|sampler_(order|seed)|temp|tfs|top_a)$/,
  /^(typical|rep_pen(_range|_slope)?|genamt|numseqs|ikmax|ikgen|useprompt|adventure|chatmode|dynamicscan|singleline)$/,
  /^(default_)?(preset|prompt|system_prompt|chat_template|greeting|memory|authornote|prompt_template|instructions?)$/,
];

/** Names of factors, which have no effect at 1. Those of attention's logits replace one that is not 1. */
const FACTOR = /(multiplier|scale|scaling|_factor|_pct|_percent(age)?|rope_ratio)s?$|^(scale|scaling)_/;
const ATTENTION = /att(entio)?n|softmax|query|^qk?_|^head/;
/** Names of amounts that are added, cut off or chosen from, which have no effect at 0. */
const AMOUNT = /soft_?cap|_cap$|capping|(^|_)clip(_|$)|bias|window|experts?(_|$)|moe|adapter|prefix|(^|_)lora_|extra/;

/**
 * Whether an undeclared key cannot change what a model computes. `parts`: words in the names of the model's components,
 * for which no value is neutral.
 */
export function isHarmless(key: string, value: unknown, parts: RegExp): boolean {
  if (value === null || COMMON.has(key)) return true;
  if (typeof value === "object" && Object.keys(value as object).length === 0) return true;
  return UNRELATED.some((pattern) => pattern.test(key)) || isNeutral(key, value, parts);
}

function isNeutral(key: string, value: unknown, parts: RegExp): boolean {
  if (parts.test(key)) return false;
  if (value === 0) return AMOUNT.test(key);
  return value === false || (value === 1 && FACTOR.test(key) && !ATTENTION.test(key));
}
