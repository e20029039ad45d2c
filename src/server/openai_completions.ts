import * as z from "zod/mini";
import type { Prompt } from "../session/encode_prompt.ts";
import { readBody } from "./body.ts";
import { refused } from "./errors.ts";
import { errorEvent } from "./openai_chat.ts";
import { finishReason, timingsOf, usageOf } from "./openai_usage.ts";
import { ids, maybe, sampling, samplingOptions, text, whole, without } from "./schemas.ts";
import { coreOf, newId, type Service } from "./service.ts";
import { SSE_PING, SSE_TYPE, sse, streamed } from "./stream.ts";
import { type ChosenLikely, type Gathered, gather, type ReplyEvent, type Task } from "./task.ts";

/** OpenAI's default of max_tokens here. */
const MAX_TOKENS = 16;

/** The body of /v1/completions. */
export const completionBody = without(
  z.looseObject({
    ...sampling,
    prompt: z.union(
      [text(), ids, z.array(z.union([text(), ids])).check(z.length(1, "one text"))],
      "a string, a list of token ids, or a list of one of them",
    ),
    max_tokens: maybe(whole(0)),
    logprobs: maybe(whole(0, 20)),
    echo: maybe(z.boolean("true or false")),
    suffix: maybe(z.literal("", "none, as text is only continued")),
    best_of: maybe(z.literal(1, "1")),
  }),
  {
    required: ["echo", "logprobs"],
    properties: { echo: { const: true }, logprobs: { type: "integer" } },
  },
);

type CompletionBody = z.output<typeof completionBody>;

/** POST /v1/completions. see: OpenAI's API reference */
export async function completions(request: Request, service: Service): Promise<Response> {
  const body = await readBody(request, completionBody, service.limits);
  const core = coreOf(service, body.model);
  const task = taskOf(body);
  const leaving = new AbortController();
  const events = core.reply(task, AbortSignal.any([request.signal, leaving.signal]));
  const head = {
    ...{ id: newId("cmpl-"), object: "text_completion" },
    ...{ created: Math.floor(Date.now() / 1000), model: core.name },
  };
  const echo = !body.echo ? "" : typeof task.prompt === "string" ? task.prompt : echoOf(core.model.tokenizer, task);
  if (!body.stream) return Response.json(completion(await gather(events), head, echo, task));
  const form = { contentType: SSE_TYPE, ping: SSE_PING, error: errorEvent };
  return streamed(chunks(events, head, body, echo), form, () => leaving.abort());
}

function taskOf(body: CompletionBody): Task {
  if (body.echo && typeof body.logprobs === "number")
    throw refused("logprobs", "none with echo", body.logprobs, "unsupported_value");
  return {
    operation: "text_completion",
    prompt: promptOf(body.prompt),
    options: { ...samplingOptions(body), maxNewTokens: body.max_tokens ?? MAX_TOKENS },
    topLogprobs: body.logprobs ?? undefined,
  };
}

/** One text, or the ids of one. */
function promptOf(prompt: CompletionBody["prompt"]): Prompt {
  return (typeof prompt === "string" || typeof prompt[0] === "number" ? prompt : prompt[0]) as string | number[];
}

function echoOf(tokenizer: { decode(ids: readonly number[]): string }, { prompt }: Task): string {
  return tokenizer.decode(prompt as readonly number[]);
}

/** OpenAI's `logprobs` of completions; `from` is where their text starts. */
function logprobsOf(tokens: readonly ChosenLikely[], from: number) {
  let offset = from;
  return {
    tokens: tokens.map(({ token }) => token),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: tokens.map(({ top }) => Object.fromEntries(top.map(({ token, logprob }) => [token, logprob]))),
    text_offset: tokens.map(({ token }) => (offset += token.length) - token.length),
  };
}

function completion({ text, logprobs, end }: Gathered, head: object, echo: string, task: Task) {
  const likely = task.topLogprobs === undefined ? null : logprobsOf(logprobs, echo.length);
  const choices = [{ index: 0, text: echo + text, logprobs: likely, finish_reason: finishReason(end) }];
  return { ...head, choices, usage: usageOf(end.usage), timings: timingsOf(end) };
}

async function* chunks(
  events: AsyncIterable<ReplyEvent>,
  head: object,
  body: CompletionBody,
  echo: string,
): AsyncGenerator<string, void, undefined> {
  const includeUsage = body.stream_options?.include_usage;
  const chunk = (choices: readonly object[], more: object = {}) => {
    return sse({ ...head, choices, ...(includeUsage ? { usage: null } : {}), ...more });
  };
  const choice = (text: string, finish_reason: string | null = null, logprobs: object | null = null) => [
    { index: 0, text, logprobs, finish_reason },
  ];
  let written = 0;
  for await (const event of events) {
    if (written === 0 && echo !== "") yield chunk(choice(echo));
    if (written === 0) written = echo.length;
    if (event.type === "text") {
      const logprobs = event.logprobs.length > 0 ? logprobsOf(event.logprobs, written) : null;
      yield chunk(choice(event.text, null, logprobs));
      written += event.text.length;
    }
    if (event.type === "end") {
      yield chunk(choice("", finishReason(event)), { timings: timingsOf(event) });
      if (includeUsage) yield chunk([], { usage: usageOf(event.usage) });
    }
  }
  yield "data: [DONE]\n\n";
}
