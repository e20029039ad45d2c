import { mismatch, OptionError } from "../base/errors.ts";
import type { Message } from "../tokenizer/chat.ts";
import type { GenerateOptions } from "./generate_options.ts";
import type { GeneratedToken, GenerationResult } from "./generation.ts";

/** How an answer to messages is read and written; docs/OPTIONS.md describes every option. */
export interface ReplyOptions extends GenerateOptions {
  /**
   * Keep the state before and after the answer, so that later turns are read from there; true by default. Or a store
   * instead of the model's.
   */
  readonly store?: boolean | ChatStore | undefined;
  /**
   * `auto`, by default: the oldest turns leave the window, the system turn and the tools stay. `disabled`: messages
   * that do not fit into the window are a ContextLengthError, and the answer ends (`length`) where it is full.
   */
  readonly truncation?: "auto" | "disabled" | undefined;
}

/** Throws OptionError for what generate does not check. */
export function checkReply({ truncation = "auto", store = true }: ReplyOptions): void {
  if (truncation !== "auto" && truncation !== "disabled")
    throw new OptionError(mismatch("truncation", "auto or disabled", truncation));
  if (typeof store !== "boolean" && typeof store.latest !== "function")
    throw new OptionError(mismatch("store", "true, false, or a store with latest and put", store));
}

/** What messages and answer took, in tokens. */
export interface Usage {
  /** All tokens of the rendered messages, the cached ones included. */
  readonly promptTokens: number;
  /** Of them, those that were not read again, as a stored state was found that had read them. */
  readonly cachedTokens: number;
  /** Chosen tokens, a stop token included. */
  readonly completionTokens: number;
}

/** What the window holds at the end of an answer, in tokens. */
export interface WindowUse {
  /** Of the conversation so far, the answer included. */
  readonly position: number;
  /** The last tokens that are attended to (nLocal); Infinity under a policy that forgets nothing. */
  readonly window: number;
  /** The first tokens that stay: the system turn, the tools, and the head of the first turn. */
  readonly pinned: number;
  /** How many of the messages, system's excluded, are no longer in the window as a whole: the first ones. */
  readonly unseen: number;
}

/** A passage of a conversation that an answer has looked back at. */
export interface Source {
  /** The index of the message that it is in. */
  readonly message: number;
  readonly text: string;
  /** Its share of the attention of all heads that recall, in the mean over the answer's tokens. */
  readonly weight: number;
}

/** How an answer ended. */
export interface ReplyResult extends Pick<GenerationResult, "finishReason" | "logitsHash"> {
  /** The answer: all pieces together. */
  readonly text: string;
  readonly usage: Usage;
  readonly window: WindowUse;
  /** With recall: passages beyond the window that the answer has looked back at, at most three, the heaviest first. */
  readonly sources: readonly Source[];
  /** The seed that it was chosen with: given again, it gives the same answer. */
  readonly seed: number;
  /** Time until the messages were read, and from then on. */
  readonly prefillSeconds: number;
  readonly decodeSeconds: number;
}

/**
 * An answer in the making, to be read as a Generation: piece by piece (`for await (const piece of reply)`), token by
 * token, or whole. It ends when its reader leaves or `signal` is aborted. Before it is asked for, nothing happens.
 */
export interface Reply extends AsyncIterable<string> {
  tokens(): AsyncIterableIterator<GeneratedToken>;
  /** The whole text. */
  text(): Promise<string>;
  /** Rejects with what `respond` throws. */
  readonly result: Promise<ReplyResult>;
}

/** Messages that do not fit where they have to: into the window, or, the system turn, into what is pinned. */
export class ContextLengthError extends OptionError {
  /** OpenAI's name of it. */
  readonly code = "context_length_exceeded";
  /** Tokens that there are. */
  readonly tokens: number;
  /** Tokens that there may be. */
  readonly limit: number;

  constructor(message: string, tokens: number, limit: number) {
    super(message);
    this.tokens = tokens;
    this.limit = limit;
  }
}

/**
 * Where the states of conversations are kept: snapshots of constant size, each under a key that says everything it has
 * read (64 hexadecimal digits). It may forget any of them at any time: they are then read again.
 */
export interface ChatStore {
  /** The last one of these keys that is known, as its index, and what is stored there. */
  latest(keys: readonly string[]): Promise<readonly [index: number, state: Uint8Array] | undefined>;
  put(key: string, state: Uint8Array): Promise<void> | void;
}

/** How a chat starts, and the defaults of its answers. */
export interface ChatSettings extends ReplyOptions {
  /** The text of the system turn; none by default. */
  readonly system?: string | undefined;
  /** The turns so far, without that of the system. */
  readonly messages?: readonly Message[] | undefined;
}

/**
 * A conversation of any length. What it keeps is its messages; the model's state is in the model's bounded store, and an
 * answer depends on messages, options and seed alone, whatever the store still has. One answer at a time.
 *
 * `model.chat(settings)` starts one, `model.restoreChat(bytes)` goes on with a saved one, `model.respond(messages,
 * options): Reply` answers without one.
 */
export interface Chat {
  /** All turns, the system's first if there is one. */
  readonly messages: readonly Message[];
  /** Of the last answer. */
  readonly window: WindowUse | undefined;
  /** Adds what the user (or a tool) says and answers it; the answer becomes a turn when it has ended, however it has. */
  send(message: string | Message | readonly Message[], options?: ReplyOptions): Reply;
  /** Answers the last message again, by default with another seed. */
  regenerate(options?: ReplyOptions): Reply;
  /** Replaces message `index` of `messages` by another one of its role, and drops all after it. */
  edit(index: number, content: string): void;
  /** Takes the last message of the user and what followed it away; returns it, or undefined if there is none. */
  undo(): Message | undefined;
  /** Replaces the system turn; "" or undefined: none. The turns stay and are read again. */
  setSystem(system: string | undefined): void;
  /** A chat that goes its own way from here. */
  fork(): Chat;
  /** The messages, and the state that the next answer goes on from, as a safetensors file. */
  save(): Promise<Uint8Array<ArrayBuffer>>;
}
