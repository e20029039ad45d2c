import { type StringTable, stringTable } from "../base/string_table.ts";
import { ByteTokens } from "./byte_tokens.ts";
import type { Field } from "./field.ts";
import { Prefixes } from "./prefixes.ts";
import type { TokenModel } from "./token_model.ts";
import { Vocabulary, writeUtf8 } from "./vocabulary.ts";

/** How much worse than the worst token an unknown character is. */
const UNKNOWN_PENALTY = 10;
/** The most results that are cached, and the most UTF-16 units of one. */
const REMEMBERED = 10_000;
const LONGEST_REMEMBERED = 64;

/** Tokens with a score each, by id: what `vocab` of a Unigram model is read into. */
export interface ScoredTokens {
  readonly table: StringTable;
  readonly scores: ArrayLike<number>;
}

/**
 * The Unigram model of SentencePiece: of all ways to cut a piece into tokens the one whose scores have the highest sum,
 * found from left to right; of equal ones the first that is found. Neighbouring characters without a token are one
 * unknown token. see: tokenizers, models/unigram/model.rs encode_optimized
 */
export class UnigramModel implements TokenModel {
  readonly vocab: Vocabulary;
  readonly #scores: ArrayLike<number>;
  readonly #prefixes: Prefixes;
  readonly #unknownScore: number;
  /** -1: none. */
  readonly #unknown: number;
  readonly #unknownField: Field;
  readonly #byteTokens: ByteTokens | undefined;
  readonly #remembered = new Map<string, readonly number[]>();

  /** @throws ModelError naming the field, for anything malformed */
  constructor(field: Field) {
    const { table, scores } = readScored(field.get("vocab"));
    this.vocab = new Vocabulary(table);
    this.#scores = scores;
    this.#prefixes = new Prefixes(table);
    let worst = Number.POSITIVE_INFINITY;
    for (let id = 0; id < table.count; id++) worst = Math.min(worst, scores[id] as number);
    this.#unknownScore = worst - UNKNOWN_PENALTY;
    this.#unknownField = field.get("unk_id");
    this.#unknown = this.#unknownField.present ? this.#unknownField.integer(table.count - 1) : -1;
    this.#byteTokens = field.get("byte_fallback").flag(false) ? ByteTokens.of(this.vocab) : undefined;
  }

  encode(piece: string, ids: number[]): void {
    let found = this.#remembered.get(piece);
    if (!found) {
      found = this.#best(piece);
      if (piece.length <= LONGEST_REMEMBERED) {
        if (this.#remembered.size >= REMEMBERED) this.#remembered.clear();
        // A copy: a slice would keep the whole text.
        this.#remembered.set(piece.split("").join(""), found);
      }
    }
    for (const id of found) ids.push(id);
  }

  #best(piece: string): number[] {
    const bytes = new Uint8Array(3 * piece.length);
    let size = 0;
    for (const char of piece) size = writeUtf8(char.codePointAt(0) as number, bytes, size);
    const { starts, tokens } = this.#forward(bytes, size, piece);
    const ids: number[] = [];
    const path: number[] = [];
    for (let end = size; end > 0; end = starts[end] as number) path.push(end);
    for (let i = path.length - 1, start = 0; i >= 0; i--) {
      let end = path[i] as number;
      const token = tokens[end] as number;
      if (this.#unknown < 0 || token !== this.#unknown) ids.push(token);
      else {
        while (i > 0 && tokens[path[i - 1] as number] === this.#unknown) end = path[--i] as number;
        this.#pushUnknown(bytes.subarray(start, end), ids);
      }
      start = end;
    }
    return ids;
  }

  /** For every end of a token: the best path's last token, and where that starts. Offsets are bytes. */
  #forward(bytes: Uint8Array, size: number, piece: string) {
    const best = new Float64Array(size + 1);
    const starts = new Int32Array(size + 1).fill(-1);
    const tokens = new Int32Array(size + 1);
    const offer = (start: number, end: number, token: number, score: number) => {
      const sum = score + (best[start] as number);
      if ((starts[end] as number) >= 0 && !(sum > (best[end] as number))) return false;
      best[end] = sum;
      starts[end] = start;
      tokens[end] = token;
      return true;
    };
    for (let start = 0; start < size; ) {
      const next = after(bytes, start, size);
      let single = false;
      for (const end of this.#prefixes.ends(bytes, start, size)) {
        const token = this.vocab.indexOfBytes(bytes, start, end, 0, 0);
        if (token < 0) continue;
        offer(start, end, token, this.#scores[token] as number);
        single ||= end === next;
      }
      if (!single && offer(start, next, this.#unknown, this.#unknownScore) && this.#unknown < 0) {
        this.#unknownField.fail(`the id of a token, to stand for ${JSON.stringify(piece)}`);
      }
      start = next;
    }
    return { starts, tokens };
  }

  #pushUnknown(bytes: Uint8Array, ids: number[]): void {
    const whole = this.vocab.indexOfBytes(bytes, 0, bytes.length, 0, 0);
    if (whole >= 0) ids.push(whole);
    else if (!this.#byteTokens?.pushBytes(bytes, ids)) ids.push(this.#unknown);
  }
}

/** Where the character that starts at `start` ends. */
function after(bytes: Uint8Array, start: number, size: number): number {
  let end = start + 1;
  while (end < size && ((bytes[end] as number) & 0xc0) === 0x80) end++;
  return end;
}

/** The `vocab` of a Unigram model: pairs of token and score, or ScoredTokens where the file was read into them. */
function readScored(field: Field): ScoredTokens {
  const value = field.value as Partial<ScoredTokens> | undefined;
  if (value?.table && value.scores) return value as ScoredTokens;
  const items = field.items();
  if (items.length === 0) field.fail("at least one token");
  const scores = new Float64Array(items.length);
  const tokens = items.map((item, i) => {
    const [token, score] = Array.isArray(item) && item.length === 2 ? (item as [unknown, unknown]) : [];
    if (typeof token !== "string" || typeof score !== "number" || !token.isWellFormed() || !Number.isFinite(score)) {
      return (field.array()[i] as Field).fail("a token and its score");
    }
    scores[i] = score;
    return token;
  });
  return { table: stringTable(tokens), scores };
}
