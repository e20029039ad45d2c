import type { Sampling } from "../engine/sampler.ts";
import type { ChatOptions } from "../tokenizer/chat.ts";

type OptionalSampling = { readonly [K in keyof Sampling]?: Sampling[K] | undefined };

/** Which tokens are chosen. Names are Hugging Face's in camelCase; a list given here replaces that of the file. */
export interface ChoosingOptions extends OptionalSampling {
  /**
   * What is added to the logits of tokens, by id: { 15: −2.5 }, a Map or [id, bias] pairs; −Infinity: never chosen. Comes
   * beside the file's sequence_bias.
   */
  readonly logitBias?: Readonly<Record<number, number>> | Iterable<readonly [number, number]> | undefined;
  /**
   * Never completed: texts, which are encoded as they are, inside of a text and behind a space, or lists of token ids. A
   * text is avoided as these tokens; other tokens may still spell it. see: HF bad_words_ids
   */
  readonly badWords?: readonly (string | readonly number[])[] | undefined;
  /** Token ids that are never chosen. */
  readonly suppressTokens?: readonly number[] | undefined;
  /** No n tokens in a row occur twice among the last repeatLastN, prompt included; 0: off. */
  readonly noRepeatNgramSize?: number | undefined;
  /** New tokens before a stop token may be chosen. */
  readonly minNewTokens?: number | undefined;
}

/** How a text is continued. Names are Hugging Face's in camelCase; what is not given comes from generation_config.json. */
export interface GenerateOptions extends ChoosingOptions, ChatOptions {
  /** Tokens to add at most; −1: until stopped. Hugging Face's default is 20, if the file has no max_length either. */
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
