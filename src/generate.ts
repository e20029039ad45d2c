import { mismatch, OptionError } from "./errors.ts";
import { HASH_OF_NOTHING } from "./machine/hash.ts";
import type { EngineService } from "./service/types.ts";
import type { ChoosingOptions, Settings } from "./settings.ts";
import { StopStrings } from "./tokenizer/stop.ts";
import type { TextStream } from "./tokenizer/stream.ts";

export { resolveSettings } from "./settings.ts";

/** How a text is continued. Names are Hugging Face's in camelCase; what is not given comes from generation_config.json. */
export interface GenerateOptions extends ChoosingOptions {
  /** Tokens to add at most; −1: until stopped. Hugging Face's default is 20, if the file has no max_length either. */
  readonly maxNewTokens?: number | undefined;
  /** Stream of random numbers, 0 to 2^53 − 1; drawn unless told. */
  readonly seed?: number | undefined;
  /** The text ends before the first of these. */
  readonly stopStrings?: readonly string[] | undefined;
  /** Go on behind the model's stop tokens. */
  readonly ignoreEos?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Tokens of the prompt read, of how many. */
  readonly onProgress?: ((read: number, total: number) => void) | undefined;
}

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
  /** stop: a stop token or stop string; length: maxNewTokens, or max_length or max_time of the file; abort: the signal, or the reader left. */
  readonly finishReason: "stop" | "length" | "abort";
  readonly promptTokens: number;
  readonly newTokens: number;
  /** Time until the prompt was read, and from then on. */
  readonly prefillSeconds: number;
  readonly decodeSeconds: number;
  /** XXH64 over the f32 bits of every logits row that chose a token, in order; 16 hexadecimal digits. */
  readonly logitsHash: string;
}

/** What a generation works on: a session of the engine and the text side of it. */
export interface Generating {
  readonly service: EngineService;
  readonly id: number;
  readonly text: SessionText;
  /** The session ends with this generation: bytes of an unfinished character are shown as such. */
  readonly final: boolean;
  readonly prompt: readonly number[];
  readonly settings: Settings;
  readonly options: GenerateOptions;
  readonly onEnd: () => void;
}

/** The text side of a session. */
export interface SessionText {
  readonly stream: TextStream;
  /** Text held back, as it may become a stop string. */
  tail: string;
}

/**
 * A text in the making. Read it once: piece by piece (`for await (const piece of generation)`), token by token
 * (`generation.tokens()`), or whole (`await generation.text()`). `result` is settled when it has been read to
 * its end.
 */
export class Generation implements AsyncIterable<string> {
  readonly result: Promise<GenerationResult>;
  readonly #start: () => Promise<Generating>;
  #settle!: (result: GenerationResult) => void;
  #fail!: (error: unknown) => void;
  #started = false;

  constructor(start: () => Promise<Generating>) {
    this.#start = start;
    this.result = new Promise((resolve, reject) => {
      this.#settle = resolve;
      this.#fail = reject;
    });
    // Whoever reads the pieces gets the error there; nobody has to await the result as well.
    this.result.catch(() => {});
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    for await (const { text } of this.tokens()) if (text !== "") yield text;
  }

  /** The whole text. */
  async text(): Promise<string> {
    for await (const _ of this.tokens());
    return (await this.result).text;
  }

  async *tokens(): AsyncGenerator<GeneratedToken, void, undefined> {
    if (this.#started) throw new OptionError(mismatch("generation", "one reader", "a second one"));
    this.#started = true;
    const begun = performance.now();
    let prefilled: number | undefined;
    let newTokens = 0;
    let text = "";
    let finishReason: GenerationResult["finishReason"] = "abort";
    let generating: Generating | undefined;
    let logitsHash = HASH_OF_NOTHING;
    let failed = false;
    try {
      generating = await this.#start();
      const { service, id, text: shown, final, prompt, settings, options } = generating;
      const stops = new StopStrings(settings.stopStrings, shown.tail);
      await read(service, id, prompt, options);
      prefilled = performance.now();
      const { maxNewTokens, maxTime = Infinity } = settings;
      let full = maxNewTokens === 0;
      while (!options.signal?.aborted) {
        if (full) {
          finishReason = "length";
          break;
        }
        const { id: token, logprob, position, ...chosen } = await service.next(id);
        logitsHash = chosen.logitsHash;
        newTokens++;
        full = newTokens >= maxNewTokens || performance.now() - begun > 1000 * maxTime;
        const stopToken = settings.stopTokens.has(token);
        const piece = stops.push(stopToken ? "" : shown.stream.push(token));
        let certain = piece.text;
        if (piece.stopped === undefined && (stopToken || full)) {
          if (final) certain += stops.push(shown.stream.flush()).text;
          certain += stops.flush();
        }
        shown.tail = stops.tail;
        text += certain;
        const stopped = stopToken || piece.stopped !== undefined;
        if (stopped) finishReason = "stop";
        yield { id: token, text: certain, logprob, position };
        if (stopped) break;
      }
    } catch (error) {
      if (generating?.options.signal?.aborted && error === generating.options.signal.reason) return;
      failed = true;
      this.#fail(error);
      throw error;
    } finally {
      if (!failed && generating) {
        const { prompt } = generating;
        const ended = performance.now();
        this.#settle({
          text,
          finishReason,
          promptTokens: prompt.length,
          newTokens,
          prefillSeconds: ((prefilled ?? ended) - begun) / 1000,
          decodeSeconds: (ended - (prefilled ?? ended)) / 1000,
          logitsHash,
        });
      }
      generating?.onEnd();
    }
  }
}

/** Reads the prompt in pieces large enough for the engine's chunks, and says how far it is. */
async function read(
  service: EngineService,
  id: number,
  prompt: readonly number[],
  options: GenerateOptions,
): Promise<void> {
  const piece = 16 * service.facts.chunkSize;
  for (let i = 0; i < prompt.length; i += piece) {
    await service.append(id, prompt.slice(i, i + piece), options.signal);
    options.onProgress?.(Math.min(i + piece, prompt.length), prompt.length);
  }
}
