import { mismatch, OptionError } from "../base/errors.ts";
import { Automaton, DEAD } from "./automaton.ts";
import { Masks } from "./masks.ts";
import type { Program } from "./program.ts";
import { type GrammarState, storedState } from "./stored.ts";
import type { TokenTrie } from "./trie.ts";

/** The most bytes of a stretch that `forced` follows. */
const MOST_FORCED = 256;

/** Behind the end of a text. */
const FINISHED = storedState(new Int32Array(0));

function isFinished({ numbers }: GrammarState): boolean {
  return numbers.length === 0;
}

/** What a model works with: the bytes of its tokens, and those that end a text. */
export interface TokenVocabulary {
  readonly trie: TokenTrie;
  /** Ids; at least one. */
  readonly stopTokens: Iterable<number>;
}

/** A language of texts over the tokens of a vocabulary. */
export class Grammar {
  /** What it was compiled from, as text. */
  readonly definition: string;
  readonly #trie: TokenTrie;
  readonly #stopTokens: ReadonlySet<number>;
  readonly #automaton: Automaton;
  readonly #masks: Masks;

  /** Throws OptionError if no token ends a text. */
  constructor(program: Program, { trie, stopTokens }: TokenVocabulary, definition: string) {
    this.definition = definition;
    this.#trie = trie;
    this.#stopTokens = new Set(stopTokens);
    if (this.#stopTokens.size === 0) {
      throw new OptionError(mismatch("responseFormat", "a model with stop tokens", "none"));
    }
    this.#automaton = new Automaton(program);
    this.#masks = new Masks(this.#automaton, trie, [...this.#stopTokens]);
  }

  /** The start of a text. */
  start(): GrammarState {
    this.#automaton.tidy();
    return this.#give(this.#automaton.start());
  }

  /** Whether the text is complete as it is. */
  accepts(state: GrammarState): boolean {
    return isFinished(state) || this.#automaton.accepts(this.#take(state));
  }

  /**
   * The tokens that may follow, u32[(tokens + 31) >> 5]: bit id % 32 of word id >> 5. It is kept for other states, so it is
   * not to be changed.
   */
  mask(state: GrammarState): Uint32Array {
    if (isFinished(state)) return this.#masks.end;
    this.#automaton.tidy();
    return this.#masks.of(this.#take(state));
  }

  /** The state behind a token; undefined if it may not follow. A stop token ends the text. */
  advance(state: GrammarState, token: number): GrammarState | undefined {
    if (isFinished(state)) return this.#stopTokens.has(token) ? FINISHED : undefined;
    this.#automaton.tidy();
    let number = this.#take(state);
    if (this.#stopTokens.has(token)) return this.#automaton.accepts(number) ? FINISHED : undefined;
    const bytes = token < this.#trie.size ? this.#trie.bytes(token) : [];
    if (bytes.length === 0) return undefined;
    for (const byte of bytes) {
      number = this.#automaton.step(number, byte);
      if (number === DEAD) return undefined;
    }
    return this.#give(number);
  }

  /** The bytes that follow in any case, at most MOST_FORCED. */
  forced(state: GrammarState): Uint8Array {
    const bytes: number[] = [];
    if (isFinished(state)) return new Uint8Array(0);
    let number = this.#take(state);
    for (let byte = this.#automaton.onlyByte(number); byte >= 0 && bytes.length < MOST_FORCED; ) {
      bytes.push(byte);
      number = this.#automaton.step(number, byte);
      byte = this.#automaton.onlyByte(number);
    }
    return Uint8Array.from(bytes);
  }

  /**
   * Up to `most` tokens of the bytes that have to follow, each the longest one. The last of these bytes are left out if a
   * token that goes on after them may start there.
   */
  forcedTokens(state: GrammarState, most: number): number[] {
    const bytes = this.forced(state);
    const tokens: number[] = [];
    for (let at = 0; tokens.length < most; at += this.#trie.bytes(tokens.at(-1)!).length) {
      const token = this.#trie.longestAt(bytes, at, (id) => !this.#stopTokens.has(id));
      if (token < 0) break;
      tokens.push(token);
    }
    return tokens;
  }

  #take({ numbers, epoch, state }: GrammarState): number {
    return epoch === this.#automaton.epoch ? state : this.#automaton.restore(numbers);
  }

  #give(state: number): GrammarState {
    return { numbers: this.#automaton.store(state), epoch: this.#automaton.epoch, state };
  }
}
