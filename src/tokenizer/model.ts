import { BpeModel } from "./bpe.ts";
import type { Field } from "./field.ts";
import type { TokenModel } from "./token_model.ts";
import { UnigramModel } from "./unigram.ts";
import { WordPieceModel } from "./wordpiece.ts";

/**
 * The `model` of a tokenizer.json.
 * @throws ModelError naming the field, for anything malformed and any other kind
 */
export function compileModel(field: Field): TokenModel {
  const type = field.get("type");
  // Files of the first versions name no type.
  if (!type.present && field.get("merges").present) return new BpeModel(field);
  switch (type.oneOf(["BPE", "Unigram", "WordPiece"])) {
    case "BPE":
      return new BpeModel(field);
    case "Unigram":
      return new UnigramModel(field);
    case "WordPiece":
      return new WordPieceModel(field);
  }
}
