import { OptionError } from "../base/errors.ts";
import { tick } from "../base/tick.ts";
import type { Choice } from "../engine/sampler.ts";
import { HASH_OF_NOTHING } from "../machine/hash.ts";

/** One token as it was chosen. */
export interface GeneratedToken extends Choice {
  /** The text that this token made certain; all of them together are the generated text. */
  readonly text: string;
  /** Its position in the session. */
  readonly position: number;
}

/** How a generation ended; its text is what `text()` gathers. */
export interface GenerationResult {
  /**
   * stop: a stop token or stop string; length: maxNewTokens, or max_length or max_time of generation_config.json; abort: the
   * signal, or the reader left.
   */
  readonly finishReason: "stop" | "length" | "abort";
  readonly promptTokens: number;
  readonly newTokens: number;
  /** Time until the prompt was read, and from then on. */
  readonly prefillSeconds: number;
  readonly decodeSeconds: number;
  /** XXH64 over the f32 bits of every logits row that chose a token, in order; 16 hexadecimal digits. */
  readonly logitsHash: string;
}

/** What is known of a generation while it goes on. */
export class Tally {
  finishReason: GenerationResult["finishReason"] = "abort";
  promptTokens = 0;
  newTokens = 0;
  logitsHash = HASH_OF_NOTHING;
  /** Whether it has all the tokens, or all the time, that it may have. */
  full = false;
  #started: number | undefined;
  #prefilled: number | undefined;

  start(): void {
    this.#started = performance.now();
  }

  /** The prompt was read. */
  prefilled(): void {
    this.#prefilled = performance.now();
  }

  /** Since the start. */
  get milliseconds(): number {
    const now = performance.now();
    return now - (this.#started ?? now);
  }

  result(): GenerationResult {
    const { finishReason, promptTokens, newTokens, logitsHash, milliseconds } = this;
    const prefill = this.#prefilled === undefined ? milliseconds : this.#prefilled - (this.#started as number);
    return {
      ...{ finishReason, promptTokens, newTokens, logitsHash },
      prefillSeconds: prefill / 1000,
      decodeSeconds: (milliseconds - prefill) / 1000,
    };
  }
}

type Run = AsyncGenerator<GeneratedToken, void, undefined>;

/**
 * A text in the making. Read it piece by piece (`for await (const piece of generation)`) or token by token
 * (`generation.tokens()`), once and in the reader's own time, or whole (`await generation.text()`). With `text()` or
 * `result` it goes on without a reader. Before one of them is asked for, nothing happens.
 */
export class Generation implements AsyncIterable<string> {
  /** Tokens that are kept for a reader who comes after `result` was asked for. */
  static readonly KEPT = 1024;

  readonly #tally = new Tally();
  readonly #run: Run;
  readonly #result = Promise.withResolvers<GenerationResult>();
  /** Aborted by the caller's signal, and when the reader leaves. */
  readonly #ending = new AbortController();
  readonly #signal: AbortSignal | undefined;
  #forget: (() => void) | undefined;
  /** The iterator that has the tokens; others are refused. */
  #reader: object | undefined;
  /** Tokens that it has asked for and not got yet. */
  #wanted = 0;
  #alone = false;
  /** Tokens that the reader has not got yet. */
  #ready: GeneratedToken[] = [];
  #lost = false;
  #flight: Promise<boolean> | undefined;
  #text: Promise<string> | undefined;

  /**
   * @param run the tokens; it keeps the tally, gives back what it took when it ends, and returns when its signal is aborted
   * @param signal the caller's
   */
  constructor(run: (tally: Tally, signal: AbortSignal) => Run, signal?: AbortSignal) {
    this.#run = run(this.#tally, this.#ending.signal);
    this.#signal = signal;
    // Who reads the pieces gets the error there, and need not await the result as well.
    this.#result.promise.catch(() => {});
  }

