import * as z from "zod/mini";
import { readBody } from "./body.ts";
import { openaiError, refused } from "./errors.ts";
import { chatFormat, formatOf } from "./formats.ts";
import { messages, messagesOf } from "./messages.ts";
import { chatLogprobs, finishReason, sourcesOf, timingsOf, usageOf } from "./openai_usage.ts";
import { maybe, sampling, samplingOptions, whole, without } from "./schemas.ts";
import { coreOf, newId, type Service } from "./service.ts";
import { SSE_PING, SSE_TYPE, sse, streamed } from "./stream.ts";
import { type Gathered, gather, type ReplyEvent, type Task } from "./task.ts";
import { toolChoice, tools, toolsOf } from "./tools.ts";

/** The body of /v1/chat/completions. */
export const chatBody = without(
  z.looseObject({
    ...sampling,
    messages,
    max_tokens: maybe(whole(1)),
    max_completion_tokens: maybe(whole(1)),
    logprobs: maybe(z.boolean("true or false")),
    top_logprobs: maybe(whole(0, 20)),
    response_format: maybe(chatFormat),
    tools: maybe(tools),
    tool_choice: maybe(toolChoice),
    parallel_tool_calls: maybe(z.boolean("true or false")),
    chat_template_kwargs: maybe(z.record(z.string(), z.unknown(), "variables of the chat template")),
    store: maybe(z.boolean("true or false")),
  }),
  {
    required: ["top_logprobs"],
    properties: { top_logprobs: { minimum: 1, type: "integer" }, logprobs: { not: { const: true } } },
  },
);

type ChatBody = z.output<typeof chatBody>;

/** POST /v1/chat/completions. see: OpenAI's API reference */
export async function chatCompletions(request: Request, service: Service): Promise<Response> {
  const body = await readBody(request, chatBody, service.limits);
  const core = coreOf(service, body.model);
  const task = taskOf(body, service);
  const leaving = new AbortController();
  const events = core.reply(task, AbortSignal.any([request.signal, leaving.signal]));
  const head = { id: newId("chatcmpl-"), created: Math.floor(Date.now() / 1000), model: core.name };
  if (!body.stream) return Response.json(completion(await gather(events), head, task));
  const form = { contentType: SSE_TYPE, ping: SSE_PING, error: errorEvent };
  return streamed(chunks(events, head, body), form, () => leaving.abort());
}

/** What a body asks for. Throws ApiError for what is not supported. */
function taskOf(body: ChatBody, service: Service): Task {
  const { tools, forced } = toolsOf(body.tools, body.tool_choice);
  const { response_format: format } = body;
  const schema = format?.type === "json_schema" ? format.json_schema.schema : undefined;
  const responseFormat = formatOf(format?.type, schema);
  if (body.top_logprobs && !body.logprobs) throw refused("top_logprobs", "logprobs: true with it", body.top_logprobs);
  return {
    operation: "chat",
    prompt: messagesOf(body.messages),
    ...{ tools, forced },
    options: {
      responseFormat,
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
function completion({ text, calls, logprobs, end }: Gathered, head: Head, task: Task) {
  const said = calls.map(({ id, ...call }) => ({ id, type: "function", function: call }));
  const content = text === "" && calls.length > 0 ? null : text;
  const message = { role: "assistant", content, refusal: null, ...(calls.length > 0 ? { tool_calls: said } : {}) };
  const likely = task.topLogprobs === undefined ? null : { content: chatLogprobs(logprobs), refusal: null };
  return {
    ...head,
    object: "chat.completion",
    choices: [{ index: 0, message, logprobs: likely, finish_reason: finishReason(end) }],
    usage: usageOf(end.usage),
    timings: timingsOf(end),
    ...sourcesOf(end),
  };
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
    if (event.type === "call") {
      const { index, id, name } = event;
      yield chunk(choice({ tool_calls: [{ index, id, type: "function", function: { name, arguments: "" } }] }));
    }
    if (event.type === "arguments") {
      yield chunk(choice({ tool_calls: [{ index: event.index, function: { arguments: event.text } }] }));
    }
    if (event.type === "end") {
      yield chunk(choice({}, finishReason(event)), { timings: timingsOf(event), ...sourcesOf(event) });
      if (includeUsage) yield chunk([], { usage: usageOf(event.usage) });
    }
  }
  yield "data: [DONE]\n\n";
}

/** An error in a stream: what clients throw. */
export function errorEvent(error: Parameters<typeof openaiError>[0]): string {
  return sse(openaiError(error));
}
