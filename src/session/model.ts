import { mismatch, OptionError } from "../base/errors.ts";
import { currentRuntime } from "../runtime/index.ts";
import type { EmbedOptions, EngineFacts, EngineService, OpenOptions, StartOptions } from "../service/types.ts";
import { shownPlace } from "../sources/address.ts";
import type { ChatOptions, Message } from "../tokenizer/chat.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { generateAlone } from "./alone.ts";
import type { Chat, ChatSettings, ChatStore, Reply, ReplyOptions } from "./chat.ts";
import { MemoryStore } from "./chat_store.ts";
import { Conversation } from "./conversation.ts";
import type { Prompt, SessionModel } from "./encode_prompt.ts";
import type { GenerateOptions } from "./generate_options.ts";
import type { Generation } from "./generation.ts";
import { GenerationConfig } from "./generation_config.ts";
import { areFiles, type Loaded, type LoadOptions, loadLocally, loadRemotely, type Where } from "./load.ts";
import { Answer, type ChatModel } from "./reply.ts";
import { Session } from "./session.ts";

/** What a model is and takes, as `--stats json` prints it. */
export interface ModelInfo extends EngineFacts {
  readonly model: string;
  readonly runtime: string;
  /** That compute a step; 1 where threads cannot be had. */
  readonly threads: number;
}

/** Bytes of the states of chats that are kept by default. */
const CHAT_BYTES = 2 ** 28;

/** A language model, ready to read and write. */
export class Model {
  readonly tokenizer: Tokenizer;
  readonly info: ModelInfo;
  /** What generation_config.json asks for and is not supported, such as beams: one sentence for each key. */
  readonly warnings: readonly string[];
  readonly #parts: SessionModel;
  readonly #chats: ChatModel;

  /** `chatStore`: as of load. */
  constructor(name: string, loaded: Loaded, chatStore: number | ChatStore = CHAT_BYTES) {
    const { runtime, service, tokenizer } = loaded;
    this.tokenizer = tokenizer;
    this.info = modelInfo(name, runtime, service);
    this.warnings = new GenerationConfig(loaded.config, loaded.generationConfig).warnings;
    this.#parts = loaded;
    this.#chats = { parts: loaded, store: storeOf(chatStore, (state) => loaded.service.forget(state)) };
  }

