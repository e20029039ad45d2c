/** What the suite compares with; made by the command, as only it has files and the reference. Plain JSON. */

/** Logits of a model after each token, from elsewhere: [n · vocab]. */
export interface Golden {
  readonly model: string;
  readonly ids: readonly number[];
  readonly logits: readonly number[];
  readonly options: object;
}

/** Texts with their ids and what these decode to, by Hugging Face's tokenizers. */
export interface TokenizerVectors {
  readonly name: string;
  /** A served model with that tokenizer. */
  readonly model: string;
  readonly rows: readonly { readonly text: string; readonly ids: readonly number[]; readonly decoded: string }[];
}

export interface Material {
  /** By transformers. */
  readonly goldens: readonly Golden[];
  /** By test/reference, with the mask written out. */
  readonly dense: readonly Golden[];
  readonly tokenizers: readonly TokenizerVectors[];
  /** A stretch of a novel. */
  readonly novel: string;
}
