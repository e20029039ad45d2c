import type { Engine } from "../../src/engine/engine.ts";
import { GREEDY, logSumExp } from "../../src/engine/sampler.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import type { Prompt } from "./passkey_prompts.ts";

/** The result of one prompt. */
export interface Trial {
  readonly key: number;
  /** The generated text, by greedy choice. */
  readonly answer: string;
  /** Whether the answer's first integer is the key. */
  readonly correct: boolean;
  /** Mean over the key's tokens after the prompt, nats per token. */
  readonly nll: number;
  /** The same for another key of as many digits: a model that has found the key finds this one much less likely. */
  readonly otherNll: number;
}

/** The part of an engine that is used. */
export type Reader = Pick<Engine, "plan" | "open" | "fork" | "dispose" | "append" | "next" | "state" | "logits">;

/** Sessions at once: the shared start of prompts, the prompt, and a trial after it. */
export const SESSIONS = 3;

/**
 * Asks a model for keys. The shared start of prompts is read once, if there are enough sessions, and a prompt once, not
 * once for each of its three figures; this changes no bit.
 */
export class Quiz {
  readonly #engine: Reader;
  readonly #tokenizer: Tokenizer;
  /** The most tokens of an answer. */
  readonly #answerTokens: number;
  readonly #roomy: boolean;
  /** Not if the last token that is read attends to middle tokens and the others do not. */
  readonly #shares: boolean;
  /** A session that has read the first tokens of prompts, and their number. */
  #base: { readonly id: number; length: number } | undefined;
  #current: { readonly id: number; readonly prompt: Prompt } | undefined;

  constructor(engine: Reader, tokenizer: Tokenizer, answerTokens: number) {
    this.#engine = engine;
    this.#tokenizer = tokenizer;
    this.#answerTokens = answerTokens;
    this.#roomy = hasRoom(engine);
    this.#shares = engine.plan.policy.recallQueries === "all";
  }

  /** Prompts should be asked in the order of `shared`. */
  async ask(prompt: Prompt, signal?: AbortSignal): Promise<Trial> {
    const nll = await this.#behind(prompt, signal, (id) => this.#nll(id, prompt.answer, signal));
    const otherNll = await this.#behind(prompt, signal, (id) => this.#nll(id, prompt.other, signal));
    const answer = await this.#behind(prompt, signal, (id) => this.#answer(id, signal));
    const correct = Number(answer.match(/\d+/)?.[0]) === prompt.key;
    return { key: prompt.key, answer, correct, nll, otherNll };
  }

  /** Disposes of its sessions. */
  end(): void {
    for (const session of [this.#base, this.#current]) if (session) this.#engine.dispose(session.id);
    this.#base = undefined;
    this.#current = undefined;
  }

  /** Lends a session that has read the prompt. */
  async #behind<T>(prompt: Prompt, signal: AbortSignal | undefined, work: (id: number) => Promise<T>): Promise<T> {
    if (this.#roomy) await this.#read(prompt, signal);
    const id = this.#current ? this.#engine.fork(this.#current.id) : this.#engine.open(0, 0);
    try {
      if (!this.#current) await this.#engine.append(id, prompt.ids, signal);
      return await work(id);
    } finally {
      this.#engine.dispose(id);
    }
  }

  /** Makes the prompt the current one. */
  async #read(prompt: Prompt, signal: AbortSignal | undefined): Promise<void> {
    const engine = this.#engine;
    if (this.#current?.prompt === prompt) return;
    if (this.#current) engine.dispose(this.#current.id);
    this.#current = undefined;
    const shared = this.#shares ? prompt.shared : 0;
    if (this.#base && this.#base.length > shared) this.end();
    this.#base ??= { id: engine.open(0, 0), length: 0 };
    if (this.#base.length < shared) {
      await engine.append(this.#base.id, prompt.ids.slice(this.#base.length, shared), signal);
      this.#base.length = shared;
    }
    const id = engine.fork(this.#base.id);
    try {
      await engine.append(id, prompt.ids.slice(shared), signal);
      this.#current = { id, prompt };
    } finally {
      if (!this.#current) engine.dispose(id);
    }
  }

  /** Mean NLL of tokens after what the session has read, one by one, as if it had generated them. */
  async #nll(id: number, tokens: readonly number[], signal: AbortSignal | undefined): Promise<number> {
    let sum = 0;
    for (const [i, token] of tokens.entries()) {
      const logits = this.#engine.logits(this.#engine.state(id));
      sum += logSumExp(logits) - (logits[token] as number);
      if (i < tokens.length - 1) await this.#engine.append(id, [token], signal);
    }
    return sum / tokens.length;
  }

  /** Generates until the first integer is complete, the text ends, or a key no longer fits. */
  async #answer(id: number, signal: AbortSignal | undefined): Promise<string> {
    const ids: number[] = [];
    let text = "";
    while (ids.length < this.#answerTokens && !/\d\D/.test(text)) {
      signal?.throwIfAborted();
      const next = await this.#engine.next(id, GREEDY);
      if (next.id === this.#tokenizer.eosTokenId) break;
      ids.push(next.id);
      text = this.#tokenizer.decode(ids);
    }
    return text;
  }
}

function hasRoom(engine: Reader): boolean {
  const ids: number[] = [];
  try {
    while (ids.length < SESSIONS) ids.push(engine.open(0, 0));
    return true;
  } catch {
    return false;
  } finally {
    for (const id of ids) engine.dispose(id);
  }
}

/** Combines prompts of one kind. */
export interface Summary {
  readonly trials: number;
  /** From 0 to 1; NaN without trials, like the others. */
  readonly accuracy: number;
  readonly nll: number;
  readonly otherNll: number;
}

export function summarize(trials: readonly Trial[]): Summary {
  const mean = (value: (trial: Trial) => number) =>
    trials.reduce((sum, trial) => sum + value(trial), 0) / trials.length;
  return {
    trials: trials.length,
    accuracy: mean(({ correct }) => Number(correct)),
    nll: mean(({ nll }) => nll),
    otherNll: mean(({ otherNll }) => otherNll),
  };
}
