/** Stories over HTTP: their text is streamed as server-sent events, and each goes on from its snapshot. */
import { engineInfo, LambentError, load, type Model, OptionError, type Session } from "lambent";
import { filesFromBucket } from "./bucket.ts";
import { LIMITS, Refusal, readWish } from "./request.ts";
import { readStory, writeStory } from "./store.ts";

interface Env {
  readonly MODELS: R2Bucket;
  readonly STORIES: R2Bucket;
  /** The folder of the model in MODELS. */
  readonly MODEL: string;
}

export default {
  fetch(request, env, ctx) {
    const response = answer(request, env, ctx).catch(refused);
    // Also when nobody waits for it any more: others wait for the model, and sessions must be given back.
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
    case "GET /stories/:id": {
      const { length, text } = await readStory(env.STORIES, id);
      return Response.json({ id, length, text });
    }
    case "DELETE /stories/:id":
      await env.STORIES.delete(id);
      return new Response(null, { status: 204 });
  }
  throw new Refusal(404, `path: expected /stories, /stories/:id or /health, found ${request.method} ${pathname}`);
}

let model: Model | undefined;
let loading: Promise<Model> | undefined;

/** The model, which is loaded once for all requests of this isolate; if that fails, the next one tries again. */
function theModel(env: Env): Promise<Model> {
  loading ??= load(filesFromBucket(env.MODELS, env.MODEL), { maxSessions: LIMITS.sessions }).then(
    (loaded) => (model = loaded),
    (error) => {
      loading = undefined;
      throw new Refusal(503, error.message);
    },
  );
  return loading;
}

/** The stories that are being written, each in a session of its own. */
const writing = new Set<string>();

/** Begins a story, or continues one: what is wrong with the request is found before the first token is sent. */
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
    const story = (session = before ? await model.restore(before.snapshot) : await model.session());
    const generation = story.generate(before ? prompt : (prompt ?? ""), { ...options, signal: request.signal });
    const tokens = generation.tokens();
    const first = await tokens.next();
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const told = tell(writable, async (send) => {
      for (let token = first; !token.done; token = await tokens.next()) await send("token", token.value);
      const { text, finishReason, logitsHash } = await generation.result;
      if (finishReason === "abort") return;
      const { length, seed } = story;
      await writeStory(env.STORIES, id, {
        snapshot: await story.snapshot(),
        text: (before?.text ?? "") + (prompt ?? "") + text,
        length,
        etag: before?.etag,
      });
      await send("done", { id, seed, finishReason, logitsHash, tokens: length });
    });
    ctx.waitUntil(told.finally(close));
    return new Response(readable, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
  } catch (error) {
    close();
    throw error;
  }
}

type Send = (event: string, data: unknown) => Promise<void>;

/** Sends what `work` has to say as server-sent events, an error included; ends when the reader has left. */
async function tell(stream: WritableStream<Uint8Array>, work: (send: Send) => Promise<void>): Promise<void> {
  const writer = stream.getWriter();
  const encoder = new TextEncoder();
  const send: Send = (event, data) => {
    return writer.write(encoder.encode(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`));
  };
  try {
    await work(send).catch((error) => send("error", { error: lineOf(error) }));
    await writer.close();
  } catch {
    // Nobody is there any more.
  }
}

async function health(): Promise<Response> {
  return Response.json({
    ...(await engineInfo()),
    model: model?.info ?? null,
    memoryBytes: (await model?.memory()) ?? 0,
    writing: writing.size,
    limits: LIMITS,
  });
}

function refused(error: unknown): Response {
  const status = error instanceof Refusal ? error.status : error instanceof OptionError ? 400 : 500;
  const later: HeadersInit = status === 429 || status === 503 ? { "retry-after": "5" } : {};
  return Response.json({ error: lineOf(error) }, { status, headers: later });
}

/** One line for the reader; what is no user's mistake goes into the log as well. */
function lineOf(error: unknown): string {
  if (error instanceof Refusal || error instanceof LambentError) return error.message;
  console.error(error);
  return "worker: expected to work, found an error: see its log";
}
