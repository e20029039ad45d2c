import { ModelError, mismatch, OptionError } from "../../src/base/errors.ts";
import { draw } from "../../src/base/random.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { score } from "../../src/engine/score.ts";
import { readSnapshot, writeSnapshot } from "../../src/engine/snapshot.ts";
import { NO_TEXT } from "../../src/engine/state.ts";

/**
 * The documents 0 to count − 1 in the order of a round: each once, shuffled anew for every round. see: Fisher and
 * Yates, by a stream of random numbers of which every round has its own part.
 */
export function documentOrder(count: number, seed: number, round: number): number[] {
  const order = Array.from({ length: count }, (_, i) => i);
  const random = { seed, counter: round * count };
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(draw(random) * (i + 1));
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  return order;
}

/** A piece of a document's text, and the byte where the next one starts; undefined after the last. */
export interface Piece {
  readonly text: string;
  readonly next: number | undefined;
}

/** The documents of a stream, by number, and how they become tokens. */
export interface Corpus {
  /** How many there are. */
  readonly documents: number;
  /** The piece of a document that starts at byte `offset`; the same whenever it is read. */
  readonly read: (document: number, offset: number) => Promise<Piece>;
  readonly encode: (text: string) => readonly number[];
  /** The first token of every document; undefined: none. */
  readonly bos: number | undefined;
  readonly seed: number;
}

/** A position in the endless text of a corpus. Integers. */
export interface Place {
  readonly round: number;
  /** Documents of the round that are complete. */
  readonly done: number;
  /** Start of the current piece, in bytes of the document. */
  readonly offset: number;
  /** Tokens of the piece before it, BOS included. */
  readonly taken: number;
}

/**
 * The endless text of a corpus: round after round, each document whole, from BOS to its end, in the order of the round.
 * A piece is read and tokenised on its own, when it is needed.
 */
export class Documents {
  readonly #corpus: Corpus;
  #place: Place;
  #order: { readonly round: number; readonly documents: readonly number[] } | undefined;
  #piece: { readonly ids: readonly number[]; readonly next: number | undefined } | undefined;

  constructor(corpus: Corpus, place: Place = { round: 0, done: 0, offset: 0, taken: 0 }) {
    this.#corpus = corpus;
    this.#place = place;
  }

  get place(): Place {
    return this.#place;
  }

  /** The next tokens: at least one and at most `most`, all of one document. */
  async take(most: number): Promise<readonly number[]> {
    const begun = this.#place.round;
    while (this.#place.round <= begun + 1) {
      this.#piece ??= await this.#read();
      const { ids, next } = this.#piece;
      const { round, done, offset, taken } = this.#place;
      const end = Math.min(taken + most, ids.length);
      if (end < ids.length) this.#place = { round, done, offset, taken: end };
      else {
        this.#piece = undefined;
        const last = done + 1 === this.#corpus.documents;
        if (next !== undefined) this.#place = { round, done, offset: next, taken: 0 };
        else if (!last) this.#place = { round, done: done + 1, offset: 0, taken: 0 };
        else this.#place = { round: round + 1, done: 0, offset: 0, taken: 0 };
      }
      if (end > taken) return ids.slice(taken, end);
    }
    throw new OptionError(mismatch("texts", "at least one token", "none"));
  }

  async #read() {
    const { documents, read, encode, bos, seed } = this.#corpus;
    const { round, done, offset } = this.#place;
    if (this.#order?.round !== round) this.#order = { round, documents: documentOrder(documents, seed, round) };
    const document = this.#order.documents[done] as number;
    const { text, next } = await read(document, offset);
    const ids = encode(text);
    return { ids: offset === 0 && bos !== undefined ? [bos, ...ids] : ids, next };
  }
}

/** Running sums of NLL in nats, token by token: the same bits however the stream was interrupted. */
export interface Tally {
  /** Tokens with a finite NLL, and the sum of their NLL. */
  readonly tokens: number;
  readonly nll: number;
  /** Tokens whose NLL is NaN or infinite. */
  readonly notFinite: number;
}

const NONE: Tally = { tokens: 0, nll: 0, notFinite: 0 };

