import { mismatch, OptionError } from "../../src/base/errors.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";

/** A text as a model reads it in evaluations: BOS, then the text's first tokens. */
export interface Document {
  readonly name: string;
  readonly ids: readonly number[];
}

/**
 * The first token of documents: what the tokenizer puts before a text, else the config's `bos_token_id`; undefined if
 * the model has none, so that documents start with their text.
 */
export function bosOf(tokenizer: Tokenizer, config: Readonly<Record<string, unknown>>): number | undefined {
  const configured = typeof config.bos_token_id === "number" ? config.bos_token_id : undefined;
  return tokenizer.encode("")[0] ?? configured ?? tokenizer.bosTokenId;
}

/** Reads the start of a text: at least this many characters if it has them, and whether that is all. */
export type ReadText = (characters: number) => Promise<{ readonly text: string; readonly whole: boolean }>;

/** Tokens at the end of a truncated text may differ from those of the whole: this many are not used. */
const SLACK = 64;

/**
 * BOS and the text's first tokens, `length` in all, as if the whole text were encoded; no more of it is read than
 * needed. With `length` Infinity, the whole text. Throws OptionError if the text is too short.
 */
export async function documentOf(
  name: string,
  read: ReadText,
  tokenizer: Tokenizer,
  bos: number | undefined,
  length: number,
): Promise<Document> {
  const document = await beginOf(name, read, tokenizer, bos, length);
  if (document.ids.length >= length || length === Infinity) return document;
  const expected = `at least ${length} tokens${bos === undefined ? "" : ", BOS included"}`;
  throw new OptionError(mismatch(name, expected, document.ids.length));
}

/** The same, or all there is if the text is shorter. */
export async function beginOf(
  name: string,
  read: ReadText,
  tokenizer: Tokenizer,
  bos: number | undefined,
  length: number,
): Promise<Document> {
  const begin = bos === undefined ? [] : [bos];
  for (let characters = 8 * length; ; characters *= 4) {
    const { text, whole } = await read(characters);
    const ids = tokenizer.encode(text, { addSpecialTokens: false });
    if (whole || begin.length + ids.length >= length + SLACK) {
      return { name, ids: [...begin, ...ids.slice(0, length - begin.length)] };
    }
  }
}

/** UTF-8 bytes of the text of these tokens, without special ones. */
export function textBytes(tokenizer: Tokenizer, ids: readonly number[]): number {
  return new TextEncoder().encode(tokenizer.decode(ids, { skipSpecialTokens: true })).length;
}
