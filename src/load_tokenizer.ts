import { ModelError, mismatch } from "./errors.ts";
import type { Checkpoint } from "./formats/checkpoint.ts";
import { parseObject } from "./formats/json.ts";
import { Tokenizer } from "./tokenizer/tokenizer.ts";

/** The files of a tokenizer, as texts. */
export interface TokenizerTexts {
  /** What errors call the first. */
  readonly name: string;
  readonly tokenizer: string;
  readonly config: string | undefined;
  readonly chatTemplate: string | undefined;
}

/** Those of a checkpoint; undefined if it has no tokenizer.json. */
async function tokenizerTexts(checkpoint: Checkpoint): Promise<TokenizerTexts | undefined> {
  const tokenizer = await checkpoint.text("tokenizer.json");
  if (tokenizer === undefined) return undefined;
  const config = await checkpoint.text("tokenizer_config.json");
  const chatTemplate = await checkpoint.text("chat_template.jinja");
  return { name: checkpoint.name, tokenizer, config, chatTemplate };
}

/** The tokenizer of these texts. */
export function tokenizerOf({ name, tokenizer, config, chatTemplate }: TokenizerTexts): Tokenizer {
  const settings = config === undefined ? {} : parseObject(config, `${name}/tokenizer_config.json`);
  const file = `${name}/tokenizer.json`;
  return new Tokenizer(parseObject(tokenizer, file), settings, file, { chatTemplate });
}

/** The tokenizer of a checkpoint; undefined if it has no tokenizer.json. */
export async function loadTokenizer(checkpoint: Checkpoint): Promise<Tokenizer | undefined> {
  const texts = await tokenizerTexts(checkpoint);
  return texts && tokenizerOf(texts);
}

/** As loadTokenizer. Throws ModelError if there is none. */
export async function requireTokenizer(checkpoint: Checkpoint): Promise<Tokenizer> {
  return tokenizerOf(await requireTexts(checkpoint));
}

/** Those of a checkpoint. Throws ModelError if it has no tokenizer.json. */
export async function requireTexts(checkpoint: Checkpoint): Promise<TokenizerTexts> {
  const texts = await tokenizerTexts(checkpoint);
  if (texts) return texts;
  throw new ModelError(mismatch(checkpoint.name, "tokenizer.json", "none: only token ids can be used"));
}
