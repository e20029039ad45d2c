import { ModelError, mismatch, OptionError } from "../base/errors.ts";
import { messageOf } from "../base/realm.ts";
import { type Choosing, checkSampling } from "../engine/sampler.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { GenerateOptions } from "./generate_options.ts";
import { GenerationConfig, isBias, isSequence, isTokenOf } from "./generation_config.ts";

/** Every resolved setting of a generation: the caller's, else generation_config.json's, else Hugging Face's default. */
export interface Settings extends Choosing {
  readonly maxNewTokens: number;
  /** max_length of the file, if neither gives maxNewTokens: prompt and new tokens together. */
  readonly maxLength?: { readonly tokens: number; readonly file: string } | undefined;
  /** Seconds after which no further token is started. */
  readonly maxTime?: number | undefined;
  readonly stopTokens: ReadonlySet<number>;
  readonly stopStrings: readonly string[];
}

/** The smallest topP: it leaves only the most likely token, which is what 0 means to transformers. */
const LEAST_SHARE = Number.MIN_VALUE;

/**
 * Resolves the settings of a generation; `tokenizer` encodes texts of badWords. Throws OptionError for a caller's value
 * out of its range, ModelError for a value of the files that is used.
 */
export function resolveSettings(
  options: GenerateOptions,
  config: Readonly<Record<string, unknown>>,
  generationConfig: Readonly<Record<string, unknown>>,
  tokenizer?: Encoder,
): Settings {
  const file = new GenerationConfig(config, generationConfig);
  const isToken = isTokenOf(config);
  const ends = endsOf(options, file);
  const settings = {
    ...samplingOf(options, file),
    ...fileProcessing(file),
    ...ends,
    ...formatOf(options),
    sequenceBias: sequenceBias(options, file, isToken),
    badWordsIds: badWordsIds(options, file, ends.stopTokens, isToken, tokenizer),
    suppressTokens: suppressTokens(options, file, isToken),
    promptLookupNumTokens: options.promptLookupNumTokens ?? file.count("prompt_lookup_num_tokens"),
    topLogprobs: options.topLogprobs,
    noRepeatNgramSize: options.noRepeatNgramSize ?? file.count("no_repeat_ngram_size"),
  };
  checkSampling(settings);
  checkOptions(options, settings);
  checkForced(settings, file);
  return settings;
}

/**
 * The settings of a generation whose prompt has `promptTokens` tokens. Throws ModelError if max_length leaves no new
 * token.
 */
export function withPrompt(settings: Settings, promptTokens: number): Settings {
  const { maxLength } = settings;
  if (maxLength === undefined) return settings;
  const { tokens, file } = maxLength;
  if (tokens > promptTokens) return { ...settings, maxNewTokens: tokens - promptTokens };
  const expected = `more than the ${promptTokens} tokens of the prompt, or maxNewTokens as an option`;
  throw new ModelError(mismatch(`${file}: max_length`, expected, tokens));
}

/** The settings for choosing a single token, which is neither the start nor the end of a text. */
export function withoutEnds(settings: Settings): Settings {
  if (settings.responseFormat)
    throw new OptionError(mismatch("responseFormat", "none for a single token: use generate", settings.responseFormat));
  const none = { minNewTokens: undefined, beginSuppressTokens: undefined, forcedEosTokenId: undefined };
  return { ...settings, ...none };
}

/** Numbers that greedy choice does not use are not read. */
function samplingOf(options: GenerateOptions, file: GenerationConfig): Choosing {
  // Any sampling option implies sampling; temperature 0 means greedy.
  const { topK, topP, minP } = options;
  const asks = [options.temperature, topK, topP, minP].some((value) => value !== undefined);
  const wants = options.doSample ?? (asks || (file.boolean("do_sample") ?? false));
  const temperatureOfFile = () => {
    return file.number("temperature", "a number above 0, or 0 for greedy choice", (value) => value >= 0) ?? 1;
  };
  const temperature = options.temperature ?? (wants ? temperatureOfFile() : 1);
  const sampling = {
    doSample: wants && temperature !== 0,
    temperature: temperature === 0 ? 1 : temperature,
    topK: topK ?? 50,
    topP: topP ?? 1,
    minP: minP ?? 0,
    repetitionPenalty: options.repetitionPenalty ?? file.factor("repetition_penalty") ?? 1,
  };
  return sampling.doSample ? { ...sampling, ...fileCuts(options, file) } : sampling;
}

