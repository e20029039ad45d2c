import { ModelError, mismatch } from "../base/errors.ts";
import { drawSeed } from "../base/random.ts";
import type { Message } from "../tokenizer/chat.ts";
import { resumedBy } from "./alone.ts";
import {
  type ChatStore,
  ContextLengthError,
  checkReply,
  type Reply,
  type ReplyOptions,
  type ReplyResult,
  type Source,
  type Usage,
  type WindowUse,
} from "./chat.ts";
import { chain, encodePiece, leading, link, originOf, parts, turnsOf } from "./chat_keys.ts";
import type { Pieces } from "./chat_pieces.ts";
import type { SessionModel } from "./encode_prompt.ts";
import { type GeneratedToken, Generation, type Tally } from "./generation.ts";
import { Keeper } from "./resume.ts";
import { Session } from "./session.ts";
import { sourcesOf } from "./sources.ts";

/** Rendering needs an interpreter of templates; few programs chat. */
const pieces = () => import("./chat_pieces.ts");

/** What answers of one model share. */
export interface ChatModel {
  readonly parts: SessionModel;
  readonly store: ChatStore;
}

/** The most tokens of an answer, if neither the caller nor generation_config.json says: it is to have an end. */
const MOST_NEW_TOKENS = 1024;

/** What an answer answers, and who hears of it. */
export interface Occasion {
  /** The messages, asked for when they are first read. */
  begin(): readonly Message[];
  /** The answer has ended, in one way or another; undefined: it had not begun. */
  end?(text: string | undefined, window: WindowUse | undefined): void;
}

/** Messages as they will be read. */
interface Reading {
  readonly messages: readonly Message[];
  readonly pieces: Pieces;
  /** The key of each piece with all before it. */
  readonly keys: readonly string[];
  /** A session that has read the first `done` pieces. */
  readonly session: Session;
  /** Whether it has read all of them, and started the answer. */
  readonly resumed: boolean;
  readonly done: number;
  /** Tokens that it has read. */
  readonly cached: number;
  /** Tokens of the system turn and the tools; 0: none are given. */
  readonly system: number;
  /** The first tokens that stay. */
  readonly nGlobal: number;
  /** The ids of the pieces from `done` on. */
  readonly ids: readonly (readonly number[])[];
}

/** An answer to messages, as `Model.respond` describes it. */
export class Answer implements Reply {
  readonly #model: ChatModel;
  readonly #occasion: Occasion;
  readonly #options: ReplyOptions;
  #seed: number;
  readonly #generation: Generation;
  #text = "";
  #usage: Usage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
  #window: WindowUse | undefined;
  #sources: readonly Source[] = [];
  #result: Promise<ReplyResult> | undefined;

  constructor(model: ChatModel, occasion: Occasion, options: ReplyOptions) {
    this.#model = model;
    this.#occasion = occasion;
    this.#options = options;
    this.#seed = options.seed ?? drawSeed();
    this.#generation = new Generation((tally, signal) => this.#run(tally, signal), options.signal);
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<string> {
    return this.#generation[Symbol.asyncIterator]();
  }

  tokens(): AsyncIterableIterator<GeneratedToken> {
    return this.#generation.tokens();
  }

  text(): Promise<string> {
    return this.#generation.text();
  }

  get result(): Promise<ReplyResult> {
    this.#result ??= this.#generation.result.then(({ promptTokens: _, newTokens: __, ...result }) => {
      const window = this.#window ?? { position: 0, window: this.#limit, pinned: 0, unseen: 0 };
      const answer = { text: this.#text, usage: this.#usage, window, sources: this.#sources, seed: this.#seed };
      return { ...result, ...answer };
    });
    // Who reads the pieces gets the error there.
    this.#result.catch(() => {});
    return this.#result;
  }

