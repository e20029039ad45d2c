import type { Field } from "./field.ts";
import { readVocabulary } from "./read_vocabulary.ts";
import type { TokenModel } from "./token_model.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** The most UTF-16 units of a word whose tokens are searched, whatever the file says: time grows with their square. */
const MOST = 10_000;

/**
 * WordPiece: the longest token that a word starts with, then the longest continuing one, and so on; a word of which
 * some part has no token is one unknown token. see: tokenizers, models/wordpiece/mod.rs
 */
export class WordPieceModel implements TokenModel {
  readonly vocab: Vocabulary;
  /** -1: none. */
  readonly #unknown: number;
  readonly #unknownField: Field;
  readonly #prefix: string;
  /** Longer words are unknown. */
  readonly #mostCharacters: number;

  /** @throws ModelError naming the field, for anything malformed */
  constructor(field: Field) {
    this.vocab = readVocabulary(field.get("vocab"));
    this.#unknownField = field.get("unk_token");
    this.#unknown = this.vocab.find(this.#unknownField.text() ?? "[UNK]");
    this.#prefix = field.get("continuing_subword_prefix").text() ?? "##";
    const most = field.get("max_input_chars_per_word");
    this.#mostCharacters = most.present ? most.integer(MOST) : 100;
  }

  encode(piece: string, ids: number[]): void {
    const found = this.#tokens(piece);
    if (found) for (const id of found) ids.push(id);
    else if (this.#unknown >= 0) ids.push(this.#unknown);
    else this.#unknownField.fail(`a token of the vocabulary, to stand for ${JSON.stringify(piece)}`);
  }

  /** The tokens of a word; undefined if there are none. */
  #tokens(piece: string): number[] | undefined {
    const characters = [...piece];
    if (characters.length > this.#mostCharacters) return undefined;
    const ids: number[] = [];
    for (let start = 0; start < characters.length; ) {
      let end = characters.length;
      let id = -1;
      for (; end > start && id < 0; end--) {
        const part = characters.slice(start, end).join("");
        id = this.vocab.find(start > 0 ? this.#prefix + part : part);
      }
      if (id < 0) return undefined;
      ids.push(id);
      start = end + 1;
    }
    return ids;
  }
}