/** Which unlikely tokens are cut off, if the caller does not say. */
function fileCuts({ topK, topP, minP }: GenerateOptions, file: GenerationConfig) {
  const isCount = (value: number) => Number.isInteger(value) && value >= 0;
  const isShare = (value: number) => value >= 0 && value <= 1;
  const share = () => file.number("top_p", "a number from 0 to 1", (value) => value >= 0) ?? 1;
  const typicalP = file.number("typical_p", "a number above 0, at most 1", (value) => value > 0) ?? 1;
  return {
    topK: topK ?? file.number("top_k", "a whole number, 0 for all tokens", isCount) ?? 50,
    topP: topP ?? Math.min(1, Math.max(LEAST_SHARE, share())),
    minP: minP ?? file.number("min_p", "a number from 0 to 1", isShare) ?? 0,
    topH: file.number("top_h", "a number above 0, at most 1", (value) => value > 0 && value <= 1),
    typicalP: typicalP < 1 ? typicalP : undefined,
    epsilonCutoff: file.share("epsilon_cutoff"),
    etaCutoff: file.share("eta_cutoff"),
  };
}

/** Processing of the scores that only the file can ask for. */
function fileProcessing(file: GenerationConfig) {
  return {
    encoderRepetitionPenalty: file.factor("encoder_repetition_penalty"),
    encoderNoRepeatNgramSize: file.count("encoder_no_repeat_ngram_size"),
    forcedBosTokenId: file.token("forced_bos_token_id"),
    forcedEosTokenId: file.tokens("forced_eos_token_id"),
    removeInvalidValues: file.boolean("remove_invalid_values"),
    exponentialDecayLengthPenalty: file.exponentialDecay(),
    beginSuppressTokens: file.ids("begin_suppress_tokens"),
  };
}

/** What the text has to be. Tokens that the file forces at its ends would break it. */
function formatOf({ responseFormat }: GenerateOptions) {
  if (responseFormat === undefined) return {};
  if (typeof responseFormat !== "object" || responseFormat === null)
    throw new OptionError(mismatch("responseFormat", "an object with a type", responseFormat));
  try {
    JSON.stringify(responseFormat);
  } catch (error) {
    throw new OptionError(mismatch("responseFormat", "what JSON can represent", messageOf(error)));
  }
  return { responseFormat, forcedBosTokenId: undefined, forcedEosTokenId: undefined };
}

/** Minimum and maximum length of the text. Limits on new tokens take precedence over limits on all tokens. */
function endsOf(options: GenerateOptions, file: GenerationConfig) {
  const isLimit = (value: number) => Number.isSafeInteger(value) && value >= -1;
  const newTokens = options.maxNewTokens ?? file.number("max_new_tokens", "a whole number, -1 for no end", isLimit);
  const minNewTokens = options.minNewTokens ?? file.number("min_new_tokens", "a whole number", Number.isInteger);
  const isLength = (value: number) => Number.isSafeInteger(value) && value >= 0;
  const length = newTokens === undefined ? file.number("max_length", "a whole number", isLength) : undefined;
  return {
    maxNewTokens: newTokens === -1 ? Infinity : (newTokens ?? 20),
    maxLength: length === undefined ? undefined : { tokens: length, file: file.file },
    maxTime: file.number("max_time", "seconds"),
    minNewTokens,
    minLength: minNewTokens === undefined ? file.count("min_length") : undefined,
    // A format says itself where a text ends.
    stopTokens: options.ignoreEos && !options.responseFormat ? new Set<number>() : file.stopTokens(),
    stopStrings: options.stopStrings ?? file.stopStrings() ?? [],
  };
}

type IsToken = (value: unknown) => boolean;
type Encoder = Pick<Tokenizer, "encode"> | undefined;

function sequenceBias({ logitBias }: GenerateOptions, file: GenerationConfig, isToken: IsToken) {
  const ofFile = file.sequenceBias() ?? [];
  const sequences = new Map(ofFile.map(([sequence, bias]) => [sequence.join(), [sequence, bias] as const]));
  if (logitBias !== undefined) {
    for (const [id, bias] of biasPairs(logitBias, isToken)) sequences.set(`${id}`, [[id], bias]);
  }
  // Biases are summed in Hugging Face's order: single tokens, then by length, in order of first occurrence.
  const all = [...sequences.values()];
  const lengths = [1, ...all.map(([sequence]) => sequence.length)];
  all.sort(([a], [b]) => lengths.indexOf(a.length) - lengths.indexOf(b.length));
  return all.length > 0 ? all : undefined;
}

