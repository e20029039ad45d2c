import { mismatch, OptionError } from "./errors.ts";
import { HASH_OF_NOTHING } from "./machine/hash.ts";
import { tick } from "./tick.ts";

/** One token as it was chosen. */
export interface GeneratedToken {
  readonly id: number;
  /** The text that this token made certain; all of them together are the generated text. */
  readonly text: string;
  /** ln of its probability under the model, before penalty, temperature and cuts. */
  readonly logprob: number;
  /** Its position in the session. */
  readonly position: number;
}

export interface GenerationResult {
  readonly text: string;
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
  text = "";
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
    const { text, finishReason, promptTokens, newTokens, logitsHash, milliseconds } = this;
    const prefill = this.#prefilled === undefined ? milliseconds : this.#prefilled - (this.#started as number);
    return {
      ...{ text, finishReason, promptTokens, newTokens, logitsHash },
      prefillSeconds: prefill / 1000,
      decodeSeconds: (milliseconds - prefill) / 1000,
    };
  }
}

type Run = AsyncGenerator<GeneratedToken, void, undefined>;

/**
 * A text in the making. Read it once: piece by piece (`for await (const piece of generation)`), token by token
 * (`generation.tokens()`), or whole (`await generation.text()`), in the reader's own time. With `result` alone it goes on
 * without a reader. Before one of them is asked for, nothing happens.
 */
export class Generation implements AsyncIterable<string> {
  /** Tokens that are kept for a reader who comes after `result` was asked for. */
  static readonly KEPT = 1024;

  readonly #tally = new Tally();
  readonly #run: Run;
  readonly #result = Promise.withResolvers<GenerationResult>();
  #asked = false;
  #read = false;
  /** Tokens that the reader has not got yet. */
  #ready: GeneratedToken[] = [];
  #lost = false;
  #flight: Promise<boolean> | undefined;

  /** @param run the tokens; it keeps the tally, gives back what it took when it ends, and returns when it is aborted */
  constructor(run: (tally: Tally) => Run) {
    this.#run = run(this.#tally);
    // Who reads the pieces gets the error there, and need not await the result as well.
    this.#result.promise.catch(() => {});
  }

  /** How it ended. Without a reader the generation goes on by itself once this is asked for. */
  get result(): Promise<GenerationResult> {
    if (!this.#asked) {
      this.#asked = true;
      tick().then(() => this.#readAlone());
    }
    return this.#result.promise;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<string> {
    return this.#reader((token) => token.text || undefined);
  }

  tokens(): AsyncIterableIterator<GeneratedToken> {
    return this.#reader((token) => token);
  }

  /** The whole text. */
  async text(): Promise<string> {
    for await (const _ of this.tokens());
    return (await this.#result.promise).text;
  }

  /** Reads what `show` makes of each token. The generation ends when the reader leaves. */
  #reader<T>(show: (token: GeneratedToken) => T | undefined): AsyncIterableIterator<T> {
    const shown = this.#shown(show);
    const leave = async () => {
      await this.#leave();
      return shown.return();
    };
    return {
      next: () => shown.next(),
      return: leave,
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  async *#shown<T>(show: (token: GeneratedToken) => T | undefined): AsyncGenerator<T, void, undefined> {
    if (this.#read) throw new OptionError(mismatch("generation", "one reader", "a second one"));
    this.#read = true;
    if (this.#lost)
      throw new OptionError(`generation: read it before ${Generation.KEPT} tokens were made for its result`);
    while (this.#ready.length > 0 || (await this.#advance())) {
      const shown = show(this.#ready.shift() as GeneratedToken);
      if (shown !== undefined) yield shown;
    }
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
    try {
      const { done, value } = await this.#run.next();
      if (done) this.#result.resolve(this.#tally.result());
      else this.#ready.push(value);
      return !done;
    } catch (error) {
      this.#result.reject(error);
      throw error;
    }
  }

  async #readAlone(): Promise<void> {
    try {
      while (!this.#read && (await this.#advance())) {
        if (this.#ready.length <= Generation.KEPT) continue;
        this.#lost = true;
        this.#ready = [];
      }
    } catch {
      // The result is this error.
    }
  }

  async #leave(): Promise<void> {
    this.#read = true;
    await this.#run.return();
    this.#result.resolve(this.#tally.result());
  }
}
