import type { ChoosingOptions } from "./settings.ts";
import type { ChatOptions } from "./tokenizer/chat.ts";

export { resolveSettings } from "./settings.ts";

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
