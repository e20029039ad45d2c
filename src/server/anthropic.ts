import * as z from "zod/mini";
import type { Message } from "../tokenizer/chat.ts";
import { argumentsOf } from "../tools/tools.ts";
import { messagesOfBlocks, systemBlocks, turns } from "./anthropic_input.ts";
import { readBody } from "./body.ts";
import type { Core } from "./core.ts";
import { type ApiError, typeOf } from "./errors.ts";
import { maybe, real, stops, stopsOf, text, whole } from "./schemas.ts";
import { coreOf, newId, type Service } from "./service.ts";
import { SSE_TYPE, sse, streamed } from "./stream.ts";
import { type Gathered, gather, type ReplyEnd, type ReplyEvent, type Task } from "./task.ts";
import { toolsOf } from "./tools.ts";

/** The body of /v1/messages/count_tokens, and what that of /v1/messages has as well. */
export const countBody = z.looseObject({
  model: maybe(text()),
  messages: turns,
  system: maybe(systemBlocks),
  tools: maybe(
    z.array(
      z.looseObject({ name: maybe(text()), description: maybe(text()), input_schema: maybe(z.looseObject({})) }),
      "a list of tools",
    ),
  ),
  tool_choice: maybe(
    z.union([
      z.looseObject({ type: z.enum(["auto", "any", "none"], "auto, any, tool or none") }),
      z.looseObject({ type: z.literal("tool", "auto, any, tool or none"), name: text() }),
    ]),
  ),
});

/** The body of /v1/messages. */
export const messagesBody = z.extend(countBody, {
  max_tokens: whole(1),
  stop_sequences: maybe(stops),
  stream: maybe(z.boolean("true or false")),
  temperature: maybe(real(0, 100)),
  top_p: maybe(real(0, 1)),
  top_k: maybe(whole(0)),
});

type CountBody = z.output<typeof countBody>;
type MessagesBody = z.output<typeof messagesBody>;

/** POST /v1/messages. see: Anthropic's API reference */
export async function anthropicMessages(request: Request, service: Service): Promise<Response> {
  const body = await readBody(request, messagesBody, service.limits);
  const core = coreOf(service, body.model);
  const task = taskOf(body);
  const leaving = new AbortController();
  const events = core.reply(task, AbortSignal.any([request.signal, leaving.signal]));
  const head = { id: newId("msg_"), type: "message", role: "assistant", model: core.name };
  if (!body.stream) return Response.json(message(await gather(events), head));
  const form = {
    contentType: SSE_TYPE,
    ping: named({ type: "ping" }),
    error: (error: ApiError) => named(anthropicError(error)),
  };
  return streamed(
    chunks(events, head, () => countOf(core, task)),
    form,
    () => leaving.abort(),
  );
}

/** POST /v1/messages/count_tokens */
export async function anthropicCount(request: Request, service: Service): Promise<Response> {
  const body = await readBody(request, countBody, service.limits);
  const task = taskOf({ ...body, max_tokens: 1 });
  return Response.json({ input_tokens: await countOf(coreOf(service, body.model), task) });
}

function countOf(core: Core, { prompt, tools }: Task): Promise<number> {
  return core.countTokens(prompt as readonly Message[], tools ? { tools } : {});
}

/** The error object of Anthropic's bodies and streams. */
export function anthropicError({ status, message }: ApiError) {
  return { type: "error", error: { type: typeOf(status), message } };
}

function taskOf(body: MessagesBody): Task {
  const { tools, forced } = toolsFrom(body);
  const { temperature, top_p, top_k } = body;
  const system = systemOf(body);
  return {
    operation: "chat",
    prompt: [...system, ...messagesOfBlocks(body.messages)],
    ...{ tools, forced },
    options: {
      maxNewTokens: body.max_tokens,
      temperature: temperature ?? undefined,
      topP: top_p === 0 ? Number.MIN_VALUE : (top_p ?? undefined),
      topK: top_k ?? undefined,
      stopStrings: stopsOf(body.stop_sequences),
    },
  };
}