/** The sum of tallies. */
export function total(tallies: readonly Tally[]): Tally {
  return tallies.reduce(
    (sum, { tokens, nll, notFinite }) => ({
      tokens: sum.tokens + tokens,
      nll: sum.nll + nll,
      notFinite: sum.notFinite + notFinite,
    }),
    NONE,
  );
}

/** Nats per token; NaN if there are none. */
export function mean({ tokens, nll }: Tally): number {
  return nll / tokens;
}

/** The state of a stream: with the session's snapshot, everything that is needed to resume. */
export interface StreamState {
  /** Tokens read. */
  readonly position: number;
  readonly place: Place;
  /** For the interval, and for the round that it is in. */
  readonly interval: Tally;
  readonly round: Tally;
}

/** What ended with a step. */
export interface StreamStep {
  readonly interval: Tally | undefined;
  readonly round: Tally | undefined;
}

/** One session that reads `length` tokens of a corpus without a break, and its NLL. */
export class Stream {
  readonly #engine: Engine;
  readonly #session: number;
  readonly #documents: Documents;
  readonly #length: number;
  readonly #every: number;
  #position = 0;
  #interval = NONE;
  #round = NONE;

  /** `every`: tokens of an interval. `kept`: a checkpoint to resume from. Throws ModelError if it does not match. */
  constructor(
    engine: Engine,
    corpus: Corpus,
    { length, every }: { readonly length: number; readonly every: number },
    kept?: { readonly snapshot: Uint8Array; readonly state: StreamState },
  ) {
    this.#engine = engine;
    this.#documents = new Documents(corpus, kept?.state.place);
    this.#length = length;
    this.#every = every;
    this.#session = kept ? readSnapshot(engine, kept.snapshot).id : engine.open(0, corpus.seed);
    if (!kept) return;
    ({ position: this.#position, interval: this.#interval, round: this.#round } = kept.state);
    const { position, pending } = engine.state(this.#session);
    const found = position + (pending >= 0 ? 1 : 0);
    if (found === this.#position) return;
    this.dispose();
    throw new ModelError(mismatch("snapshot", `one of ${this.#position} tokens`, found));
  }

  get position(): number {
    return this.#position;
  }

  get done(): boolean {
    return this.#position === this.#length;
  }

  /** Reads a chunk, or less where an interval or a piece ends. The first token has no NLL. */
  async step(): Promise<StreamStep> {
    const { logitsRows } = this.#engine.plan.options;
    const left = Math.min(this.#length - this.#position, this.#every - (this.#position % this.#every));
    const { round } = this.#documents.place;
    const ids = await this.#documents.take(Math.min(logitsRows, left));
    await score(this.#engine, this.#session, ids, (nll) => {
      this.#interval = counted(this.#interval, nll);
      this.#round = counted(this.#round, nll);
    });
    this.#position += ids.length;
    const ended: StreamStep = {
      interval: this.done || this.#position % this.#every === 0 ? this.#interval : undefined,
      round: this.#documents.place.round > round ? this.#round : undefined,
    };
    if (ended.interval) this.#interval = NONE;
    if (ended.round) this.#round = NONE;
    return ended;
  }

  /** A checkpoint, to resume in another process too. Of constant size. */
  checkpoint(): { readonly snapshot: Uint8Array<ArrayBuffer>; readonly state: StreamState } {
    const { place } = this.#documents;
    const snapshot = writeSnapshot(this.#engine, this.#engine.state(this.#session), NO_TEXT);
    return { snapshot, state: { position: this.#position, place, interval: this.#interval, round: this.#round } };
  }

  /** Bytes of the engine's Wasm memories. */
  get wasmBytes(): number {
    const { plan } = this.#engine;
    return plan.banks.reduce((sum, _, bank) => sum + this.#engine.bank(bank).memory.buffer.byteLength, 0);
  }

  dispose(): void {
    this.#engine.dispose(this.#session);
  }
}

function counted(tally: Tally, values: Float32Array): Tally {
  let { tokens, nll, notFinite } = tally;
  for (const value of values) {
    if (Number.isFinite(value)) {
      tokens++;
      nll += value;
    } else notFinite++;
  }
  return { tokens, nll, notFinite };
}