  /**
   * Continues a text or a chat.
   *
   * @example
   * const generation = model.generate("Once", { maxNewTokens: 100, temperature: 0.8 });
   * for await (const piece of generation) process.stdout.write(piece);
   * console.log((await generation.result).finishReason);
   */
  generate(prompt: Prompt, options: GenerateOptions = {}): Generation {
    return generateAlone(this.#parts, prompt, options);
  }

  /**
   * The vector f32[hiddenSize, or `dimensions`] of each text: the hidden state after the final norm of its last token, or
   * the mean of all (`pooling`), of length 1. Texts are encoded with the special tokens that the tokenizer puts around
   * them; token ids are taken as they are. Short ones share steps, and each of them takes a session for a while.
   *
   * @example
   * const [query, document] = await model.embed([`Instruct: ${task}\nQuery:${question}`, passage]);
   *
   * @throws OptionError for a text without a token, or if maxSessions are open, unless it may wait
   */
  async embed(
    texts: readonly (string | readonly number[])[],
    options?: EmbedOptions,
  ): Promise<Float32Array<ArrayBuffer>[]> {
    if (!Array.isArray(texts)) throw new OptionError(mismatch("texts", "a list of texts", texts));
    if (texts.length === 0) return [];
    const ids = texts.map((text) => (Array.isArray(text) ? text : this.tokenizer.encode(text)));
    const vectors = await this.#parts.service.embed(ids, options);
    const size = vectors.length / texts.length;
    return ids.map((_, i) => vectors.slice(i * size, (i + 1) * size));
  }

  /**
   * Messages as the text that `generate` would read, by the model's chat template.
   *
   * @throws OptionError if there is no template, a message is malformed, or the template refuses the messages
   */
  async renderChat(messages: readonly Message[], options?: ChatOptions): Promise<string> {
    const { renderChat } = await import("../tokenizer/chat.ts");
    return renderChat(this.tokenizer, messages, options);
  }

  /**
   * Answers the last of these messages, as a client asks who sends all of them each time: the longest start of them that
   * was read before is found in the store of states, and only what is new is read. The answer depends on messages, options
   * and seed alone. Errors come when it is read: OptionError as of `renderChat` and `session`, and ContextLengthError.
   *
   * @example
   * const reply = model.respond([{ role: "user", content: "Who is there?" }], { temperature: 0.8 });
   * for await (const piece of reply) process.stdout.write(piece);
   * console.log((await reply.result).usage.cachedTokens);
   */
  respond(messages: readonly Message[], options: ReplyOptions = {}): Reply {
    return new Answer(this.#chats, { begin: () => messages }, options);
  }

  /**
   * Starts a chat without end: turns leave the window, the system's turn and the tools stay, and memory is constant. What
   * stays takes tokens that are reserved at load (nGlobal).
   *
   * @example
   * const chat = model.chat({ system: "Be brief." });
   * console.log(await chat.send("Who are you?").text());
   */
  chat(settings: ChatSettings = {}): Chat {
    return new Conversation(this.#chats, settings);
  }

  /** Goes on with a chat that was saved, here or elsewhere. Throws ModelError if it is damaged. */
  restoreChat(bytes: Uint8Array, options: ReplyOptions = {}): Chat {
    return Conversation.restore(this.#chats, bytes, options);
  }

  /**
   * Starts a text. `startPosition`: position of its first token; the logits depend on distances alone. Throws OptionError
   * if maxSessions are open, unless it may wait for one of them to be disposed of.
   */
  async session(options: StartOptions = {}): Promise<Session> {
    return new Session(this.#parts, await this.#parts.service.open(options));
  }

  /** Goes on from a snapshot, with the same bits. Throws ModelError if it is damaged or not of this model. */
  restore(snapshot: Uint8Array, options?: OpenOptions): Promise<Session> {
    return Session.restore(this.#parts, snapshot, options);
  }

  /**
   * Bytes of WebAssembly memory as it is now: weights, buffers, and a slot for each of the most sessions that were open at
   * once. However long their texts get, it stays as it is.
   */
  memory(): Promise<number> {
    return this.#parts.service.memory();
  }

  /** Ends every session, gives the memory back, and ends the worker if there is one. */
  dispose(): void {
    const { store } = this.#chats;
    if (store instanceof MemoryStore) store.clear();
    this.#parts.service.close();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Loads a model from a directory, a URL of one, a Hugging Face id, or files that were found otherwise. While one is in
 * use, another one of the same local files and options shares its memory: weights are there once, nothing is read again,
 * and maxSessions counts for both.
 */
export async function load(where: Where, options: LoadOptions = {}): Promise<Model> {
  const runtime = await currentRuntime();
  const { worker = runtime.worker, chatStore, ...rest } = options;
  const loaded = worker
    ? await loadRemotely(where, rest, runtime)
    : (await loadLocally(where, { ...rest, worker }, runtime)).loaded;
  return new Model(areFiles(where) ? where.name : shownPlace(where), loaded, chatStore);
}

function storeOf(store: number | ChatStore, forget: (state: Uint8Array) => void): ChatStore {
  if (typeof store === "object" && "latest" in store) return store;
  if (typeof store === "number" && store >= 0) return new MemoryStore(store, forget);
  throw new OptionError(mismatch("chatStore", "bytes, or a store with latest and put", store));
}

/** ModelInfo of a service; `threads` stays that of the moment. */
export function modelInfo(
  model: string,
  runtime: string,
  service: Pick<EngineService, "facts" | "threads">,
): ModelInfo {
  return {
    model,
    runtime,
    get threads() {
      return service.threads;
    },
    ...service.facts,
  };
}
