import type * as z from "zod/mini";
import { VERSION } from "../base/version.ts";
import type { Message } from "../tokenizer/chat.ts";
import { argumentsOf } from "../tools/tools.ts";
import { readBody } from "./body.ts";
import type { Core } from "./core.ts";
import type { ApiError } from "./errors.ts";
import { ollamaChat, ollamaEmbed, ollamaGenerate, ollamaOptions, ollamaShow } from "./ollama_body.ts";
import { coreOf, type Service } from "./service.ts";
import { streamed } from "./stream.ts";
import { type Call, gather, type ReplyEnd, type ReplyEvent, type Task } from "./task.ts";
import { toolsOf } from "./tools.ts";

/** The error object of Ollama's bodies and streams. */
export function ollamaError({ message }: ApiError) {
  return { error: message };
}

/** POST /api/chat. see: Ollama's docs/api.md, as for all here */
export async function chat(request: Request, service: Service): Promise<Response> {
  const body = await readBody(request, ollamaChat, service.limits);
  const core = coreOf(service, body.model);
  if (body.messages.length === 0) return loaded(body.model, { message: { role: "assistant", content: "" } });
  const { tools } = toolsOf(body.tools, "auto");
  const task: Task = {
    operation: "chat",
    prompt: body.messages.map(messageOf),
    tools,
    options: ollamaOptions(body, service.maxNewTokens),
  };
  const show = (content: string, calls: readonly Call[] = []) => {
    const said = calls.map(({ name, arguments: json }) => ({ function: { name, arguments: argumentsOf(json) } }));
    return { message: { role: "assistant", content, ...(said.length > 0 ? { tool_calls: said } : {}) } };
  };
  return answered(request, core, task, body, show);
}

/** POST /api/generate */
export async function generate(request: Request, service: Service): Promise<Response> {
  const body = await readBody(request, ollamaGenerate, service.limits);
  const core = coreOf(service, body.model);
  const { prompt, system, raw } = body;
  if (!prompt) return loaded(body.model, { response: "" });
  const user = { role: "user", content: prompt };
  const task: Task = {
    operation: raw ? "text_completion" : "chat",
    prompt: raw ? prompt : system ? [{ role: "system", content: system }, user] : [user],
    options: ollamaOptions(body, service.maxNewTokens),
  };
  return answered(request, core, task, body, (response) => ({ response }));
}

/** What is asked of a model without a prompt: to be there. */
function loaded(model: string, said: object): Response {
  return Response.json({ model, created_at: new Date().toISOString(), ...said, done: true, done_reason: "load" });
}

type Said = z.output<typeof ollamaChat>["messages"][number];

function messageOf({ role, content, tool_calls, tool_name }: Said): Message {
  const calls = tool_calls?.map(({ function: { name, arguments: given } }) => {
    return { type: "function", function: { name, arguments: given ?? {} } };
  });
  const named = tool_name ? { name: tool_name } : {};
  return { role, content: content ?? "", ...(calls?.length ? { tool_calls: calls } : {}), ...named };
}

/** Answers a task as lines of JSON, unless `stream` is false; `show` is how a piece of it is told. */
async function answered(
  request: Request,
  core: Core,
  task: Task,
  { model, stream }: { readonly model: string; readonly stream?: boolean | null | undefined },
  show: (text: string, calls?: readonly Call[]) => object,
): Promise<Response> {
  const leaving = new AbortController();
  const events = core.reply(task, AbortSignal.any([request.signal, leaving.signal]));
  const head = () => ({ model, created_at: new Date().toISOString() });
  if (stream === false) {
    const { text, calls, end } = await gather(events);
    return Response.json({ ...head(), ...show(text, calls), ...ending(end) });
  }
  const error = (error: ApiError) => `${JSON.stringify(ollamaError(error))}\n`;
  return streamed(lines(events, head, show), { contentType: "application/x-ndjson", error }, () => leaving.abort());
}

async function* lines(
  events: AsyncIterable<ReplyEvent>,
  head: () => object,
  show: (text: string, calls?: readonly Call[]) => object,
): AsyncGenerator<string, void, undefined> {
  const line = (data: object) => `${JSON.stringify({ ...head(), ...data })}\n`;
  const calls: Call[] = [];
  for await (const event of events) {
    if (event.type === "text") yield line({ ...show(event.text), done: false });
    if (event.type === "call") calls.push({ id: event.id, name: event.name, arguments: "" });
    if (event.type === "arguments") (calls[event.index] as Call).arguments += event.text;
    if (event.type !== "end") continue;
    // Arguments are an object here, so calls are told whole.
    if (calls.length > 0) yield line({ ...show("", calls), done: false });
    yield line({ ...show(""), ...ending(event) });
  }
}

/** Durations are in ns. */
function ending({ reason, usage, prefillMs, decodeMs }: ReplyEnd) {
  const nanoseconds = (ms: number) => Math.round(ms * 1e6);
  return {
    ...{ done: true, done_reason: reason === "length" ? "length" : "stop" },
    ...{ total_duration: nanoseconds(prefillMs + decodeMs), load_duration: 0 },
    ...{ prompt_eval_count: usage.promptTokens, prompt_eval_duration: nanoseconds(prefillMs) },
    ...{ eval_count: usage.completionTokens, eval_duration: nanoseconds(decodeMs) },
  };
}

/** POST /api/embed */
export async function embed(request: Request, service: Service): Promise<Response> {
  const started = performance.now();
  const body = await readBody(request, ollamaEmbed, service.limits);
  const core = coreOf(service, body.model);
  const { vectors, tokens } = await core.embed([body.input].flat(), body.dimensions, request.signal);
  const total_duration = Math.round((performance.now() - started) * 1e6);
  const embeddings = vectors.map((vector) => [...vector]);
  return Response.json({ model: body.model, embeddings, total_duration, load_duration: 0, prompt_eval_count: tokens });
}

/** POST /api/show */
export async function show(request: Request, service: Service): Promise<Response> {
  const body = await readBody(request, ollamaShow, service.limits);
  const { model, template } = coreOf(service, body.model ?? body.name);
  const { modelType, trainedLength } = model.info;
  const info = { "general.architecture": modelType, [`${modelType}.context_length`]: trainedLength };
  const capabilities = ["completion", "embedding", ...(/\btools\b/.test(template) ? ["tools"] : [])];
  return Response.json({
    ...{ modelfile: "", parameters: "", template, details: detailsOf(model.info), model_info: info, capabilities },
    modified_at: modifiedAt(service),
  });
}

/** GET /api/version */
export function version(): Response {
  return Response.json({ version: VERSION });
}

/** GET /api/tags and /api/ps */
export function tags(service: Service): Response {
  const models = [...service.cores].map(([name, { model }]) => ({
    ...{ name, model: name, modified_at: modifiedAt(service), size: model.info.weightBytes, digest: "" },
    details: detailsOf(model.info),
  }));
  return Response.json({ models });
}

function modifiedAt({ created }: Service): string {
  return new Date(1000 * created).toISOString();
}

function detailsOf({ modelType, dtype }: Core["model"]["info"]) {
  const format = { parent_model: "", format: "safetensors", family: modelType, families: [modelType] };
  return { ...format, parameter_size: "", quantization_level: dtype };
}
