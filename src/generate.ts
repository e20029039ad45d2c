import { ModelError, mismatch, OptionError } from "./errors.ts";
import { checkSampling, type Sampling } from "./sampler.ts";

type OptionalSampling = { readonly [K in keyof Sampling]?: Sampling[K] | undefined };

/** How a text is continued. Names are Hugging Face's in camelCase; what is not given comes from generation_config.json. */
export interface GenerateOptions extends OptionalSampling {
  /** Tokens to add at most; −1: until stopped. Hugging Face's default is 20. */
  readonly maxNewTokens?: number | undefined;
  /** Stream of random numbers, 0 to 2^53 − 1; drawn unless told. */
  readonly seed?: number | undefined;
  /** The text ends before the first of these. */
  readonly stopStrings?: readonly string[] | undefined;
  /** Go on behind the model's stop tokens. */
  readonly ignoreEos?: boolean | undefined;
  /** Leave BOS, EOS and the like out of the text; default true. Stop strings are found in them either way. */
  readonly skipSpecialTokens?: boolean | undefined;
  /** model.generate alone: wait for a free session, first come, first served, instead of the error; default false. */
  readonly wait?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Tokens of the prompt read, of how many. */
  readonly onProgress?: ((read: number, total: number) => void) | undefined;
}

/** Every setting of a generation, decided: the caller's, else generation_config.json's, else Hugging Face's. */
export interface Settings extends Sampling {
  readonly maxNewTokens: number;
  readonly stopTokens: ReadonlySet<number>;
  readonly stopStrings: readonly string[];
}

export function resolveSettings(
  options: GenerateOptions,
  config: Readonly<Record<string, unknown>>,
  generationConfig: Readonly<Record<string, unknown>>,
): Settings {
  const from = <T>(key: string, type: "number" | "boolean"): T | undefined => {
    const value = generationConfig[key] ?? undefined;
    if (value === undefined || typeof value === type) return value as T | undefined;
    throw new ModelError(mismatch(`generation_config.json: ${key}`, `a ${type}`, value));
  };
  // Who asks for a way of sampling wants to sample; temperature 0 is the common word for not wanting it.
  const { topK, topP, minP } = options;
  const asks = [options.temperature, topK, topP, minP].some((value) => value !== undefined);
  const temperature = options.temperature ?? from<number>("temperature", "number") ?? 1;
  const doSample =
    temperature !== 0 && (options.doSample ?? (asks || (from<boolean>("do_sample", "boolean") ?? false)));
  const settings = {
    doSample,
    temperature: temperature === 0 ? 1 : temperature,
    topK: topK ?? from<number>("top_k", "number") ?? 50,
    topP: topP ?? from<number>("top_p", "number") ?? 1,
    minP: minP ?? from<number>("min_p", "number") ?? 0,
    repetitionPenalty: options.repetitionPenalty ?? from<number>("repetition_penalty", "number") ?? 1,
    maxNewTokens: options.maxNewTokens ?? from<number>("max_new_tokens", "number") ?? 20,
    stopTokens: options.ignoreEos
      ? new Set<number>()
      : stopTokens(generationConfig.eos_token_id ?? config.eos_token_id),
    stopStrings: options.stopStrings ?? stopStrings(generationConfig.stop_strings),
  };
  checkSampling(settings);
  if (!Array.isArray(settings.stopStrings))
    throw new OptionError(mismatch("stopStrings", "a list of strings", settings.stopStrings));
  const { maxNewTokens } = settings;
  if (!((Number.isSafeInteger(maxNewTokens) && maxNewTokens >= -1) || maxNewTokens === Infinity)) {
    throw new OptionError(mismatch("maxNewTokens", "a whole number, -1 for no end", maxNewTokens));
  }
  if (options.seed !== undefined && !(Number.isSafeInteger(options.seed) && options.seed >= 0)) {
    throw new OptionError(mismatch("seed", "a whole number from 0 to 2^53 − 1", options.seed));
  }
  return { ...settings, maxNewTokens: maxNewTokens < 0 ? Infinity : maxNewTokens };
}

function stopTokens(value: unknown): Set<number> {
  const list = value === undefined || value === null ? [] : Array.isArray(value) ? value : [value];
  for (const id of list) {
    if (!Number.isInteger(id)) throw new ModelError(mismatch("eos_token_id", "token ids", value));
  }
  return new Set(list as number[]);
}

function stopStrings(value: unknown): string[] {
  const list = value === undefined || value === null ? [] : Array.isArray(value) ? value : [value];
  if (list.every((item) => typeof item === "string")) return list;
  throw new ModelError(mismatch("generation_config.json: stop_strings", "strings", value));
}