function biasPairs(logitBias: unknown, isToken: IsToken): [id: number, bias: number][] {
  if (typeof logitBias !== "object" || logitBias === null)
    throw new OptionError(mismatch("logitBias", "biases by token id", logitBias));
  const byName = ([name, bias]: [string, unknown]) => [String(Number(name)) === name ? Number(name) : name, bias];
  const pairs =
    Symbol.iterator in logitBias ? [...(logitBias as Iterable<unknown>)] : Object.entries(logitBias).map(byName);
  return pairs.map((pair) => {
    const [id, bias] = Array.isArray(pair) ? pair : [];
    if (isToken(id) && isBias(bias)) return [id, bias];
    throw new OptionError(mismatch("logitBias", "a finite number or -Infinity for each id of the model", pair));
  });
}

function badWordsIds(
  { badWords }: GenerateOptions,
  file: GenerationConfig,
  stopTokens: ReadonlySet<number>,
  isToken: IsToken,
  tokenizer: Encoder,
) {
  const isStop = (sequence: readonly number[]) => sequence.length === 1 && stopTokens.has(sequence[0] as number);
  const words = badWords === undefined ? file.sequences("bad_words_ids") : optionWords(badWords, isToken, tokenizer);
  const all = words?.filter((sequence) => !isStop(sequence)) ?? [];
  return all.length > 0 ? all : undefined;
}

function optionWords(badWords: unknown, isToken: IsToken, tokenizer: Encoder): readonly (readonly number[])[] {
  if (!Array.isArray(badWords)) throw new OptionError(mismatch("badWords", "a list of texts or token ids", badWords));
  return badWords.flatMap((word: unknown) => {
    if (typeof word === "string" && word !== "") return encodings(word, tokenizer);
    if (isSequence(word, isToken)) return [word as readonly number[]];
    throw new OptionError(mismatch("badWords", "texts or lists of token ids of the model, none empty", word));
  });
}

/** A word at the start of a text, inside it, and after a space. */
function encodings(word: string, tokenizer: Encoder): number[][] {
  if (!tokenizer) throw new OptionError(mismatch("badWords", "token ids, as the model has no tokenizer", word));
  const encode = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
  // Many tokenizers put a space before a text, but not after a line end.
  const lineEnd = encode("\n");
  const behind = encode(`\n${word}`);
  const inside = lineEnd.every((id, i) => id === behind[i]) ? behind.slice(lineEnd.length) : [];
  return [encode(word), inside, encode(` ${word}`)].filter((sequence) => sequence.length > 0);
}

function suppressTokens(options: GenerateOptions, file: GenerationConfig, isToken: IsToken) {
  const ids = options.suppressTokens;
  if (ids === undefined) return file.ids("suppress_tokens");
  if (Array.isArray(ids) && ids.every(isToken)) return ids as readonly number[];
  throw new OptionError(mismatch("suppressTokens", "token ids of the model", ids));
}

function checkOptions(options: GenerateOptions, { stopStrings }: Settings): void {
  if (!Array.isArray(stopStrings)) throw new OptionError(mismatch("stopStrings", "a list of strings", stopStrings));
  type Count = "maxNewTokens" | "minNewTokens" | "noRepeatNgramSize" | "promptLookupNumTokens" | "topLogprobs" | "seed";
  const check = (name: Count, expected: string, least = 0) => {
    const value = options[name];
    if (value === undefined || (Number.isSafeInteger(value) && value >= least)) return;
    if (name === "maxNewTokens" && value === Infinity) return;
    throw new OptionError(mismatch(name, expected, value));
  };
  check("maxNewTokens", "a whole number, -1 for no end", -1);
  check("minNewTokens", "a whole number");
  check("noRepeatNgramSize", "a whole number, 0 for off");
  check("promptLookupNumTokens", "a whole number, 0 for off");
  check("topLogprobs", "a whole number, 0 for none");
  check("seed", "a whole number from 0 to 2^53 − 1");
}

/** A token that is both forced and forbidden would otherwise be noticed only at the end of a text. */
function checkForced({ forcedBosTokenId, forcedEosTokenId, suppressTokens }: Settings, file: GenerationConfig): void {
  const forced = { forced_bos_token_id: [forcedBosTokenId ?? []].flat(), forced_eos_token_id: forcedEosTokenId ?? [] };
  for (const [key, ids] of Object.entries(forced)) {
    if (ids.length === 0 || !ids.every((id) => suppressTokens?.includes(id))) continue;
    throw new ModelError(mismatch(`${file.file}: ${key}`, "one that suppress_tokens does not forbid", ids));
  }
}
