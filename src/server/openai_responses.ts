import * as z from "zod/mini";
import type { Message } from "../tokenizer/chat.ts";
import { readBody } from "./body.ts";
import { type ApiError, asApiError, missing, openaiError, refused } from "./errors.ts";
import { formatOf, responseTextFormat } from "./formats.ts";
import { sourcesOf } from "./openai_usage.ts";
import { historyOf, type Turn } from "./response_store.ts";
import { type OutputItem, type ResponseEvent, ResponseItems } from "./responses_events.ts";
import { addCall, messagesOfInput, responseInput, withItems } from "./responses_input.ts";
import { maybe, sampling, samplingOptions, text, whole, without } from "./schemas.ts";
import { coreOf, newId, type Service } from "./service.ts";
import { SSE_PING, SSE_TYPE, sse, streamed } from "./stream.ts";
import type { ReplyEnd, ReplyEvent, Task } from "./task.ts";
import { flatTools, toolChoice, toolsOfFlat } from "./tools.ts";

const { stop: _, n: __, logit_bias: ___, ...choosing } = sampling;

/** The body of /v1/responses. */
export const responseBody = without(
  z.looseObject({
    ...choosing,
    input: responseInput,
    instructions: maybe(text()),
    previous_response_id: maybe(text()),
    conversation: maybe(z.literal("", "none (use previous_response_id)")),
    store: maybe(z.boolean("true or false")),
    background: maybe(z.literal(false, "false, as answers are not kept waiting")),
    truncation: maybe(z.enum(["auto", "disabled"], "auto or disabled")),
    max_output_tokens: maybe(whole(1)),
    include: maybe(z.array(text(), "a list of names")),
    top_logprobs: maybe(whole(0, 20)),
    tools: maybe(flatTools),
    tool_choice: maybe(toolChoice),
    text: maybe(z.looseObject({ format: maybe(responseTextFormat) })),
    metadata: maybe(z.record(z.string(), z.unknown(), "an object")),
  }),
  {
    required: ["input"],
    properties: {
      input: {
        type: "array",
        items: { type: "object", required: ["type"], properties: { type: { const: "reasoning" } } },
      },
      ...{ instructions: { enum: [null, ""] }, previous_response_id: { enum: [null, ""] } },
    },
  },
);

type ResponseBody = z.output<typeof responseBody>;

/** What a response goes on from, and what it is asked. */
interface Asked {
  readonly before: Turn | undefined;
  readonly messages: readonly Message[];
}

/** POST /v1/responses. see: OpenAI's API reference */
export async function responses(request: Request, service: Service): Promise<Response> {
  const body = await readBody(request, responseBody, service.limits);
  const core = coreOf(service, body.model);
  const asked = {
    before: await previous(body, service),
    messages: messagesOfInput(await withItems(body.input, service.responses)),
  };
  const task = taskOf(body, asked, service);
  const leaving = new AbortController();
  const reply = core.reply(task, AbortSignal.any([request.signal, leaving.signal]));
  const made = eventsOf(reply, describe(body, core.name), service, async (response, output) => {
    return body.store !== false && keep(service, response, asked, output);
  });
  if (body.stream)
    return streamed(lines(made), { contentType: SSE_TYPE, ping: SSE_PING, error: failed }, () => leaving.abort());
  let last: ResponseEvent | undefined;
  for await (const event of made) last = event;
  return Response.json(last?.response);
}

/** GET /v1/responses/{id}. Throws ApiError 404 if it is not stored (any more). */
export async function storedResponse({ responses }: Service, id: string): Promise<Response> {
  const turn = await responses.get(id);
  if (!turn) throw unknownResponse(id, "response_id");
  return Response.json(turn.response);
}

/** DELETE /v1/responses/{id}. Throws ApiError 404 if it is not stored (any more). */
export async function deleteResponse({ responses }: Service, id: string): Promise<Response> {
  if (!(await responses.delete(id))) throw unknownResponse(id, "response_id");
  return Response.json({ id, object: "response", deleted: true });
}

function unknownResponse(id: string, param: string): ApiError {
  return missing(param, "a stored response", id, "previous_response_not_found");
}

async function previous({ previous_response_id: id }: ResponseBody, { responses }: Service): Promise<Turn | undefined> {
  if (!id) return undefined;
  const turn = await responses.get(id);
  if (!turn) throw unknownResponse(id, "previous_response_id");
  return turn;
}

