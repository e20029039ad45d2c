import type { LikelyToken } from "../engine/likely.ts";
import type { Source, Usage, WindowUse } from "../session/chat.ts";
import type { GeneratedToken, GenerationResult } from "../session/generation.ts";
import type { Model } from "../session/model.ts";
import type { Message } from "../tokenizer/chat.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { ChosenLikely, Likely, Task } from "./task.ts";

/** A token of an answer; `likely` where logarithms of probabilities are wanted. */
export interface AnswerToken extends GeneratedToken {
  readonly likely?: ChosenLikely | undefined;
}

/** An answer in the making. It ends when its reader leaves. */
export interface Answer {
  tokens(): AsyncIterableIterator<AnswerToken>;
  readonly result: Promise<AnswerResult>;
}

/** How it ended. */
export interface AnswerResult extends Pick<GenerationResult, "finishReason" | "prefillSeconds" | "decodeSeconds"> {
  readonly usage: Usage;
  /** Of chats. */
  readonly window?: WindowUse | undefined;
  readonly sources?: readonly Source[] | undefined;
}

/** The answer of a model to a task: the only place of the server that knows how models are asked. */
export function answer(model: Model, task: Task, signal: AbortSignal): Answer {
  const { prompt, topLogprobs } = task;
  const options = { ...task.options, topLogprobs, signal, wait: true };
  const chat = typeof prompt !== "string" && typeof prompt[0] === "object";
  const made = chat ? model.respond(prompt as readonly Message[], options) : model.generate(prompt, options);
  return {
    tokens: () => (topLogprobs === undefined ? made.tokens() : withLikely(made.tokens(), model.tokenizer)),
    get result() {
      return made.result.then((result) => ("usage" in result ? result : resultOf(result)));
    },
  };
}

function resultOf({ promptTokens, newTokens, ...rest }: GenerationResult): AnswerResult {
  return { ...rest, usage: { promptTokens, cachedTokens: 0, completionTokens: newTokens } };
}

async function* withLikely(
  tokens: AsyncIterable<GeneratedToken>,
  tokenizer: Tokenizer,
): AsyncGenerator<AnswerToken, void, undefined> {
  for await (const token of tokens) {
    yield {
      ...token,
      likely: { ...likely(tokenizer, token), top: (token.top ?? []).map((one) => likely(tokenizer, one)) },
    };
  }
}

function likely(tokenizer: Tokenizer, { id, logprob }: LikelyToken): Likely {
  const bytes = tokenizer.tokenBytes(id, { skipSpecialTokens: false }) ?? new Uint8Array();
  return { id, token: new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes), logprob, bytes: [...bytes] };
}
