import * as z from "zod/mini";
import { readBody } from "./body.ts";
import { openaiError, refused } from "./errors.ts";
import { messages, messagesOf } from "./messages.ts";
import { chatLogprobs, finishReason, timingsOf, usageOf } from "./openai_usage.ts";
import { maybe, sampling, samplingOptions, text, whole } from "./schemas.ts";
import { coreOf, newId, type Service } from "./service.ts";
import { SSE_PING, SSE_TYPE, sse, streamed } from "./stream.ts";
import type { ChosenLikely, ReplyEvent, Task } from "./task.ts";

/** The body of /v1/chat/completions. */
export const chatBody = z.looseObject({
  ...sampling,
  messages,
  max_tokens: maybe(whole(1)),
  max_completion_tokens: maybe(whole(1)),
  logprobs: maybe(z.boolean("true or false")),
  top_logprobs: maybe(whole(0, 20)),
  response_format: maybe(z.looseObject({ type: text() })),
  tools: maybe(z.array(z.looseObject({ type: text() }), "a list of tools")),
  chat_template_kwargs: maybe(z.record(z.string(), z.unknown(), "variables of the chat template")),
  store: maybe(z.boolean("true or false")),
});

type ChatBody = z.output<typeof chatBody>;

/** POST /v1/chat/completions. see: OpenAI's API reference */
export async function chatCompletions(request: Request, service: Service): Promise<Response> {
  const body = await readBody(request, chatBody, service.limits);
  const core = coreOf(service, body.model);
  const task = taskOf(body, service);
  const leaving = new AbortController();
  const events = core.reply(task, AbortSignal.any([request.signal, leaving.signal]));
  const head = { id: newId("chatcmpl-"), created: Math.floor(Date.now() / 1000), model: core.name };
  if (!body.stream) return Response.json(await wholeAnswer(events, head, task));
  const form = { contentType: SSE_TYPE, ping: SSE_PING, error: errorEvent };
  return streamed(chunks(events, head, body), form, () => leaving.abort());
}

/** What a body asks for. Throws ApiError for what is not supported. */
function taskOf(body: ChatBody, service: Service): Task {
  if (body.tools?.length) throw refused("tools", "none", `${body.tools.length} tools`, "unsupported_value");
  const format = body.response_format?.type ?? "text";
  if (format !== "text") throw refused("response_format.type", "text", format, "unsupported_value");
  if (body.top_logprobs && !body.logprobs) throw refused("top_logprobs", "logprobs: true with it", body.top_logprobs);
  return {
    operation: "chat",
    prompt: messagesOf(body.messages),
    options: {
      ...samplingOptions(body),
      maxNewTokens: body.max_completion_tokens ?? body.max_tokens ?? service.maxNewTokens,
      ...(body.chat_template_kwargs ? { templateVariables: body.chat_template_kwargs } : {}),
      store: body.store ?? undefined,
    },
    topLogprobs: body.logprobs ? (body.top_logprobs ?? 0) : undefined,
  };
}

interface Head {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

/** The whole answer as one object. */
async function wholeAnswer(events: AsyncIterable<ReplyEvent>, head: Head, task: Task) {
  let content = "";
  const tokens: ChosenLikely[] = [];
  for await (const event of events) {
    if (event.type === "text") {
      content += event.text;
      tokens.push(...event.logprobs);
    }
    if (event.type !== "end") continue;
    const message = { role: "assistant", content, refusal: null };
    const logprobs = task.topLogprobs === undefined ? null : { content: chatLogprobs(tokens), refusal: null };
    return {
      ...head,
      object: "chat.completion",
      choices: [{ index: 0, message, logprobs, finish_reason: finishReason(event) }],
      usage: usageOf(event.usage),
      timings: timingsOf(event),
    };
  }
  throw new Error("an answer ends with its end");
}

/** The answer as server-sent events. */
async function* chunks(
  events: AsyncIterable<ReplyEvent>,
  head: Head,
  body: ChatBody,
): AsyncGenerator<string, void, undefined> {
  const includeUsage = body.stream_options?.include_usage;
  const chunk = (choices: readonly object[], more: object = {}) => {
    const usage = includeUsage ? { usage: null } : {};
    return sse({ ...head, object: "chat.completion.chunk", choices, ...usage, ...more });
  };
  const choice = (delta: object, finish_reason: string | null = null, logprobs: object | null = null) => [
    { index: 0, delta, logprobs, finish_reason },
  ];
  let started = false;
  for await (const event of events) {
    if (!started) yield chunk(choice({ role: "assistant", content: "" }));
    started = true;
    if (event.type === "text") {
      const logprobs = event.logprobs.length > 0 ? { content: chatLogprobs(event.logprobs), refusal: null } : null;
      yield chunk(choice({ content: event.text }, null, logprobs));
    }
    if (event.type === "end") {
      yield chunk(choice({}, finishReason(event)), { timings: timingsOf(event) });
      if (includeUsage) yield chunk([], { usage: usageOf(event.usage) });
    }
  }
  yield "data: [DONE]\n\n";
}

/** An error in a stream: what clients throw. */
export function errorEvent(error: Parameters<typeof openaiError>[0]): string {
  return sse(openaiError(error));
}