  /** How it ended. Once this is asked for, the generation goes on by itself while there is no reader who asks for tokens. */
  get result(): Promise<GenerationResult> {
    if (!this.#alone && this.#wanted === 0) void this.#goOnAlone();
    return this.#result.promise;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<string> {
    return this.#read((token) => token.text || undefined);
  }

  tokens(): AsyncIterableIterator<GeneratedToken> {
    return this.#read((token) => token);
  }

  /**
   * The whole text, however often it is asked for. It is gathered by reading, so this is refused where somebody else
   * reads the pieces.
   */
  text(): Promise<string> {
    this.#text ??= this.#gather();
    return this.#text;
  }

  async #gather(): Promise<string> {
    if (this.#reader) throw new OptionError("the generation has a reader already: text() gathers what it reads itself");
    let text = "";
    for await (const piece of this) text += piece;
    return text;
  }

  /** Reads what `show` makes of each token. The generation ends when the reader leaves. */
  #read<T>(show: (token: GeneratedToken) => T | undefined): AsyncIterableIterator<T> {
    const shown = this.#shown(show);
    const leave = async () => {
      if (this.#reader === undefined || this.#reader === reader) await this.#leave(reader);
    };
    const reader: AsyncIterableIterator<T> = {
      next: async () => {
        this.#reader ??= reader;
        if (this.#reader !== reader) throw new OptionError("the generation has a reader already");
        this.#wanted++;
        try {
          return await shown.next();
        } finally {
          this.#wanted--;
        }
      },
      return: async (value) => {
        await leave();
        return shown.return(value);
      },
      throw: async (error) => {
        await leave();
        return shown.throw(error);
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
    return reader;
  }

  async *#shown<T>(show: (token: GeneratedToken) => T | undefined): AsyncGenerator<T, void, undefined> {
    do {
      if (this.#lost)
        throw new OptionError(
          `the first tokens of the generation are gone: read it before ${Generation.KEPT} of them were made for its result`,
        );
      for (let token = this.#ready.shift(); token; token = this.#ready.shift()) {
        const shown = show(token);
        if (shown !== undefined) yield shown;
      }
    } while (this.#lost || (await this.#advance()));
    // An error that came while nobody read.
    await this.#result.promise;
  }

  /** Makes the next token ready, for whoever waits for it; false behind the last one. */
  #advance(): Promise<boolean> {
    this.#flight ??= this.#step().finally(() => {
      this.#flight = undefined;
    });
    return this.#flight;
  }

  async #step(): Promise<boolean> {
    this.#forget ??= follow(this.#signal, this.#ending);
    try {
      const { done, value } = await this.#run.next();
      if (done) this.#end();
      else if (!this.#lost) this.#ready.push(value);
      return !done;
    } catch (error) {
      this.#forget();
      this.#result.reject(error);
      throw error;
    }
  }

  /** Goes on until a reader asks for a token. */
  async #goOnAlone(): Promise<void> {
    this.#alone = true;
    // A reader who comes at once has the generation to itself.
    const reader = this.#reader;
    await tick();
    try {
      while (this.#reader === reader && this.#wanted === 0 && (await this.#advance())) {
        // A reader who is slow loses nothing.
        if (reader !== undefined || this.#ready.length <= Generation.KEPT) continue;
        this.#lost = true;
        this.#ready = [];
      }
    } catch {
      // The result is this error.
    }
    this.#alone = false;
  }

  async #leave(reader: object): Promise<void> {
    this.#reader = reader;
    this.#ending.abort();
    await this.#run.return();
    this.#end();
  }

  #end(): void {
    this.#forget?.();
    this.#result.resolve(this.#tally.result());
  }
}

/** Passes an abort on. What it gives ends that: a signal may outlive thousands of generations. */
function follow(signal: AbortSignal | undefined, ending: AbortController): () => void {
  const abort = () => ending.abort(signal?.reason);
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort, { once: true });
  return () => signal?.removeEventListener("abort", abort);
}
