import { ModelError, mismatch, show } from "../base/errors.ts";
import { BYTE_CHARS } from "./bytelevel.ts";
import { type Field, isWhole } from "./field.ts";
import { type Merge, Merger } from "./merger.ts";

/** Larger ids are refused, because tables are indexed by them. The largest vocabularies in use have about 2^18. */
export const MAX_ID = 2 ** 24 - 1;

/** Pieces of more characters are split at seams before they are merged. */
const LONG_PIECE = 64;

const encoder = new TextEncoder();
const BYTE_TOKENS = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`);

/** Byte-pair encoding, the `model` of a tokenizer.json. see: tokenizers, models/bpe/model.rs */
export class BpeModel {
  /** Token → id. */
  readonly vocab: ReadonlyMap<string, number>;
  readonly #merger: Merger;
  /** Prepended to every character of a piece but the first (continuing_subword_prefix). */
  readonly #prefix: string;
  /** Appended to the last one (end_of_word_suffix). */
  readonly #suffix: string;
  readonly #unknown: number | undefined;
  /** The unk_token, if the vocabulary lacks it: an error only when it is needed. */
  readonly #absent: Field | undefined;
  readonly #fuseUnknown: boolean;
  readonly #ignoreMerges: boolean;
  readonly #byteFallback: boolean;
  /** Whether characters may have to be dropped, because no token stands for them. */
  readonly #lossy: boolean;
  #inner: ReadonlySet<number> | undefined;

  /** @throws ModelError naming the field, for anything malformed and anything that this class does not do */
  constructor(field: Field) {
    const type = field.get("type");
    if (type.present || !field.get("merges").present) type.oneOf(["BPE"]);
    this.#prefix = field.get("continuing_subword_prefix").text() ?? "";
    this.#suffix = field.get("end_of_word_suffix").text() ?? "";
    const dropout = field.get("dropout");
    if (dropout.present && dropout.value !== 0) dropout.fail("null or 0");

    this.vocab = readVocab(field.get("vocab"));
    const merges = readMerges(field.get("merges"), this.vocab, this.#prefix);
    const unknown = field.get("unk_token").text();
    this.#unknown = unknown === undefined ? undefined : this.vocab.get(unknown);
    if (unknown !== undefined && this.#unknown === undefined) this.#absent = field.get("unk_token");
    this.#fuseUnknown = field.get("fuse_unk").flag(false);
    this.#ignoreMerges = field.get("ignore_merges").flag(false);
    this.#byteFallback = field.get("byte_fallback").flag(false) && BYTE_TOKENS.some((token) => this.vocab.has(token));
    this.#lossy = unknown === undefined && (this.#prefix + this.#suffix !== "" || !this.#coversBytes());
    this.#merger = new Merger(merges);
  }

  /** Appends the ids of one piece of text to `ids`. */
  encode(piece: string, ids: number[]): void {
    if (this.#ignoreMerges) {
      const whole = this.vocab.get(piece);
      if (whole !== undefined) return void ids.push(whole);
    }
    const parts = this.#parts(piece);
    let fused = false;
    for (const some of parts.length > LONG_PIECE ? this.#seams(parts) : [parts]) {
      for (const token of this.#merger.merge(some)) {
        const id = this.vocab.get(token);
        const bytes = id === undefined ? this.#bytes(token) : undefined;
        if (id !== undefined) ids.push(id);
        else if (bytes) ids.push(...bytes);
        else if (this.#unknown !== undefined && !fused) ids.push(this.#unknown);
        else this.#absent?.fail(`a token of the vocabulary, to stand for ${JSON.stringify(token)}`);
        fused = this.#fuseUnknown && id === undefined && !bytes;
      }
    }
  }

  /**
   * The characters of a piece, with prefix and suffix. Without an unknown token, characters without a token vanish, as
   * in Hugging Face, so that their neighbours may merge.
   */
  #parts(piece: string): string[] {
    const parts = [...piece];
    if (this.#prefix !== "") for (let i = 1; i < parts.length; i++) parts[i] = this.#prefix + parts[i];
    if (this.#suffix !== "" && parts.length > 0) parts.push(parts.pop() + this.#suffix);
    return this.#lossy ? parts.filter((part) => this.vocab.has(part) || this.#bytes(part)) : parts;
  }

  /** The ids of a character's UTF-8 bytes, if byte_fallback is on and each has a token. */
  #bytes(character: string): number[] | undefined {
    if (!this.#byteFallback) return undefined;
    const ids: number[] = [];
    for (const byte of encoder.encode(character)) {
      const id = this.vocab.get(BYTE_TOKENS[byte]!);
      if (id === undefined) return undefined;
      ids.push(id);
    }
    return ids;
  }

  /** Whether every byte has a token, so that any text can be encoded. */
  #coversBytes(): boolean {
    const tokens = this.#byteFallback ? BYTE_TOKENS : BYTE_CHARS;
    return tokens.every((token) => this.vocab.has(token));
  }

  /**
   * Splits a long text where no merge can ever join: the product of a merge is in the vocabulary, so two adjacent
   * characters that no token contains side by side stay apart. The tokens are the same as without splitting; time and
   * memory no longer grow with a whole book in one piece (Llama 2 has no pre-tokenizer), and the parts are cached.
   */
  #seams(parts: readonly string[]): string[][] {
    this.#inner ??= neighbours(this.vocab.keys());
    const cut: string[][] = [];
    let start = 0;
    for (let at = 1; at < parts.length; at++) {
      const [before, after] = [parts[at - 1] as string, (parts[at] as string).slice(this.#prefix.length)];
      if (this.#inner.has(pair(lastOf(before), after.codePointAt(0) as number))) continue;
      cut.push(parts.slice(start, at));
      start = at;
    }
    cut.push(parts.slice(start));
    return cut;
  }
}

const pair = (a: number, b: number) => a * 0x110000 + b;

/** The last code point of a text. */
function lastOf(text: string): number {
  const unit = text.charCodeAt(text.length - 1);
  return unit >= 0xdc00 && unit < 0xe000 ? (text.codePointAt(text.length - 2) as number) : unit;
}

/** All pairs of adjacent characters within the given tokens. */
function neighbours(tokens: Iterable<string>): Set<number> {
  const pairs = new Set<number>();
  for (const token of tokens) {
    let before = -1;
    for (const char of token) {
      const code = char.codePointAt(0)!;
      if (before >= 0) pairs.add(pair(before, code));
      before = code;
    }
  }
  return pairs;
}

/** Token → id. Fields are created for errors only, here and for merges: there may be 10^5 of both. */
function readVocab(field: Field): Map<string, number> {
  const vocab = new Map<string, number>();
  const taken = new Set<number>();
  for (const [token, value] of Object.entries(field.object())) {
    const id = isWhole(value, MAX_ID) ? value : field.get(token).integer(MAX_ID);
    if (taken.has(id)) {
      const other = [...vocab.keys()].find((key) => vocab.get(key) === id);
      field.get(token).fail(`an id that no other token has (${show(JSON.stringify(other))} has it)`);
    }
    taken.add(id);
    vocab.set(token, id);
  }
  if (vocab.size === 0) field.fail("at least one token");
  return vocab;
}

/**
 * Merges as pairs; "a b" in older files, ["a", "b"] in newer ones. Both parts are tokens, and so is the product, in
 * which the second part has no prefix.
 */
function readMerges(field: Field, vocab: ReadonlyMap<string, number>, prefix: string): Merge[] {
  const merges: Merge[] = [];
  for (const [i, merge] of field.items().entries()) {
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
    if (!vocab.has(a) || !vocab.has(b) || !vocab.has(product)) {
      const found = `${JSON.stringify([a, b].find((token) => !vocab.has(token)) ?? product)}, which is none`;
      throw new ModelError(mismatch(field.array()[i]?.path as string, "tokens of the vocabulary", found));
    }
    merges.push([a, b, product]);
  }
  return merges;
}
