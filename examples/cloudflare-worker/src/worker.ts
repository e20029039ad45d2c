/** Stories over HTTP: text is streamed as server-sent events, and each story continues from its snapshot. */
import { engineInfo, filesFromBucket, LambentError, load, type Model, OptionError, type Session } from "lambent";
import { LIMITS, Refusal, readWish } from "./request.ts";
import { readStory, readText, release, writeStory } from "./store.ts";

interface Env {
  readonly MODELS: R2Bucket;
  readonly STORIES: R2Bucket;
  /** The folder of the model in MODELS. */
  readonly MODEL: string;
}

export default {
  fetch(request, env, ctx) {
    const response = answer(request, env, ctx).catch(refused);
    // Also after the client has disconnected: others wait for the model, and sessions must be released.
    ctx.waitUntil(response);
    return response;
  },
} satisfies ExportedHandler<Env>;

async function answer(request: Request, env: Env, ctx: ExecutionContext): Promise<Response> {
  const { pathname } = new URL(request.url);
  const id = pathname.match(/^\/stories\/([0-9a-f-]{36})$/)?.[1] ?? "";
  switch (`${request.method} ${id ? "/stories/:id" : pathname}`) {
    case "GET /health":
      return health();
    case "POST /stories":
      return write(crypto.randomUUID(), false, request, env, ctx);
    case "POST /stories/:id":
      return write(id, true, request, env, ctx);
    case "GET /stories/:id":
      return Response.json({ id, ...(await readText(env.STORIES, id)) });
    case "DELETE /stories/:id":
      await env.STORIES.delete(id);
      return new Response(null, { status: 204 });
  }
  throw new Refusal(404, `path: expected /stories, /stories/:id or /health, found ${request.method} ${pathname}`);
}

let model: Model | undefined;
let loading: Promise<Model> | undefined;

/** The model, loaded once for all requests of this isolate; if that fails, the next request tries again. */
function theModel(env: Env): Promise<Model> {
  loading ??= load(filesFromBucket(env.MODELS, env.MODEL), {
    maxSessions: LIMITS.sessions,
    // A request whose client has disconnected is stopped after 30 s, and its loading would neither finish nor fail.
    signal: AbortSignal.timeout(25_000),
  }).then(
    (loaded) => (model = loaded),
    (error) => {
      loading = undefined;
      throw new Refusal(503, lineOf(error));
    },
  );
  return loading;
}

/** The active stories, each in a session of its own. */
const writing = new Set<string>();

/** Starts or continues a story. A faulty request is refused before the first token is sent. */
async function write(id: string, begun: boolean, request: Request, env: Env, ctx: ExecutionContext): Promise<Response> {
  const { prompt, ...options } = await readWish(request);
  if (writing.has(id)) throw new Refusal(409, `story ${id}: expected one writer at a time, found a second one`);
  if (writing.size >= LIMITS.sessions) {
    throw new Refusal(429, `stories: expected at most ${LIMITS.sessions} being written, found one more`);
  }
  writing.add(id);
  let session: Session | undefined;
  const close = () => {
    session?.dispose();
    writing.delete(id);
  };
  try {
    const model = await theModel(env);
    const promptTokens = prompt ? model.tokenizer.count(prompt) : 0;
    if (promptTokens > LIMITS.promptTokens) {
      throw new Refusal(413, `prompt: expected at most ${LIMITS.promptTokens} tokens, found ${promptTokens}`);
    }
    const before = begun ? await readStory(env.STORIES, id) : undefined;
    const story = (session = before ? await resume(model, id, before.snapshot) : await model.session());
    const generation = story.generate(before ? prompt : (prompt ?? ""), { ...options, signal: request.signal });
    const tokens = generation.tokens();
    const first = await tokens.next();
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const told = tell(writable, async (send) => {
      let added = "";
      for (let token = first; !token.done; token = await tokens.next()) {
        added += token.value.text;
        await send("token", token.value);
      }
      const { finishReason, logitsHash } = await generation.result;
      if (finishReason === "abort") return;
      const { length, seed } = story;
      const text = (before?.text ?? "") + (prompt ?? "") + added;
      await writeStory(env.STORIES, id, { snapshot: await story.snapshot(), text, length }, before);
      await send("done", { id, seed, finishReason, logitsHash, tokens: length });
    });
    ctx.waitUntil(told.finally(close));
    return new Response(readable, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
  } catch (error) {
    close();
    throw error;
  }
}

async function resume(model: Model, id: string, snapshot: Uint8Array<ArrayBuffer>): Promise<Session> {
  try {
    return await model.restore(snapshot);
  } catch (error) {
    throw new Refusal(500, `story ${id}: ${lineOf(error)}`);
  } finally {
    release(snapshot);
  }
}

type Send = (event: string, data: unknown) => Promise<void>;

/** Sends what `work` emits as server-sent events, errors included, while the client is connected. */
async function tell(stream: WritableStream<Uint8Array>, work: (send: Send) => Promise<void>): Promise<void> {
  const writer = stream.getWriter();
  const encoder = new TextEncoder();
  let read = true;
  const send: Send = async (event, data) => {
    await writer.write(encoder.encode(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)).catch((error) => {
      read = false;
      throw error;
    });
  };
  try {
    await work(send);
  } catch (error) {
    if (read) await send("error", { error: lineOf(error) });
  } finally {
    await writer.close().catch(() => {});
  }
}

/** What computes, and how much Wasm memory it uses. */
async function health(): Promise<Response> {
  const memoryBytes = (await model?.memory()) ?? 0;
  return Response.json({
    ...(await engineInfo()),
    model: model?.info,
    memoryBytes,
    writing: writing.size,
    limits: LIMITS,
  });
}

function refused(error: unknown): Response {
  const status = error instanceof Refusal ? error.status : error instanceof OptionError ? 400 : 500;
  const headers: HeadersInit = status === 429 || status === 503 ? { "retry-after": "5" } : {};
  return Response.json({ error: lineOf(error) }, { status, headers });
}

/** One line for the client; unexpected errors go to the log. */
function lineOf(error: unknown): string {
  if (error instanceof Refusal || error instanceof LambentError) return error.message;
  console.error(error);
  return "worker: expected to work, found an error: see its log";
}
