import { ModelError, mismatch, OptionError } from "../base/errors.ts";
import { Forgotten } from "../base/forgotten.ts";
import type { Appending } from "../engine/reading.ts";
import type { RecalledToken } from "../engine/recalled.ts";
import type { Turn } from "../engine/state.ts";
import type { ChosenToken, EngineService, Opened, OpenOptions, TokenStream } from "../service/types.ts";
import { type AppendOptions, checkAppend } from "./append_options.ts";
import { encodePrompt, type Prompt, type SessionModel } from "./encode_prompt.ts";
import type { GenerateOptions } from "./generate_options.ts";
import { type GeneratedToken, Generation, type Tally } from "./generation.ts";
import type { Keeper } from "./resume.ts";
import { SessionText } from "./session_text.ts";
import { resolveSettings, type Settings, withoutEnds, withPrompt } from "./settings.ts";
import type { Place } from "./turns.ts";

/** How many tokens an engine in a worker may be ahead of the reader of a text in a session of its own. */
const AHEAD = 16;

/** Sessions that became garbage without being disposed of: their slots are given back. */
const forgotten = new Forgotten<{ readonly service: EngineService; readonly id: number }>(({ service, id }) => {
  service.dispose(id);
});

/**
 * A text that a model is reading or writing. Its memory is of constant size however long it gets (under `full` and
 * `ceiling-only` attention it holds maxPositions tokens). One call at a time.
 */
export class Session {
  readonly #model: SessionModel;
  readonly #id: number;
  readonly #text: SessionText;
  /** Whether a step of a generation is under way. */
  #busy = false;
  /** The tally of the generation that began last. */
  #current: Tally | undefined;
  /** Of the next generation. */
  #keeper: Keeper | undefined;

  constructor(model: SessionModel, { id, text }: Opened) {
    this.#model = model;
    this.#id = id;
    this.#text = new SessionText(model.tokenizer, text);
    forgotten.watch(this, { service: model.service, id });
  }

  /** Goes on from a snapshot. Throws ModelError if it is damaged, or of another model, policy or version. */
  static async restore(model: SessionModel, snapshot: Uint8Array, options?: OpenOptions): Promise<Session> {
    // Whatever else has bytes would fail by its own words.
    if (!ArrayBuffer.isView(snapshot) || snapshot.BYTES_PER_ELEMENT !== 1)
      throw new OptionError(mismatch("snapshot", "a Uint8Array", Object.prototype.toString.call(snapshot)));
    const opened = await model.service.restore(snapshot, options);
    try {
      return new Session(model, opened);
    } catch {
      model.service.dispose(opened.id);
      const found = [...(opened.text?.stream ?? [])];
      throw new ModelError(mismatch("snapshot: text_stream", "a state of this tokenizer's streams", found));
    }
  }

  /** The next generation starts with what the keeper has, and is kept by it. */
  keepBy(keeper: Keeper | undefined): void {
    this.#keeper = keeper;
  }

  /** Tokens so far, those of the prompt and those that were chosen. */
  get length(): number {
    return this.#model.service.length(this.#id);
  }

