import { mismatch, OptionError } from "../base/errors.ts";
import { Tokenizer } from "./tokenizer.ts";

/** The files that a tokenizer is read from, as errors name them. */
export const TOKENIZER_FILES = "tokenizer.json, tokenizer.model, or vocab.json and merges.txt";
/** What errors say in place of missing tokenizer files. */
export const ONLY_IDS = "none: only token ids can be used";

/**
 * The tokenizer of a model without tokenizer files: token ids go in and out, and their text is "". `encode` and
 * `decode` throw OptionError naming the missing files.
 */
export class AbsentTokenizer extends Tokenizer {
  readonly #folder: string;

  /** `vocabSize`: rows of the model's embedding. */
  constructor(folder: string, vocabSize: number) {
    const model = { type: "BPE", vocab: { "": vocabSize - 1 }, merges: [] };
    super({ model }, {}, `${folder} (without ${TOKENIZER_FILES})`);
    this.#folder = folder;
  }

  override encode(): never {
    throw new OptionError(mismatch(this.#folder, TOKENIZER_FILES, ONLY_IDS));
  }

  override decode(): never {
    return this.encode();
  }

  override token(): undefined {
    return undefined;
  }

  override id(): undefined {
    return undefined;
  }

  override tokenBytes(): undefined {
    return undefined;
  }
}
