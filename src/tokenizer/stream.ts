import { ModelError, mismatch } from "../base/errors.ts";
import type { Decoder } from "./decoder.ts";
import { incompleteTail } from "./utf8.ts";

/** Entries of the state: characters that may still be stripped at the start, then the held-back bytes. */
const STRIP = 0;
const PENDING = 1;
const MAX_PENDING = 3;

/** The part of a tokenizer that a stream needs. */
export interface Decoding {
  readonly decoder: Decoder;
  /** The bytes of a token; undefined if it shows nothing. */
  tokenBytes(id: number, options: { skipSpecialTokens?: boolean; first?: boolean }): Uint8Array | undefined;
}

// ignoreBOM: U+FEFF is an ordinary character here.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();

/**
 * Decodes token by token and never shows half a character.
 *
 * For every sequence of ids the pieces and flush() together equal `tokenizer.decode(ids)`, also where the bytes are not
 * valid UTF-8; U+FFFD appears only for bytes that are invalid (or still incomplete at flush), or where a token of the
 * vocabulary itself contains it. At most 3 bytes are kept back, so the state has one small, constant size.
 */
export class TextStream {
  /** Length of `state`, always. */
  static readonly STATE_LENGTH = PENDING + MAX_PENDING;
  /** The state after a text that ended with a complete character. */
  static readonly BEHIND_TEXT = Int32Array.of(0, ...new Array<number>(MAX_PENDING).fill(-1));

  readonly #tokenizer: Decoding;
  readonly #skipSpecialTokens: boolean;
  /** Characters that may still be stripped; -1: no token yet. */
  #strip = -1;
  #pending: Uint8Array = new Uint8Array(0);

  /**
   * @param state what `state` of another stream over the same tokenizer gave, to go on from there
   * @throws ModelError if the state is none
   */
  constructor(tokenizer: Decoding, state?: Int32Array, options: { skipSpecialTokens?: boolean } = {}) {
    this.#tokenizer = tokenizer;
    this.#skipSpecialTokens = options.skipSpecialTokens ?? true;
    if (state) this.#restore(state);
  }

  /** The text that the token makes certain, often "". @throws OptionError if `id` is no token id */
  push(id: number, skipSpecialTokens = this.#skipSpecialTokens): string {
    const fresh = this.#strip < 0;
    const bytes = this.#tokenizer.tokenBytes(id, { skipSpecialTokens, first: fresh });
    if (!bytes) return "";
    const { separator, stripCount } = this.#tokenizer.decoder;
    if (fresh) this.#strip = stripCount;
    const between = separator !== "" && !fresh ? encoder.encode(separator) : undefined;
    const all = join(between ? join(this.#pending, between) : this.#pending, bytes);
    const end = all.length - incompleteTail(all);
    this.#pending = all.slice(end);
    return this.#stripped(decoder.decode(all.subarray(0, end)));
  }

  /** Returns the held-back bytes as U+FFFD: the text ends within a character. */
  flush(): string {
    const text = decoder.decode(this.#pending);
    this.#pending = new Uint8Array(0);
    return this.#stripped(text);
  }

  /** Everything that is needed to continue elsewhere; unused entries are -1. */
  get state(): Int32Array {
    const state = new Int32Array(TextStream.STATE_LENGTH).fill(-1);
    state[STRIP] = this.#strip;
    state.set(this.#pending, PENDING);
    return state;
  }

  #restore(state: Int32Array): void {
    const strip = state[STRIP]!;
    const pending = [...state.subarray(PENDING)];
    while (pending.at(-1) === -1) pending.pop();
    const ok =
      state.length === TextStream.STATE_LENGTH &&
      strip >= -1 &&
      strip <= this.#tokenizer.decoder.stripCount &&
      pending.every((byte) => byte >= 0 && byte <= 255) &&
      incompleteTail(Uint8Array.from(pending)) === pending.length;
    if (!ok) throw new ModelError(mismatch("text stream state", "a state of this tokenizer's streams", [...state]));
    this.#strip = strip;
    this.#pending = Uint8Array.from(pending);
  }

  #stripped(text: string): string {
    const { strip } = this.#tokenizer.decoder;
    while (this.#strip > 0 && text !== "") {
      if (text.startsWith(strip)) {
        text = text.slice(strip.length);
        this.#strip--;
      } else {
        this.#strip = 0;
      }
    }
    return text;
  }
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length === 0) return b;
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}
