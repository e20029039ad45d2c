import type { Embedding } from "../engine/embed.ts";
import type { NextToken } from "../engine/engine.ts";
import type { Appending } from "../engine/reading.ts";
import type { RecalledToken } from "../engine/recalled.ts";
import type { Choosing } from "../engine/sampler.ts";
import type { TextState } from "../engine/state.ts";
import type { Policy } from "../plan/policy.ts";

/** What an engine is, as plain data. Bytes; Infinity where there is no bound. */
export interface EngineFacts extends Policy {
  readonly modelType: string;
  /** Of the config and of every weight as stored, 16 hexadecimal digits. */
  readonly modelHash: string;
  /** Tokens of the longest texts that the model was trained on. */
  readonly trainedLength: number;
  /** How many token ids there are, and how many numbers a hidden state has. */
  readonly vocabSize: number;
  readonly hiddenSize: number;
  /** Build of the kernels. */
  readonly kernels: string;
  readonly dtype: string;
  readonly cacheDtype: string;
  readonly weightBytes: number;
  /** Keys and values of one session. */
  readonly cacheBytes: number;
  /** Everything, with one session. */
  readonly memoryBytes: number;
  /** Tokens of a prompt that are read in one step. */
  readonly chunkSize: number;
  /** The windows in tokens that layers keep under every policy, where windowed and global layers mix; null: a global one. */
  readonly windows?: readonly (number | null)[] | undefined;
}

/** The next token, and XXH64 of the logits of all tokens that were chosen since the session or `begin` began. */
export interface ChosenToken extends NextToken {
  readonly logitsHash: string;
}

/** Tokens of a generation, chosen as they are read; `return` leaves it. */
export interface TokenStream {
  next(): Promise<IteratorResult<ChosenToken, void>>;
  return(): Promise<unknown>;
}

/** How many tokens a stream has, and when they are chosen. */
export interface StreamOptions {
  /** Tokens at most. */
  readonly most: number;
  /**
   * How many tokens may be chosen before they are read, where the engine is elsewhere: with 0 the session never holds one
   * that its reader does not have.
   */
  readonly ahead: number;
}

/** What a caller does if every slot is taken. */
export interface OpenOptions {
  /** Wait for a free slot, first come, first served, instead of the error; default false. */
  readonly wait?: boolean | undefined;
  /** Ends the waiting. */
  readonly signal?: AbortSignal | undefined;
}

/** How a session starts. */
export interface StartOptions extends OpenOptions {
  /** Position of the first token; default 0. */
  readonly startPosition?: number | undefined;
  /** Of its random numbers, 0 to 2^53 − 1; drawn by default. */
  readonly seed?: number | undefined;
  /** How many of its first tokens stay attended to: at most the model's nGlobal, which is the default. */
  readonly nGlobal?: number | undefined;
}

/** How texts are embedded. */
export interface EmbedOptions extends OpenOptions {
  /** The hidden state of the last token, by default, or the mean of all. */
  readonly pooling?: Embedding["pooling"] | undefined;
  /** Whether every vector has length 1; true by default. */
  readonly normalize?: boolean | undefined;
  /**
   * How many numbers each vector has: the first ones, for models that were trained so (Matryoshka); all, hiddenSize, by
   * default.
   */
  readonly dimensions?: number | undefined;
  /** Called with the number of texts that are done, and of all. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** A session that was opened: its number, and the text side of a snapshot if it came from one. */
export interface Opened {
  readonly id: number;
  readonly text?: TextState | undefined;
}

/**
 * What models and sessions ask of an engine, wherever it runs: in place (`LocalService`) or in a worker (`RemoteService`).
 * Ids cross, and logits on request. Calls are as those of Engine; errors come as rejections.
 */
export interface EngineService {
  readonly facts: EngineFacts;
  /** That compute a step; 1 where threads cannot be had. */
  readonly threads: number;
  /** Tokens of a session so far, the one included that was chosen last. Throws OptionError if it was disposed of. */
  length(id: number): number;
  /** The seed of a session's random numbers. */
  seed(id: number): number;
  open(options?: StartOptions): Promise<Opened>;
  restore(snapshot: Uint8Array, options?: OpenOptions): Promise<Opened>;
  fork(id: number, options?: OpenOptions): Promise<Opened>;
  /**
   * What is chosen by crosses here, once for all tokens of a generation. `newTokens`: how many of the session's tokens were
   * chosen for it already, none by default.
   */
  begin(id: number, seed: number | undefined, choosing: Choosing, newTokens?: number): Promise<void>;
  append(id: number, tokens: readonly number[], signal?: AbortSignal, how?: Appending): Promise<void>;
  /** The tokens of the generation that was begun. */
  generate(id: number, options: StreamOptions): TokenStream;
  /** One token, chosen by settings of its own; `seed` starts the session's random numbers anew. */
  next(id: number, alone: Choosing, seed?: number): Promise<ChosenToken>;
  /** A copy; undefined while there are none. */
  logits(id: number): Promise<Float32Array<ArrayBuffer> | undefined>;
  /** `pending`, true by default: with the token that was chosen last and not read; false: as if it had not been chosen. */
  snapshot(id: number, text: TextState, pending?: boolean): Promise<Uint8Array<ArrayBuffer>>;
  /** A snapshot that was taken here is not needed any more: what only it needs of a log may go. */
  forget(snapshot: Uint8Array): void;
  /** Vectors f32[texts, hiddenSize] of token ids. */
  embed(texts: readonly (readonly number[])[], options?: EmbedOptions): Promise<Float32Array<ArrayBuffer>>;
  /** What the session has recalled since its generation began. */
  recalled(id: number): Promise<readonly RecalledToken[]>;
  dispose(id: number): void;
  /** Bytes of WebAssembly memory as it is now: it grows with the most sessions that were open at once, and never shrinks. */
  memory(): Promise<number>;
  /** Ends it: what is asked afterwards is refused. */
  close(): void;
}
