import { ModelError, mismatch, show } from "../base/errors.ts";
import { stringTable } from "../base/string_table.ts";
import { type Field, isWhole } from "./field.ts";
import { MergeList, type Merges, ScoredMerges } from "./merger.ts";
import { MAX_ID, Vocabulary } from "./vocabulary.ts";

const encoder = new TextEncoder();

/**
 * The `vocab` of a tokenizer.json: ids by token, or a Vocabulary where the file was read into one. Fields are created for
 * errors only, here and for merges: there may be 10^5 of both.
 */
export function readVocabulary(field: Field): Vocabulary {
  if (field.value instanceof Vocabulary) return field.value;
  const entries = Object.entries(field.object());
  if (entries.length === 0) field.fail("at least one token");
  const taken = new Map<number, string>();
  const ids = new Int32Array(entries.length);
  for (const [i, [token, value]] of entries.entries()) {
    const id = isWhole(value, MAX_ID) ? value : field.get(token).integer(MAX_ID);
    const other = taken.get(id);
    if (other !== undefined) {
      field.get(token).fail(`an id that no other token has (${show(JSON.stringify(other))} has it)`);
    }
    if (!token.isWellFormed()) field.get(token).fail("a token that is valid Unicode");
    taken.set(id, token);
    ids[i] = id;
  }
  return Vocabulary.of(stringTable(entries.map(([token]) => token)), ids) as Vocabulary;
}

/**
 * The `merges` of a tokenizer.json, or Merges where the file was read into them: pairs, "a b" in older files, ["a", "b"]
 * in newer ones. The product, in which the second part has no prefix, must be a token.
 */
export function readMerges(field: Field, vocab: Vocabulary, prefix: string): Merges {
  if (field.value instanceof MergeList || field.value instanceof ScoredMerges) return field.value;
  const items = field.items();
  const merges = new MergeList(vocab, items.length, encoder.encode(prefix).length);
  for (const [i, merge] of items.entries()) {
    if (typeof merge === "string" && merge.startsWith("#version")) continue;
    const parts: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    if (!Array.isArray(parts) || parts.length !== 2) field.array()[i]?.fail('a pair of tokens, "a b" or ["a","b"]');
    const [a, b] = parts as [unknown, unknown];
    if (typeof a !== "string" || typeof b !== "string" || a === "" || b === "") {
      return (field.array()[i] as Field).fail("a pair of tokens, each a string that is not empty");
    }
    if (!b.startsWith(prefix)) {
      return (field.array()[i] as Field).fail(`a second token that begins with ${JSON.stringify(prefix)}`);
    }
    const product = a + b.slice(prefix.length);
    const bytes = encoder.encode(product);
    const cut = encoder.encode(a).length;
    if (merges.add(bytes, 0, cut, cut, bytes.length)) continue;
    const found = [a, b, product].find((token) => !vocab.has(token));
    const path = field.array()[i]?.path as string;
    throw new ModelError(mismatch(path, "tokens of the vocabulary", `${JSON.stringify(found)}, which is none`));
  }
  return merges.complete();
}
