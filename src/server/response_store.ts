import type { Message } from "../tokenizer/chat.ts";

/** A response, and how the conversation came to it. */
export interface Turn {
  readonly before: Turn | undefined;
  /** What was said since: the request's messages, without instructions, then the answer's. */
  readonly messages: readonly Message[];
  /** As it was sent. */
  readonly response: object;
}

/** Responses that can be gone on from, by id; the least recently used are forgotten. In this process only. */
export class ResponseStore {
  readonly #most: number;
  readonly #turns = new Map<string, Turn>();

  constructor(most: number) {
    this.#most = most;
  }

  get(id: string): Turn | undefined {
    const turn = this.#turns.get(id);
    if (turn) this.put(id, turn);
    return turn;
  }

  put(id: string, turn: Turn): void {
    this.#turns.delete(id);
    this.#turns.set(id, turn);
    if (this.#turns.size > this.#most) this.#turns.delete(this.#turns.keys().next().value as string);
  }

  /** Whether it was there. */
  delete(id: string): boolean {
    return this.#turns.delete(id);
  }
}

/** All messages up to a response. */
export function historyOf(turn: Turn | undefined): Message[] {
  const parts: (readonly Message[])[] = [];
  for (let at = turn; at; at = at.before) parts.unshift(at.messages);
  return parts.flat();
}
