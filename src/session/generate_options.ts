import type { Sampling } from "../engine/sampler.ts";
import type { ResponseFormat } from "../grammar/index.ts";
import type { ChatOptions } from "../tokenizer/chat.ts";
import type { Resume } from "./resume.ts";

type OptionalSampling = { readonly [K in keyof Sampling]?: Sampling[K] | undefined };

/** Which tokens are chosen. Names are Hugging Face's in camelCase; a list given here replaces that of the file. */
export interface ChoosingOptions extends OptionalSampling {
  /**
   * Added to the logits of tokens, by id: { 15: −2.5 }, a Map or [id, bias] pairs; −Infinity: never chosen. In addition
   * to the file's sequence_bias.
   */
  readonly logitBias?: Readonly<Record<number, number>> | Iterable<readonly [number, number]> | undefined;
  /**
   * Never completed: texts, encoded as they are, inside a text and after a space, or lists of token ids. Only these
   * tokens are avoided; others may still spell the text. see: HF bad_words_ids
   */
  readonly badWords?: readonly (string | readonly number[])[] | undefined;
  /** Token ids that are never chosen. */
  readonly suppressTokens?: readonly number[] | undefined;
  /** No n tokens in a row occur twice among the last repeatLastN, prompt included; 0: off. */
  readonly noRepeatNgramSize?: number | undefined;
  /** New tokens before a stop token may be chosen. */
  readonly minNewTokens?: number | undefined;
}

/**
 * How a text is continued; docs/OPTIONS.md describes every option. Names are Hugging Face's in camelCase; what is not
 * given comes from generation_config.json.
 */
export interface GenerateOptions extends ChoosingOptions, ChatOptions {
  /** The most tokens to add; −1: until stopped. Hugging Face's default is 20, unless the file has a max_length. */
  readonly maxNewTokens?: number | undefined;
  /** Stream of random numbers, 0 to 2^53 − 1; drawn by default. */
  readonly seed?: number | undefined;
  /** The text ends before the first of these. */
  readonly stopStrings?: readonly string[] | undefined;
  /**
   * What the text has to be: `{ type: "json_schema", schema }`, `{ type: "json_object" }`, `{ type: "regex", pattern }` or
   * `{ type: "grammar", grammar }`. Only tokens that it allows are chosen, and a stop token where it is complete; one that
   * maxNewTokens cuts off goes on in the next generation without a prompt.
   */
  readonly responseFormat?: ResponseFormat | undefined;
  /** Continue past the model's stop tokens. */
  readonly ignoreEos?: boolean | undefined;
  /** Leave BOS, EOS and the like out of the text, true by default. Stop strings match them in either case. */
  readonly skipSpecialTokens?: boolean | undefined;
  /** model.generate only: wait for a free session, first come first served, instead of the error; false by default. */
  readonly wait?: boolean | undefined;
  /**
   * The most tokens that a step reads ahead because they followed the same words before: the same text, faster where it
   * repeats itself or its prompt. 0: off. see: HF prompt_lookup_num_tokens
   */
  readonly promptLookupNumTokens?: number | undefined;
  /** model.generate and model.respond only: where it keeps how far it has come, to go on from there if it is cut off. */
  readonly resume?: Resume | undefined;
  /** How many of the most likely tokens stand beside each that is chosen (`top` of a GeneratedToken); 0 by default. */
  readonly topLogprobs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with the tokens of the prompt that were read, and their number. */
  readonly onProgress?: ((read: number, total: number) => void) | undefined;
}
