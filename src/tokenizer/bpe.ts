import { ByteTokens } from "./byte_tokens.ts";
import { BYTE_CHARS } from "./bytelevel.ts";
import type { Field } from "./field.ts";
import { Merger, type Merges } from "./merger.ts";
import { Neighbours } from "./neighbours.ts";
import { readMerges, readVocabulary } from "./read_vocabulary.ts";
import type { TokenModel } from "./token_model.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** Pieces of more UTF-16 units are split at seams before they are merged. */
const LONG_PIECE = 64;
/** The most results that are cached, and the most UTF-16 units of one; texts repeat their words. */
const REMEMBERED = 10_000;
const LONGEST_REMEMBERED = 256;

/** Byte-pair encoding. see: tokenizers, models/bpe/model.rs */
export class BpeModel implements TokenModel {
  readonly vocab: Vocabulary;
  readonly #merger: Merger;
  /** Prepended to every character of a piece but the first (continuing_subword_prefix). */
  readonly #prefix: string;
  /** Appended to the last one (end_of_word_suffix). */
  readonly #suffix: string;
  readonly #affixed: boolean;
  /** -1: none. */
  readonly #unknown: number;
  /** The unk_token, if the vocabulary lacks it: an error only when it is needed. */
  readonly #absent: Field | undefined;
  readonly #fuseUnknown: boolean;
  readonly #ignoreMerges: boolean;
  readonly #byteTokens: ByteTokens | undefined;
  /**
   * Whether characters may have to be dropped, because no token stands for them: without an unknown token they vanish,
   * as in Hugging Face, so that their neighbours may merge.
   */
  readonly #lossy: boolean;
  #neighbours: Neighbours | undefined;
  /** A section of a piece → its ids; for a character without a token what #part is called with. */
  readonly #remembered = new Map<string, readonly number[]>();
  #tokens = new Int32Array(LONGEST_REMEMBERED);

  /** @throws ModelError naming the field, for anything malformed and anything that this class does not do */
  constructor(field: Field) {
    this.#prefix = field.get("continuing_subword_prefix").text() ?? "";
    this.#suffix = field.get("end_of_word_suffix").text() ?? "";
    this.#affixed = this.#prefix + this.#suffix !== "";
    const dropout = field.get("dropout");
    if (dropout.present && dropout.value !== 0) dropout.fail("null or 0");

    this.vocab = readVocabulary(field.get("vocab"));
    const merges: Merges = readMerges(field.get("merges"), this.vocab, this.#prefix);
    const unknown = field.get("unk_token").text();
    this.#unknown = unknown === undefined ? -1 : this.vocab.find(unknown);
    if (unknown !== undefined && this.#unknown < 0) this.#absent = field.get("unk_token");
    this.#fuseUnknown = field.get("fuse_unk").flag(false);
    this.#ignoreMerges = field.get("ignore_merges").flag(false);
    this.#byteTokens = field.get("byte_fallback").flag(false) ? ByteTokens.of(this.vocab) : undefined;
    const covers = this.#byteTokens?.complete ?? BYTE_CHARS.every((token) => this.vocab.has(token));
    this.#lossy = unknown === undefined && (this.#affixed || !covers);
    this.#merger = new Merger(merges);
  }

  encode(piece: string, ids: number[]): void {
    if (this.#ignoreMerges) {
      const whole = this.vocab.find(piece);
      if (whole >= 0) return void ids.push(whole);
    }
    let fused = false;
    for (let start = 0; start < piece.length; ) {
      const end = piece.length > LONG_PIECE ? this.#seam(piece, start) : piece.length;
      for (const id of this.#section(piece, start, end)) {
        if (id >= 0) ids.push(id);
        else if (this.#unknown >= 0 && !fused) ids.push(this.#unknown);
        else this.#absent?.fail(`a token of the vocabulary, to stand for ${JSON.stringify(this.#part(id))}`);
        fused = this.#fuseUnknown && id < 0;
      }
      start = end;
    }
  }

  /**
   * Where the section that starts at `start` ends: where no merge can ever join. The product of a merge is in the
   * vocabulary, so two adjacent characters that no token contains side by side stay apart. The tokens are the same as
   * without splitting; time and memory no longer grow with a whole book in one piece (Llama 2 has no pre-tokenizer),
   * and the sections are cached.
   */
  #seam(piece: string, start: number): number {
    // Where characters vanish, others become neighbours.
    if (this.#lossy) return piece.length;
    this.#neighbours ??= new Neighbours(this.vocab.table);
    let before = piece.codePointAt(start) as number;
    let at = start + (before > 0xffff ? 2 : 1);
    while (at < piece.length) {
      const after = piece.codePointAt(at) as number;
      if (!this.#neighbours.has(before, after)) break;
      at += after > 0xffff ? 2 : 1;
      before = after;
    }
    return at;
  }

  /** The ids of a section of a piece. */
  #section(piece: string, start: number, end: number): readonly number[] {
    let key = piece.slice(start, end);
    if (this.#affixed) key = `${start === 0}${end === piece.length}${key}`;
    const known = this.#remembered.get(key);
    if (known) return known;
    const count = this.#merger.merge(this.#tokens, this.#read(piece, start, end));
    const ids: number[] = [];
    for (let i = 0; i < count; i++) {
      const token = this.#tokens[i] as number;
      if (token >= 0) ids.push(this.vocab.idAt(token));
      else if (!this.#byteTokens?.push(this.#part(token), ids)) ids.push(token);
    }
    if (this.#tokens.length > 2 * LONGEST_REMEMBERED) this.#tokens = new Int32Array(LONGEST_REMEMBERED);
    if (key.length > LONGEST_REMEMBERED) return ids;
    if (this.#remembered.size >= REMEMBERED) this.#remembered.clear();
    // A copy: a slice would keep the whole text.
    this.#remembered.set(String.fromCharCode(...Array.from({ length: key.length }, (_, i) => key.charCodeAt(i))), ids);
    return ids;
  }

  /** Writes the tokens of the section's characters and returns how many they are. */
  #read(piece: string, start: number, end: number): number {
    if (end - start > this.#tokens.length) this.#tokens = new Int32Array(end - start);
    let count = 0;
    for (let at = start; at < end; ) {
      const code = piece.codePointAt(at) as number;
      const next = at + (code > 0xffff ? 2 : 1);
      const unknown = -1 - (4 * code + (at > 0 ? 2 : 0) + (next === piece.length ? 1 : 0));
      const token = this.#affixed ? this.vocab.indexOf(this.#part(unknown)) : this.vocab.indexOfCharacter(code);
      if (token >= 0 || !this.#lossy || this.#byteTokens?.has(this.#part(unknown))) {
        this.#tokens[count++] = token >= 0 ? token : unknown;
      }
      at = next;
    }
    return count;
  }

  /** A character with its prefix and suffix, from -1 - (4 · code point + 2 if it is not the first + 1 if the last). */
  #part(character: number): string {
    const value = -1 - character;
    const text = String.fromCodePoint(value >> 2);
    return `${value & 2 ? this.#prefix : ""}${text}${value & 1 ? this.#suffix : ""}`;
  }
}