  /** The tokens that a text can have before any of it is unseen. */
  get #limit(): number {
    const { nLocal, maxPositions } = this.#model.parts.service.facts;
    return Math.min(nLocal, maxPositions);
  }

  async *#run(tally: Tally, signal: AbortSignal): AsyncGenerator<GeneratedToken, void, undefined> {
    tally.start();
    checkReply(this.#options);
    const messages = this.#occasion.begin();
    let reading: Reading | undefined;
    try {
      reading = await this.#open(messages, signal);
      const room = this.#room(reading);
      if (!reading.resumed) await this.#read(reading, signal);
      tally.prefilled();
      yield* this.#answer(reading, room, tally, signal);
    } catch (error) {
      if (!signal.aborted || error !== signal.reason) throw error;
    } finally {
      if (reading) this.#measure(reading);
      reading?.session.dispose();
      const begun = this.#text !== "" || tally.finishReason !== "abort";
      this.#occasion.end?.(begun ? this.#text : undefined, this.#window);
    }
  }

  /** Finds the state that has read the most of the messages. */
  async #open(messages: readonly Message[], signal: AbortSignal): Promise<Reading> {
    const { parts } = this.#model;
    const { cutChat, staying } = await pieces();
    const cut = cutChat(parts.tokenizer, messages, this.#options);
    const stays = staying(parts, messages, this.#options);
    const keys = await chain(originOf(parts.service.facts, stays.nGlobal), cut.texts);
    const { resume, seed, wait } = this.#options;
    const of = await link(keys.at(-1) as string, `answer ${seed ?? ""}`);
    const keeper = await Keeper.open(resume, { of, seed: this.#seed }, signal);
    this.#seed = keeper?.seed ?? this.#seed;
    const resumed = await resumedBy(parts, keeper, { wait, signal });
    const latest = resumed ? { session: resumed, done: 0 } : await this.#latest(keys, stays.nGlobal, signal);
    const { session, done } = latest;
    session.keepBy(keeper);
    const ids = cut.texts.slice(done).map((text, i) => encodePiece(parts.tokenizer, text, done + i === 0));
    const cached = resumed ? 0 : session.length;
    return { messages, pieces: cut, keys, ...stays, session, resumed: resumed !== undefined, done, cached, ids };
  }

  /** A session that has read the first `done` pieces. */
  async #latest(keys: readonly string[], nGlobal: number, signal: AbortSignal) {
    const { parts } = this.#model;
    // The last piece ends with the start of the answer: it is read in any case.
    const found = await storeOf(this.#model, this.#options).latest(keys.slice(0, -1));
    const how = { wait: this.#options.wait, signal };
    if (found) {
      try {
        return { session: await Session.restore(parts, found[1], how), done: found[0] + 1 };
      } catch (error) {
        // A state that is damaged or of another version is as good as none.
        if (!(error instanceof ModelError)) throw error;
      }
    }
    return { session: new Session(parts, await parts.service.open({ ...how, nGlobal })), done: 0 };
  }

  /** How many tokens the answer may have. Throws ContextLengthError if the messages do not fit. */
  #room({ system, cached, ids }: Reading): number {
    const { service, generationConfig } = this.#model.parts;
    const { attention, nGlobal, nLocal } = service.facts;
    const limit = this.#limit;
    const tokens = cached + ids.reduce((sum, { length }) => sum + length, 0);
    this.#usage = { promptTokens: tokens, cachedTokens: cached, completionTokens: 0 };
    const most = this.#options.maxNewTokens ?? (generationConfig.max_new_tokens as number | null) ?? MOST_NEW_TOKENS;
    const wanted = most === -1 ? Infinity : most;
    if (tokens + wanted <= limit) return most;
    const stays = nLocal < Infinity && system <= nGlobal;
    if (this.#options.truncation !== "disabled" && stays) return most;
    if (tokens < limit) return limit - tokens;
    if (this.#options.truncation === "disabled" || nLocal === Infinity) {
      const expected = `less than the ${limit} tokens of the window under ${attention} attention`;
      throw new ContextLengthError(mismatch("messages", expected, tokens), tokens, limit);
    }
    const expected = `at most nGlobal (${nGlobal}) tokens, to stay when a chat of ${tokens} leaves the window of ${limit}`;
    throw new ContextLengthError(mismatch("system turn and tools", expected, system), system, nGlobal);
  }

  /** Reads the pieces, and keeps the state behind the system's turn and before the last piece. */
  async #read({ messages, pieces, keys, session, done, ids }: Reading, signal: AbortSignal): Promise<void> {
    const { onProgress, store: keeps = true } = this.#options;
    const store = storeOf(this.#model, this.#options);
    const total = ids.reduce((sum, { length }) => sum + length, 0);
    const system = pieces.of[leading(messages) - 1] ?? -1;
    const last = pieces.texts.length - 1;
    const turns = turnsOf(messages, pieces.of);
    let read = 0;
    for (let piece = done; piece <= last; ) {
      const end = [system, last - 1].find((stop) => piece <= stop) ?? last;
      const some = ids.slice(piece - done, end + 1 - done);
      const before = read;
      for (const part of parts(some, (i) => turns.has(piece + i), this.#model.parts.service.facts.chunkSize)) {
        await session.append(part.ids, { signal, turnStarts: part.turnStarts });
        read += part.ids.length;
        onProgress?.(read, total);
      }
      if (end < last && read > before && keeps) await store.put(keys[end] as string, await session.snapshot());
      piece = end + 1;
    }
  }

  async *#answer(
    { pieces: cut, keys, nGlobal, session, ids }: Reading,
    maxNewTokens: number,
    tally: Tally,
    signal: AbortSignal,
  ): AsyncGenerator<GeneratedToken, void, undefined> {
    const { tokenizer } = this.#model.parts;
    const { onProgress: _, ...options } = this.#options;
    const prompt = ids.at(-1) as readonly number[];
    const { answerEnds } = await pieces();
    // An answer that has a form ends with it: inside, quotes and blank lines are its own.
    const ends = options.ignoreEos || options.responseFormat ? [] : answerEnds(tokenizer, options);
    const stopStrings = [...(options.stopStrings ?? stopStringsOf(this.#model.parts)), ...ends];
    const how = { ...options, maxNewTokens, stopStrings, seed: this.#seed, signal };
    const generation = session.generate(undefined, how);
    const chosen: number[] = [];
    for await (const token of generation.tokens()) {
      chosen.push(token.id);
      this.#text += token.text;
      this.#usage = { ...this.#usage, completionTokens: chosen.length };
      yield token;
    }
    const { finishReason, logitsHash } = await generation.result;
    this.#sources = sourcesOf(tokenizer, cut, await session.recalled());
    Object.assign(tally, { finishReason, logitsHash, newTokens: chosen.length });
    if (options.store === false || finishReason === "abort") return;
    // If the answer's text has these tokens, the next turn goes on from here; else it is read anew.
    const stopped = tokenizer.isSpecial(chosen.at(-1) ?? -1);
    const last = cut.texts.length - 1;
    const text = `${cut.texts[last]}${this.#text}`;
    const canonical = encodePiece(tokenizer, text, last === 0);
    if (canonical.join() !== [...prompt, ...(stopped ? chosen.slice(0, -1) : chosen)].join()) return;
    const key = await link(keys[last - 1] ?? originOf(this.#model.parts.service.facts, nGlobal), text);
    await storeOf(this.#model, options).put(key, await session.snapshot({ pending: !stopped }));
  }

  /** How much of the conversation is in the window; looks back over one window of text at most. */
  #measure({ messages, pieces, nGlobal, session, done, ids }: Reading): void {
    const position = session.length;
    const limit = this.#limit;
    const first = leading(messages);
    if (position <= limit) {
      this.#window = { position, window: limit, pinned: Math.min(nGlobal, position), unseen: 0 };
      return;
    }
    const turns = turnsOf(messages, pieces.of);
    // Tokens of the window before a piece, and the first piece that is in it as a whole, or as a turn.
    let left = limit - this.#usage.completionTokens;
    let seen = pieces.texts.length;
    let turn: number | undefined;
    for (let piece = seen - 1; piece >= 0; piece--) {
      const text = pieces.texts[piece] as string;
      left -= ids[piece - done]?.length ?? encodePiece(this.#model.parts.tokenizer, text, piece === 0).length;
      if (left < 0) break;
      seen = piece;
      if (turns.has(piece)) turn = piece;
    }
    seen = turn ?? seen;
    const unseen = pieces.of.filter((piece, i) => i >= first && piece >= 0 && piece < seen).length;
    this.#window = { position, window: limit, pinned: Math.min(nGlobal, position), unseen };
  }
}

/** Those of generation_config.json; resolveSettings checks them where they are used alone. */
function stopStringsOf({ generationConfig }: SessionModel): string[] {
  return [generationConfig.stop_strings ?? []].flat() as string[];
}

/** Where an answer's states are. */
function storeOf(model: ChatModel, { store }: ReplyOptions): ChatStore {
  return typeof store === "object" ? store : model.store;
}

/** The state that an answer to a longer chat would go on from, and its key. */
export async function stateOf(model: ChatModel, messages: readonly Message[], options: ReplyOptions) {
  const { parts } = model;
  const { cutChat, staying } = await pieces();
  const { texts } = cutChat(parts.tokenizer, messages, { ...options, addGenerationPrompt: false });
  const { nGlobal } = staying(parts, messages, options);
  const keys = await chain(originOf(parts.service.facts, nGlobal), texts);
  const found = await storeOf(model, options).latest(keys);
  return found && { key: keys[found[0]] as string, state: found[1] };
}