  /**
   * Reads a prompt. BOS and the like are added at the start of the session only. Messages are new turns of the session's
   * chat; if more of them follow before an answer, pass `addGenerationPrompt: false`.
   */
  async append(prompt: Prompt, options: AppendOptions = {}): Promise<void> {
    const { turnStarts, recall, signal } = options;
    const { ids, turn } = await encodePrompt(this.#model, prompt, options, this.#place);
    checkAppend(options, prompt, ids.length);
    // Where nothing leaves, no turn does.
    const leaves = this.#model.service.facts.nLocal < Infinity;
    await this.#read(ids, turn, signal, { turnStarts: leaves ? turnStarts : undefined, recall });
  }

  /**
   * Chooses the next token; options as of generate. What the start or the end of a text is asked for (maxNewTokens,
   * minNewTokens, stopStrings; begin_suppress_tokens and forced_eos_token_id of the file) does nothing.
   */
  async next(options: GenerateOptions = {}): Promise<GeneratedToken> {
    const settings = withoutEnds(this.#settings(options));
    return this.#alone(async () => {
      const { logitsHash: _, ...token } = await this.#model.service.next(this.#id, settings, options.seed);
      return { ...token, text: this.#text.push(token.id, options.skipSpecialTokens) };
    });
  }

  /**
   * The logits f32[vocab] that the next token is chosen from, a copy; undefined before the first token, and as long as the
   * token that was chosen last has not been read.
   */
  logits(): Promise<Float32Array<ArrayBuffer> | undefined> {
    return this.#model.service.logits(this.#id);
  }

  /** Reads a prompt, if there is one, and continues the text; the session can be continued after that. */
  generate(prompt?: Prompt, options: GenerateOptions = {}): Generation {
    return new Generation(
      (tally, signal) => this.#tokens(tally, prompt, { ...options, signal }, false),
      options.signal,
    );
  }

  /** The tokens of a generation that the session ends with. */
  finalTokens(
    tally: Tally,
    prompt: Prompt | undefined,
    options: GenerateOptions,
  ): AsyncGenerator<GeneratedToken, void, undefined> {
    return this.#tokens(tally, prompt, options, true);
  }

  /** One generation. `final`: the session ends with it, so bytes of an unfinished character are shown as such. */
  async *#tokens(
    tally: Tally,
    prompt: Prompt | undefined,
    options: GenerateOptions,
    final: boolean,
  ): AsyncGenerator<GeneratedToken, void, undefined> {
    tally.start();
    const keeper = this.#keeper;
    this.#keeper = undefined;
    const before = [...(keeper?.tokens ?? [])];
    const settings = await this.#alone(() => this.#begin(tally, prompt, options, before.length));
    if (!settings) return;
    yield* before.slice(0, settings.maxNewTokens);
    if (before.length > 0 && before.length >= settings.maxNewTokens) {
      Object.assign(tally, { newTokens: settings.maxNewTokens, finishReason: "length" });
      return;
    }
    // The tokens behind a stop string, and those that no reader takes, end with the session.
    const ahead = final && !keeper ? AHEAD : 0;
    const stream = this.#model.service.generate(this.#id, { most: settings.maxNewTokens - before.length, ahead });
    try {
      while (!options.signal?.aborted && tally.finishReason === "abort") {
        if (tally.full) tally.finishReason = "length";
        else {
          const token = await this.#alone(() => this.#choose(tally, stream, settings, final));
          if (!tally.full && tally.finishReason === "abort") await this.#keep(keeper, token, options.signal);
          yield token;
        }
      }
    } finally {
      await stream.return();
    }
  }

