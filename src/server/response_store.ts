import type { SessionStore } from "../store/store.ts";
import type { Message } from "../tokenizer/chat.ts";
import { ApiError } from "./errors.ts";
import { StoreError } from "./watched_store.ts";

/** A response, and how the conversation came to it. */
export interface Turn {
  /** The conversation that this goes on from. */
  readonly before: Turn | undefined;
  /** What was said since: the request's messages, without instructions, then the answer's. */
  readonly messages: readonly Message[];
  /** As it was sent. */
  readonly response: object;
}

/** Responses that can be gone on from, by id. */
export interface ResponseStore {
  get(id: string): Promise<Turn | undefined>;
  /** Whether it is kept. */
  put(id: string, turn: Turn): Promise<boolean>;
  /** Whether it was there. */
  delete(id: string): Promise<boolean>;
}

/** The latest responses, in this process only; the least recently used are forgotten. */
export class LocalResponses implements ResponseStore {
  readonly #most: number;
  readonly #turns = new Map<string, Turn>();

  constructor(most: number) {
    this.#most = most;
  }

  async get(id: string): Promise<Turn | undefined> {
    const turn = this.#turns.get(id);
    if (turn) this.#turns.delete(id);
    if (turn) this.#turns.set(id, turn);
    return turn;
  }

  async put(id: string, turn: Turn): Promise<boolean> {
    this.#turns.set(id, turn);
    if (this.#turns.size > this.#most) this.#turns.delete(this.#turns.keys().next().value as string);
    return true;
  }

  async delete(id: string): Promise<boolean> {
    return this.#turns.delete(id);
  }
}

/** Seconds that a response stays in a store: 30 days, as at OpenAI. */
const RESPONSE_SECONDS = 30 * 86_400;

/**
 * Responses in a store that servers share: each with the whole conversation, so that it does not depend on others being
 * kept. Calls throw ApiError 503 where the store fails, but for `put`: the response is there all the same.
 */
export class SharedResponses implements ResponseStore {
  readonly #store: SessionStore;

  constructor(store: SessionStore) {
    this.#store = store;
  }

  async get(id: string): Promise<Turn | undefined> {
    if (!isId(id)) return undefined;
    const found = await this.#store.get(nameOf(id)).catch(unavailable);
    if (!found) return undefined;
    const { messages, response } = JSON.parse(new TextDecoder().decode(found.bytes));
    return { before: undefined, messages, response };
  }

  /** Throws ApiError 409 if another one has this id. */
  async put(id: string, turn: Turn): Promise<boolean> {
    const kept = { messages: historyOf(turn), response: turn.response };
    const bytes = new TextEncoder().encode(JSON.stringify(kept));
    try {
      if (await this.#store.put(nameOf(id), bytes, { ifVersion: null, ttl: RESPONSE_SECONDS })) return true;
    } catch (error) {
      if (error instanceof StoreError) return false;
      throw error;
    }
    throw new ApiError(409, `response ${id}: expected none that is stored, found one`, { code: "conflict" });
  }

  async delete(id: string): Promise<boolean> {
    return isId(id) && (await this.#store.delete(nameOf(id)).catch(unavailable));
  }
}

/** Clients send anything. */
function isId(id: string): boolean {
  return /^resp_\w{1,64}$/.test(id);
}

function nameOf(id: string): string {
  return `responses/${id}`;
}

function unavailable(error: unknown): never {
  if (!(error instanceof StoreError)) throw error;
  throw new ApiError(503, error.message, { code: "store_unavailable", retryAfter: 1 });
}

/** All messages up to a response. */
export function historyOf(turn: Turn | undefined): Message[] {
  const parts: (readonly Message[])[] = [];
  for (let at = turn; at; at = at.before) parts.unshift(at.messages);
  return parts.flat();
}
