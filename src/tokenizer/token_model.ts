import type { Vocabulary } from "./vocabulary.ts";

/** The `model` of a tokenizer.json: what makes ids of the pieces that pre-tokenizers cut. */
export interface TokenModel {
  readonly vocab: Vocabulary;
  /** Appends the ids of one piece of text to `ids`. @throws ModelError if an unknown token is needed and missing */
  encode(piece: string, ids: number[]): void;
}