  async #keep(keeper: Keeper | undefined, token: GeneratedToken, signal: AbortSignal | undefined): Promise<void> {
    try {
      await keeper?.add(token, () => this.snapshot(), signal);
    } catch (error) {
      if (!isAbort(signal, error)) throw error;
    }
  }

  /** Decides how a generation goes and reads its prompt; undefined on abort. */
  async #begin(
    tally: Tally,
    prompt: Prompt | undefined,
    options: GenerateOptions,
    before: number,
  ): Promise<Settings | undefined> {
    const { signal, skipSpecialTokens = true } = options;
    const decided = this.#settings(options);
    const { ids, turn } = await encodePrompt(this.#model, prompt ?? [], options, this.#place);
    const promptTokens = this.length + ids.length - before;
    tally.promptTokens = before > 0 ? promptTokens : ids.length;
    tally.newTokens = before;
    const settings = withPrompt(decided, promptTokens);
    this.#text.begin(decided.stopStrings, skipSpecialTokens);
    this.#current = tally;
    await this.#model.service.begin(this.#id, before > 0 ? undefined : options.seed, settings, before);
    try {
      // Pieces large enough for the engine's chunks.
      const piece = 16 * this.#model.service.facts.chunkSize;
      for (let i = 0; i < ids.length; i += piece) {
        await this.#read(ids.slice(i, i + piece), turn, signal);
        options.onProgress?.(Math.min(i + piece, ids.length), ids.length);
      }
    } catch (error) {
      if (isAbort(signal, error)) return undefined;
      throw error;
    }
    tally.prefilled();
    tally.full = settings.maxNewTokens === 0;
    return settings;
  }

  /** A step of a generation. Another one at the same time would change what this one goes by. */
  async #alone<T>(step: () => Promise<T>): Promise<T> {
    if (this.#busy) throw new OptionError("the session is busy: it takes one call at a time");
    this.#busy = true;
    try {
      return await step();
    } finally {
      this.#busy = false;
    }
  }

  /** Chooses a token of a generation, and ends it with a stop token or stop string. */
  async #choose(tally: Tally, stream: TokenStream, settings: Settings, final: boolean): Promise<GeneratedToken> {
    if (this.#current !== tally) throw new OptionError("another generation has begun in the session");
    const { value } = await stream.next();
    const { id, logprob, position, top, logitsHash } = value as ChosenToken;
    tally.logitsHash = logitsHash;
    tally.newTokens++;
    tally.full = tally.newTokens >= settings.maxNewTokens || tally.milliseconds > 1000 * (settings.maxTime ?? Infinity);
    const isStopToken = settings.stopTokens.has(id);
    let { text, stopped } = this.#text.generate(id, isStopToken);
    if (!stopped && (isStopToken || tally.full)) text += this.#text.end(final);
    if (isStopToken || stopped) tally.finishReason = "stop";
    return { id, text, logprob, position, ...(top && { top }) };
  }

  /** Reads tokens; on abort, those that were read stay read. */
  async #read(ids: readonly number[], turn: Turn, signal: AbortSignal | undefined, how?: Appending): Promise<void> {
    const before = this.length;
    try {
      await this.#model.service.append(this.#id, ids, signal, how);
    } finally {
      this.#text.read(ids.slice(0, this.length - before), turn);
    }
  }

  /**
   * The earlier tokens that were attended to by recall since the last generation began, the heaviest first: where its text
   * came from. None without recall.
   */
  recalled(): Promise<readonly RecalledToken[]> {
    return this.#model.service.recalled(this.#id);
  }

  /** The seed of the session's random numbers. */
  get seed(): number {
    return this.#model.service.seed(this.#id);
  }

  /**
   * The session as a safetensors file of constant size, from which it goes on with the same bits, here or elsewhere.
   * `pending`: with the token that was chosen last, if it was not read yet; false: as if it had not been chosen.
   */
  snapshot({ pending = true }: { readonly pending?: boolean } = {}): Promise<Uint8Array<ArrayBuffer>> {
    return this.#model.service.snapshot(this.#id, this.#text.state, pending);
  }

  /** A copy that goes its own way from here. Throws OptionError if no slot is free, unless it may wait for one. */
  async fork(options?: OpenOptions): Promise<Session> {
    const text = this.#text.state;
    const { id } = await this.#model.service.fork(this.#id, options);
    return new Session(this.#model, { id, text });
  }

  /** Gives the session's slot back. */
  dispose(): void {
    forgotten.ignore(this);
    this.#model.service.dispose(this.#id);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** What a prompt is encoded behind. */
  get #place(): Place {
    const { turn, lastToken } = this.#text.state;
    return { turn, lastToken, length: this.length };
  }

  #settings(options: GenerateOptions) {
    const { config, generationConfig, tokenizer } = this.#model;
    return resolveSettings(options, config, generationConfig, tokenizer);
  }
}

/** Whether an error is the abort of a signal. */
export function isAbort(signal: AbortSignal | undefined, error: unknown): boolean {
  return signal?.aborted === true && error === signal.reason;
}
