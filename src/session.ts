import { ModelError, mismatch, OptionError } from "./errors.ts";
import {
  type GeneratedToken,
  type GenerateOptions,
  type Generating,
  Generation,
  type SessionText,
} from "./generate.ts";
import type { EngineService, Opened } from "./service/types.ts";
import { resolveSettings, withoutEnds, withPrompt } from "./settings.ts";
import type { TextState } from "./snapshot.ts";
import type { Message } from "./tokenizer/chat.ts";
import { TextStream } from "./tokenizer/stream.ts";
import type { Tokenizer } from "./tokenizer/tokenizer.ts";

/** A text to go on from: text, token ids, or the messages of a chat. */
export type Prompt = string | readonly number[] | readonly Message[];

/** What sessions of one model share. */
export interface SessionModel {
  readonly service: EngineService;
  readonly tokenizer: Tokenizer;
  readonly config: Readonly<Record<string, unknown>>;
  readonly generationConfig: Readonly<Record<string, unknown>>;
}

/**
 * A text that a model is reading or writing. Its memory is of constant size however long it gets (under `full` and
 * `ceiling-only` attention it holds maxPositions tokens). One call at a time.
 */
export class Session {
  readonly #model: SessionModel;
  readonly #id: number;
  readonly #text: SessionText;

  constructor(model: SessionModel, { id, text }: Opened) {
    this.#model = model;
    this.#id = id;
    this.#text = { stream: new TextStream(model.tokenizer, text?.stream), tail: text?.tail ?? "" };
  }

  /** Goes on from a snapshot. Throws ModelError if it is damaged, or of another model, policy or version. */
  static async restore(model: SessionModel, snapshot: Uint8Array): Promise<Session> {
    // Whatever else has bytes would fail by its own words.
    if (!ArrayBuffer.isView(snapshot) || snapshot.BYTES_PER_ELEMENT !== 1)
      throw new OptionError(mismatch("snapshot", "a Uint8Array", Object.prototype.toString.call(snapshot)));
    const opened = await model.service.restore(snapshot);
    try {
      return new Session(model, opened);
    } catch {
      model.service.dispose(opened.id);
      const found = [...(opened.text?.stream ?? [])];
      throw new ModelError(mismatch("snapshot: text_stream", "a state of this tokenizer's streams", found));
    }
  }

  /** Tokens so far, those of the prompt and those that were chosen. */
  get length(): number {
    return this.#model.service.length(this.#id);
  }

  /** Reads a prompt. BOS and the like are added at the begin of the session only. */
  async append(prompt: Prompt, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    await this.#model.service.append(this.#id, await this.#encode(prompt), options.signal);
  }

  /**
   * Chooses the next token; options as of generate. What the start or the end of a text is asked for (maxNewTokens,
   * minNewTokens, stopStrings; begin_suppress_tokens and forced_eos_token_id of the file) does nothing.
   */
  async next(options: GenerateOptions = {}): Promise<GeneratedToken> {
    const { service } = this.#model;
    const settings = withoutEnds(this.#settings(options));
    if (options.seed !== undefined) await service.begin(this.#id, options.seed);
    const { logitsHash: _, ...token } = await service.next(this.#id, settings);
    return { ...token, text: this.#text.stream.push(token.id) };
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
    return new Generation(() => this.#begin(prompt, options, false));
  }

  /** A text in a session of its own, which is opened when the text is first read and disposed of at its end. */
  static generate(model: SessionModel, prompt: Prompt, options: GenerateOptions = {}): Generation {
    return new Generation(async () => {
      const session = new Session(model, await model.service.open());
      try {
        return await session.#begin(prompt, options, true);
      } catch (error) {
        session.dispose();
        throw error;
      }
    });
  }

  async #begin(prompt: Prompt | undefined, options: GenerateOptions, final: boolean): Promise<Generating> {
    const { service } = this.#model;
    const decided = this.#settings(options);
    const ids = prompt === undefined ? [] : await this.#encode(prompt);
    const settings = withPrompt(decided, this.length + ids.length);
    await service.begin(this.#id, options.seed, settings);
    const onEnd = () => {
      if (final) this.dispose();
    };
    return { service, id: this.#id, text: this.#text, final, prompt: ids, settings, options, onEnd };
  }

  /** The seed of the session's random numbers. */
  get seed(): number {
    return this.#model.service.seed(this.#id);
  }

  /** The session as a safetensors file of constant size, from which it goes on with the same bits, here or elsewhere. */
  snapshot(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#model.service.snapshot(this.#id, this.#textState);
  }

  /** A copy that goes its own way from here. Throws OptionError if no slot is free. */
  async fork(): Promise<Session> {
    const text = this.#textState;
    const { id } = await this.#model.service.fork(this.#id);
    return new Session(this.#model, { id, text });
  }

  get #textState(): TextState {
    return { stream: this.#text.stream.state, tail: this.#text.tail };
  }

  /** Gives the session's slot back. */
  dispose(): void {
    this.#model.service.dispose(this.#id);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #settings(options: GenerateOptions) {
    const { config, generationConfig, tokenizer } = this.#model;
    return resolveSettings(options, config, generationConfig, tokenizer);
  }

  async #encode(prompt: Prompt): Promise<readonly number[]> {
    const { tokenizer, config, generationConfig } = this.#model;
    const first = this.length === 0;
    if (typeof prompt === "string") {
      const ids = tokenizer.encode(prompt, { addSpecialTokens: first });
      // As in transformers, a text of nothing begins with BOS.
      const bos = generationConfig.bos_token_id ?? config.bos_token_id;
      return ids.length === 0 && first && typeof bos === "number" ? [bos] : ids;
    }
    if (typeof prompt?.every !== "function")
      throw new OptionError(mismatch("prompt", "text, token ids, or the messages of a chat", prompt));
    if (prompt.every((item) => typeof item === "number")) return prompt;
    // Templates need an interpreter; few programs chat.
    const { encodeChat } = await import("./tokenizer/chat.ts");
    return encodeChat(tokenizer, prompt as readonly Message[]);
  }
}
