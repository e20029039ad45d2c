import { ModelError, mismatch, show } from "../base/errors.ts";
import type { Choosing } from "../engine/sampler.ts";
import { stopStringFault } from "../tokenizer/stop.ts";

type Json = Readonly<Record<string, unknown>>;

/** Keys that ask for another way of generating, with the values that have no effect. */
const UNSUPPORTED: Readonly<Record<string, readonly unknown[]>> = {
  ...{ num_beams: [1], num_beam_groups: [1], diversity_penalty: [0], early_stopping: [false], length_penalty: [1] },
  ...{ constraints: [], force_words_ids: [], num_return_sequences: [1], penalty_alpha: [0], low_memory: [false] },
  ...{ guidance_scale: [1], watermarking_config: [], token_healing: [false], dola_layers: [], use_mtp: [false] },
  ...{ speculation_type: [], max_matching_ngram_size: [], assistant_early_exit: [] },
  ...{ is_assistant: [false], num_assistant_tokens: [20], num_assistant_tokens_schedule: ["constant"] },
  ...{ assistant_confidence_threshold: [0.4], assistant_lookbehind: [10], target_lookbehind: [10] },
  ...{ assistant_ensemble_weight: [] },
};

/**
 * What a model's files say about generation. A key is checked when it is read, so unused ones may have any value;
 * errors are ModelErrors that name file and key. Values that transformers treats as "off" are undefined here. see: HF
 * GenerationConfig
 */
export class GenerationConfig {
  /** As in transformers, config.json if there is no generation_config.json. */
  readonly file: string;
  readonly #values: Json;
  readonly #config: Json;

  constructor(config: Json, generationConfig: Json) {
    const given = Object.keys(generationConfig).length > 0;
    this.file = given ? "generation_config.json" : "config.json";
    this.#values = given ? generationConfig : config;
    this.#config = config;
  }

  /** One sentence for each key that asks for something unsupported. */
  get warnings(): string[] {
    return Object.entries(UNSUPPORTED).flatMap(([key, harmless]) => {
      const value = this.#values[key] ?? undefined;
      if (value === undefined || harmless.includes(value)) return [];
      return [`${this.file}: ${key} is not supported and has no effect, found ${show(value)}`];
    });
  }

  #get<T>(key: string, expected: string, good: (value: unknown) => boolean): T | undefined {
    const value = this.#values[key] ?? undefined;
    if (value === undefined || good(value)) return value as T | undefined;
    throw new ModelError(mismatch(`${this.file}: ${key}`, expected, value));
  }

  boolean(key: string): boolean | undefined {
    return this.#get(key, "true or false", (value) => typeof value === "boolean");
  }

  number(key: string, expected = "a number", good = (_: number) => true): number | undefined {
    return this.#get(key, expected, (value) => typeof value === "number" && good(value));
  }

  /** A number that is off unless above 0, and then an integer. */
  count(key: string): number | undefined {
    const value = this.number(key, "a whole number", (value) => value <= 0 || Number.isInteger(value)) ?? 0;
    return value > 0 ? value : undefined;
  }

  /** A number above 0 that is off at 1. */
  factor(key: string): number | undefined {
    const value = this.number(key, "a number above 0", (value) => value > 0);
    return value === 1 ? undefined : value;
  }

  /** A number that is off outside (0, 1). */
  share(key: string): number | undefined {
    const value = this.number(key) ?? 0;
    return value > 0 && value < 1 ? value : undefined;
  }

  /** Token ids; those that the model does not have are ignored. */
  ids(key: string): readonly number[] | undefined {
    return this.#get(key, "a list of token ids", (value) => Array.isArray(value) && value.every(Number.isInteger));
  }

  get #isToken(): (value: unknown) => boolean {
    return isTokenOf(this.#config);
  }

  /** One or more tokens of the model. */
  tokens(key: string): readonly number[] | undefined {
    const good = (value: unknown) => [value].flat().every(this.#isToken);
    const value = this.#get<number | number[]>(key, "token ids of the model", good);
    return value === undefined ? undefined : [value].flat();
  }

  /** One token of the model. */
  token(key: string): number | undefined {
    return this.#get(key, "a token id of the model", this.#isToken);
  }

  /** Lists of tokens of the model. */
  sequences(key: string): readonly (readonly number[])[] | undefined {
    const good = (value: unknown) => Array.isArray(value) && value.every((item) => isSequence(item, this.#isToken));
    return this.#get(key, "lists of token ids of the model", good);
  }

  /** Lists of tokens of the model, each with a bias. */
  sequenceBias(): Choosing["sequenceBias"] {
    const isPair = (pair: unknown) =>
      Array.isArray(pair) && pair.length === 2 && isSequence(pair[0], this.#isToken) && isBias(pair[1]);
    const good = (value: unknown) => Array.isArray(value) && value.every(isPair);
    return this.#get("sequence_bias", "pairs of a list of token ids of the model and a number", good);
  }

  /** Number of new tokens after which stop tokens are favoured, and by what factor per token. */
  exponentialDecay(): readonly [number, number] | undefined {
    return this.#get("exponential_decay_length_penalty", "a whole number and a factor", (value) => {
      return Array.isArray(value) && value.length === 2 && Number.isInteger(value[0]) && Number.isFinite(value[1]);
    });
  }

  /** One or more strings. */
  stopStrings(): readonly string[] | undefined {
    const value = this.#values.stop_strings ?? undefined;
    if (value === undefined) return undefined;
    const stops = [value].flat();
    const fault = stops.map(stopStringFault).find((fault) => fault !== undefined);
    if (fault) throw new ModelError(mismatch(`${this.file}: stop_strings`, ...fault));
    return stops as string[];
  }

  /** From generation_config.json, else from config.json, else none. */
  stopTokens(): Set<number> {
    const key = "eos_token_id";
    const here = (this.#values[key] ?? undefined) !== undefined;
    const [file, value] = here ? [this.file, this.#values[key]] : ["config.json", this.#config[key]];
    const list = [value ?? []].flat();
    if (list.every(Number.isInteger)) return new Set(list as number[]);
    throw new ModelError(mismatch(`${file}: ${key}`, "token ids", value));
  }
}

/** A test of whether a value is a token id of this config's model. */
export function isTokenOf({ vocab_size }: Json): (value: unknown) => boolean {
  const size = typeof vocab_size === "number" ? vocab_size : Infinity;
  return (value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) < size;
}

/** Whether a value can be added to a logit; -Infinity: never chosen. */
export function isBias(value: unknown): value is number {
  return typeof value === "number" && value < Infinity;
}

/** Whether a value is a non-empty list of token ids. */
export function isSequence(value: unknown, isToken: (value: unknown) => boolean): boolean {
  return Array.isArray(value) && value.length > 0 && value.every(isToken);
}
