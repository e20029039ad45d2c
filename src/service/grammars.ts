import { mismatch, OptionError } from "../base/errors.ts";
import type { StringTable } from "../base/string_table.ts";
import { compileGrammar, type Grammar, type ResponseFormat, TokenTrie } from "../grammar/index.ts";

/** Grammars that are kept, those used last. */
const MOST = 8;

/** What texts have to be, compiled for a model's tokens. */
export class Grammars {
  readonly #tokens: (() => StringTable) | undefined;
  readonly #kept = new Map<string, Grammar>();
  #trie: TokenTrie | undefined;

  /** @param tokens the bytes of every token by id, made when they are first needed */
  constructor(tokens: (() => StringTable) | undefined) {
    this.#tokens = tokens;
  }

  /** Throws OptionError for what cannot be enforced, and without a tokenizer. */
  of(definition: ResponseFormat, stopTokens: Iterable<number> = []): Grammar {
    const stops = [...stopTokens].sort((a, b) => a - b);
    const key = JSON.stringify([definition, stops]);
    const grammar = this.#kept.get(key) ?? compileGrammar(definition, { trie: this.#tree(), stopTokens: stops });
    this.#kept.delete(key);
    this.#kept.set(key, grammar);
    if (this.#kept.size > MOST) this.#kept.delete(this.#kept.keys().next().value as string);
    return grammar;
  }

  #tree(): TokenTrie {
    this.#trie ??= this.#tokens && new TokenTrie(this.#tokens());
    if (this.#trie && this.#trie.longest > 0) return this.#trie;
    throw new OptionError(mismatch("responseFormat", "a model with a tokenizer", "none"));
  }
}