function taskOf(body: ResponseBody, { before, messages }: Asked, service: Service): Task {
  const { tools, forced } = toolsOfFlat(body.tools, body.tool_choice);
  const format = body.text?.format;
  const responseFormat = formatOf(format?.type, format?.schema);
  const system = body.instructions ? [{ role: "system", content: body.instructions }] : [];
  const prompt = [...system, ...historyOf(before), ...messages];
  if (prompt.length === 0) throw refused("input", "a message, or instructions", "none");
  const likely = body.include?.includes("message.output_text.logprobs") || body.top_logprobs;
  return {
    operation: "chat",
    prompt,
    ...{ tools, forced },
    options: {
      responseFormat,
      ...samplingOptions(body),
      maxNewTokens: body.max_output_tokens ?? service.maxNewTokens,
      truncation: body.truncation ?? "disabled",
      store: body.store ?? undefined,
    },
    topLogprobs: likely ? (body.top_logprobs ?? 0) : undefined,
  };
}

/** A response without its outcome: what it was asked with. */
function describe(body: ResponseBody, model: string) {
  return {
    ...{ id: newId("resp_"), object: "response", created_at: Math.floor(Date.now() / 1000), model },
    ...{ error: null, incomplete_details: null, instructions: body.instructions ?? null },
    ...{ max_output_tokens: body.max_output_tokens ?? null, metadata: body.metadata ?? {} },
    ...{ previous_response_id: body.previous_response_id ?? null, store: body.store ?? true },
    ...{ parallel_tool_calls: true, tools: body.tools ?? [], tool_choice: body.tool_choice ?? "auto" },
    ...{
      temperature: body.temperature ?? null,
      top_p: body.top_p ?? null,
      text: { format: body.text?.format ?? { type: "text" } },
    },
    ...{ truncation: body.truncation ?? "disabled", reasoning: { effort: null, summary: null } },
  };
}

type Described = ReturnType<typeof describe>;
type Kept = { readonly id: string };

/** The events of a response; the last one has it whole, which `keep` gets before, to say whether it is stored. */
async function* eventsOf(
  reply: AsyncIterable<ReplyEvent>,
  described: Described,
  { pending }: Service,
  keep: (response: Kept, output: readonly OutputItem[]) => Promise<boolean>,
): AsyncGenerator<ResponseEvent, void, undefined> {
  const done = pending.begin();
  try {
    yield* piecesOf(reply, described, keep);
  } finally {
    done();
  }
}

async function* piecesOf(
  reply: AsyncIterable<ReplyEvent>,
  described: Described,
  keep: (response: Kept, output: readonly OutputItem[]) => Promise<boolean>,
): AsyncGenerator<ResponseEvent, void, undefined> {
  const items = new ResponseItems(described.id);
  const begun = { ...described, status: "in_progress", output: [], usage: null };
  let started = false;
  for await (const event of reply) {
    if (!started) yield { type: "response.created", response: begun };
    if (!started) yield { type: "response.in_progress", response: begun };
    started = true;
    yield* items.take(event);
  }
  const end = items.end as ReplyEnd;
  const { reason, usage, window } = end;
  const { promptTokens, cachedTokens, completionTokens } = usage;
  const status = reason === "length" ? "incomplete" : "completed";
  const response = {
    ...described,
    ...{ status, incomplete_details: reason === "length" ? { reason: "max_output_tokens" } : null },
    output: items.output,
    usage: {
      ...{ input_tokens: promptTokens, input_tokens_details: { cached_tokens: cachedTokens } },
      ...{ output_tokens: completionTokens, output_tokens_details: { reasoning_tokens: 0 } },
      total_tokens: promptTokens + completionTokens,
    },
    window,
    ...sourcesOf(end),
  };
  const stored = await keep(response, items.output);
  yield { type: `response.${status}`, response: { ...response, store: stored } };
}

async function* lines(events: AsyncIterable<ResponseEvent>): AsyncGenerator<string, void, undefined> {
  let sequence_number = 0;
  for await (const event of events) yield sse({ ...event, sequence_number: sequence_number++ }, event.type);
}

/** An error in the stream. */
function failed(error: ApiError): string {
  const { message, code } = openaiError(asApiError(error)).error;
  return sse({ type: "error", code, message, param: null, sequence_number: 0 }, "error");
}

/** Stores a response, so that others can go on from it. */
function keep(
  { responses }: Service,
  response: Kept,
  { before, messages }: Asked,
  output: readonly OutputItem[],
): Promise<boolean> {
  const said: Message[] = [];
  for (const item of output) {
    if (item.type === "message") {
      const [content] = item.content as { readonly text: string }[];
      said.push({ role: "assistant", content: content?.text ?? "" });
    } else {
      const { call_id, name, arguments: json } = item as unknown as Record<string, string>;
      addCall(said, { id: call_id as string, name: name as string, arguments: json as string });
    }
  }
  return responses.put(response.id, { before, messages: [...messages, ...said], response });
}
