import type { Usage } from "../session/chat.ts";
import type { ChosenLikely, Likely, ReplyEnd } from "./task.ts";

/** OpenAI's `usage` of chats and completions. */
export function usageOf({ promptTokens, cachedTokens, completionTokens }: Usage) {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}

/** llama-server's `timings`. ms and tokens per second. */
export function timingsOf({ usage, prefillMs, decodeMs }: ReplyEnd) {
  const read = usage.promptTokens - usage.cachedTokens;
  return {
    ...{ cache_n: usage.cachedTokens, prompt_n: read, prompt_ms: prefillMs },
    prompt_per_second: prefillMs > 0 ? (1000 * read) / prefillMs : 0,
    ...{ predicted_n: usage.completionTokens, predicted_ms: decodeMs },
    predicted_per_second: decodeMs > 0 ? (1000 * usage.completionTokens) / decodeMs : 0,
  };
}

/** With recall: what the answer has looked back at; no field of OpenAI's. */
export function sourcesOf({ sources = [] }: ReplyEnd) {
  return sources.length > 0 ? { sources } : {};
}

/** Tokens as `logprobs.content` of chats lists them. */
export function chatLogprobs(tokens: readonly ChosenLikely[]) {
  const entry = ({ token, logprob, bytes }: Likely) => ({ token, logprob, bytes });
  return tokens.map((token) => ({ ...entry(token), top_logprobs: token.top.map(entry) }));
}

/** OpenAI's finish_reason. */
export function finishReason({ reason }: ReplyEnd): "stop" | "length" | "tool_calls" {
  return reason === "calls" ? "tool_calls" : reason;
}
