import type { Usage, WindowUse } from "../session/chat.ts";
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
}

/** The answer of a model to a task: the only place of the server that knows how models are asked. */
export function answer(model: Model, task: Task, signal: AbortSignal): Answer {
  const { prompt, topLogprobs } = task;
  const options = { ...task.options, signal, wait: true };
  if (topLogprobs) return withTop(model, task, topLogprobs, signal);
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
    yield { ...token, likely: { ...likely(tokenizer, token.id, token.logprob), top: [] } };
  }
}

/** An answer whose tokens each have the `count` most likely ones beside them: in a session, for its logits. */
function withTop(model: Model, { prompt, options }: Task, count: number, signal: AbortSignal): Answer {
  const result = Promise.withResolvers<AnswerResult>();
  result.promise.catch(() => {});
  async function* tokens(): AsyncGenerator<AnswerToken, void, undefined> {
    try {
      const session = await model.session({ wait: true, signal });
      try {
        await session.append(prompt, { ...options, signal });
        const promptTokens = session.length;
        let logits = await session.logits();
        const generation = session.generate(undefined, { ...options, signal });
        for await (const token of generation.tokens()) {
          const top = logits ? mostLikely(model.tokenizer, logits, count, token) : [];
          yield { ...token, likely: { ...likely(model.tokenizer, token.id, token.logprob), top } };
          // Reads the token, so that the logits are those that the next one is chosen from.
          await session.append([]);
          logits = await session.logits();
        }
        const { newTokens, ...rest } = await generation.result;
        result.resolve({ ...rest, usage: { promptTokens, cachedTokens: 0, completionTokens: newTokens } });
      } finally {
        session.dispose();
      }
    } catch (error) {
      result.reject(error);
      throw error;
    }
  }
  return { tokens, result: result.promise };
}

function likely(tokenizer: Tokenizer, id: number, logprob: number): Likely {
  const bytes = tokenizer.tokenBytes(id, { skipSpecialTokens: false }) ?? new Uint8Array();
  return { id, token: new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes), logprob, bytes: [...bytes] };
}

/** The `count` most likely tokens, the most likely first; `chosen`: the one that was chosen from these logits. */
function mostLikely(
  tokenizer: Tokenizer,
  logits: Float32Array,
  count: number,
  chosen: { readonly id: number; readonly logprob: number },
): Likely[] {
  const best: number[] = [];
  for (let id = 0; id < logits.length; id++) {
    const value = logits[id] as number;
    if (best.length === count && value <= (logits[best.at(-1) as number] as number)) continue;
    const at = best.findLastIndex((other) => (logits[other] as number) >= value) + 1;
    best.splice(at, 0, id);
    if (best.length > count) best.pop();
  }
  const sum = (logits[chosen.id] as number) - chosen.logprob;
  return best.map((id) => likely(tokenizer, id, id === chosen.id ? chosen.logprob : (logits[id] as number) - sum));
}