function systemOf({ system }: CountBody): Message[] {
  const content = typeof system === "string" ? system : (system ?? []).map(({ text }) => text).join("\n\n");
  return content === "" ? [] : [{ role: "system", content }];
}

/** Tools that have a schema; those that Anthropic runs itself have none, and are left out. */
function toolsFrom({ tools, tool_choice }: CountBody) {
  const list = (tools ?? []).flatMap(({ name, description, input_schema: parameters }) => {
    if (!name || !parameters) return [];
    return [{ type: "function", function: { name, ...(description ? { description } : {}), parameters } }];
  });
  const choice = tool_choice ?? { type: "auto" as const };
  if (choice.type === "tool") return toolsOf(list, { type: "function", name: choice.name });
  return toolsOf(list, choice.type === "any" ? "required" : choice.type);
}

interface Head {
  readonly id: string;
  readonly model: string;
}

function message({ text, calls, end }: Gathered, head: Head) {
  const said = text === "" && calls.length > 0 ? [] : [{ type: "text", text }];
  const used = calls.map(({ id, name, arguments: json }) => ({ type: "tool_use", id, name, input: inputOf(json) }));
  return { ...head, content: [...said, ...used], ...ending(end), usage: usageOf(end) };
}

/** Arguments as an object, as this API has them; those of a call that was cut off are none. */
function inputOf(json: string): unknown {
  const input = argumentsOf(json);
  return typeof input === "object" ? input : {};
}

function ending({ reason, stopString }: ReplyEnd) {
  const reasons = {
    stop: stopString === undefined ? "end_turn" : "stop_sequence",
    length: "max_tokens",
    calls: "tool_use",
  };
  return { stop_reason: reasons[reason], stop_sequence: stopString ?? null };
}

/** Here the cached tokens are beside the others. */
function usageOf({ usage }: ReplyEnd) {
  return {
    input_tokens: usage.promptTokens - usage.cachedTokens,
    ...{ cache_read_input_tokens: usage.cachedTokens, cache_creation_input_tokens: 0 },
    output_tokens: usage.completionTokens,
  };
}

function named(data: { readonly type: string }): string {
  return sse(data, data.type);
}

/** The answer as server-sent events: a block is begun, filled and ended before the next one. */
async function* chunks(
  events: AsyncIterable<ReplyEvent>,
  head: Head,
  countTokens: () => Promise<number>,
): AsyncGenerator<string, void, undefined> {
  let started = false;
  let open: "text" | "tool_use" | undefined;
  let index = -1;
  const begin = (block: { readonly type: "text" | "tool_use"; readonly [key: string]: unknown }) => {
    const closing = open ? named({ type: "content_block_stop", ...{ index } }) : "";
    [open, index] = [block.type, index + 1];
    return closing + named({ type: "content_block_start", ...{ index, content_block: block } });
  };
  const delta = (data: object) => named({ type: "content_block_delta", ...{ index, delta: data } });
  for await (const event of events) {
    if (!started) {
      const usage = { input_tokens: await countTokens(), output_tokens: 0 };
      const message = { ...head, content: [], stop_reason: null, stop_sequence: null, usage };
      yield named({ type: "message_start", ...{ message } });
    }
    started = true;
    if (event.type === "text") {
      if (open !== "text") yield begin({ type: "text", text: "" });
      yield delta({ type: "text_delta", text: event.text });
    }
    if (event.type === "call") yield begin({ type: "tool_use", id: event.id, name: event.name, input: {} });
    if (event.type === "arguments") yield delta({ type: "input_json_delta", partial_json: event.text });
    if (event.type !== "end") continue;
    if (!open) yield begin({ type: "text", text: "" });
    yield named({ type: "content_block_stop", ...{ index } });
    yield named({ type: "message_delta", ...{ delta: ending(event), usage: usageOf(event) } });
    yield named({ type: "message_stop" });
  }
}
