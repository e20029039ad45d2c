import { Hono } from "hono";
import { cors } from "hono/cors";
import { routePath } from "hono/route";
import { mismatch, OptionError } from "../base/errors.ts";
import type { Model } from "../session/model.ts";
import type { SessionStore } from "../store/store.ts";
import { anthropicError } from "./anthropic.ts";
import { Core } from "./core.ts";
import { ApiError, asApiError, openaiError } from "./errors.ts";
import { KeptAnswers } from "./kept_answers.ts";
import { isAllowed } from "./keys.ts";
import { Metrics } from "./metrics.ts";
import { ollamaError } from "./ollama.ts";
import { Pending } from "./pending.ts";
import { LocalResponses, SharedResponses } from "./response_store.ts";
import { routesOf } from "./routes.ts";
import type { Service } from "./service.ts";
import { SharedStates } from "./shared_states.ts";
import { type StoreFault, WatchedStore } from "./watched_store.ts";

/** Who may ask a server, and how much. */
export interface ServerOptions {
  /** Keys of which each request has to bring one, as `Authorization: Bearer KEY` or `x-api-key`; none by default. */
  readonly apiKeys?: readonly string[] | undefined;
  /** Requests that a model works on at once, at most its own maxSessions: 16 by default, as there. */
  readonly maxSessions?: number | undefined;
  /** Requests that may wait for a session beyond that, 64 by default; others get 429. */
  readonly maxQueued?: number | undefined;
  /** Seconds after which an answer ends (`length`), its waiting included; 600 by default, Infinity: never. */
  readonly maxSeconds?: number | undefined;
  /** Tokens of an answer where the request does not say; 4096 by default. */
  readonly maxNewTokens?: number | undefined;
  /**
   * Where states of chats and responses are kept, so that another server goes on with any of them (`lambent/stores`); by
   * default in memory.
   */
  readonly store?: SessionStore | undefined;
  /** Seconds that states of chats stay in the store, 86,400 by default; responses stay 30 days. */
  readonly stateSeconds?: number | undefined;
  /**
   * Where answers to requests with a seed are kept while they are written, so that a server that is asked the same again
   * goes on with one that was cut off; nowhere by default.
   */
  readonly answers?: SessionStore | undefined;
  /** The least seconds between two times that an answer is kept, 10 by default. */
  readonly answerSeconds?: number | undefined;
  /** Responses that are kept in memory where there is no store, to be gone on from by `previous_response_id`; 1000 by default. */
  readonly maxResponses?: number | undefined;
  /**
   * Loads a model again whose engine has ended, by its first name and the error: once for each end, and after a pause of up
   * to a minute if that fails or does not last. Meanwhile requests get 503; without it they do so for good.
   */
  readonly reload?: ((name: string, error: Error) => Promise<Model>) | undefined;
  /** The text of a chat template, instead of the model's. */
  readonly chatTemplate?: string | undefined;
  /** 16 MiB by default. */
  readonly maxBodyBytes?: number | undefined;
  /** The most time that a body may take, in ms; 30,000 by default. */
  readonly maxBodyMs?: number | undefined;
  /** Origins of pages that may ask, "*" for all; by default those of this machine (localhost, 127.0.0.1, [::1]). */
  readonly origins?: readonly string[] | undefined;
  /** Called with every request when its response starts, and with every failure of the store. */
  readonly log?: ((entry: LogEntry | StoreFault) => void) | undefined;
}

/** A request, as it was answered. */
export interface LogEntry {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** Until the response started. */
  readonly ms: number;
  /** What went wrong. */
  readonly error?: string | undefined;
}

/** Models behind HTTP. */
export interface Server {
  /** Answers a request; it never rejects. */
  readonly fetch: (request: Request) => Promise<Response>;
  /** Turns new requests away (503); done when those that are being answered are, and the store has what they left. */
  drain(): Promise<void>;
}

/** Paths that ask for no key. */
const FREE = ["/", "/health"];

const LOCAL_ORIGIN = /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;

/**
 * Models behind the APIs that clients speak (docs/SERVE.md), by the names that they answer to, the first one by default.
 * Runs wherever there are Request and Response.
 *
 * @example
 * const server = createServer({ "lambent-llama-5m": await load("models/lambent-llama-5m") });
 * Bun.serve({ port: 8080, fetch: server.fetch });
 *
 * @throws OptionError for an option out of its range
 */
export function createServer(served: Readonly<Record<string, Model>>, options: ServerOptions = {}): Server {
  const metrics = new Metrics();
  const service = serviceOf(served, options, metrics);
  const faults = new WeakMap<Request, string>();
  const app = new Hono();
  app.use(cors({ origin: originsOf(options.origins), exposeHeaders: ["retry-after"], maxAge: 86_400 }));
  app.use(async (context, next) => {
    const started = performance.now();
    await next();
    const { method, path, raw } = context.req;
    const { status } = context.res;
    metrics.requests.add(1, { route: routePath(context, -1), status: `${status}` });
    options.log?.({ method, path, status, ms: performance.now() - started, error: faults.get(raw) });
  });
  app.use(async (context, next) => {
    if (FREE.includes(context.req.path) || (await isAllowed(context.req.raw.headers, options.apiKeys))) return next();
    throw new ApiError(401, "expected an API key, found none that is known", { code: "invalid_api_key" });
  });
  const routes = routesOf(service, metrics);
  for (const { method, path, handle } of routes) {
    app.on(method, path.replace(/\{(\w+)\}$/, ":part{.+}"), (context) => {
      return handle(context.req.raw, context.req.param("part") ?? "");
    });
  }
  app.get("/openapi.json", async () => Response.json((await import("./openapi.ts")).openApi(routes, service)));
  app.notFound((context) => {
    const { method, path } = context.req;
    const others = routes.filter((route) => new RegExp(`^${route.path.replace(/\{\w+\}/, ".+")}$`).test(path));
    if (others.length === 0) return errorResponse(path, new ApiError(404, mismatch("path", "a route", path)));
    const allow = others.map((route) => route.method).join(", ");
    const response = errorResponse(path, new ApiError(405, mismatch("method", allow, method)));
    response.headers.set("allow", allow);
    return response;
  });
  app.onError((error, context) => {
    const known = asApiError(error);
    faults.set(context.req.raw, known.status === 500 ? `${error.stack}` : known.message);
    return errorResponse(context.req.path, known);
  });
  return {
    fetch: async (request) => app.fetch(request),
    async drain() {
      const cores = [...new Set(service.cores.values())];
      for (const { renewal } of cores) renewal.stop();
      await Promise.all(cores.map(({ admission }) => admission.close()));
      await service.pending.ended();
    },
  };
}

/** Whether pages of an origin may ask. */
function originsOf(allowed: readonly string[] | undefined): (origin: string) => string | null {
  if (!allowed) return (origin) => (LOCAL_ORIGIN.test(origin) ? origin : null);
  return (origin) => (allowed.includes("*") || allowed.includes(origin) ? origin : null);
}

/** An error as the API of a path has them. */
function errorBody(path: string, error: ApiError): object {
  if (path.startsWith("/v1/messages")) return anthropicError(error);
  return path.startsWith("/api/") ? ollamaError(error) : openaiError(error);
}

function errorResponse(path: string, error: ApiError): Response {
  const { retryAfter } = error.facts;
  const headers: Record<string, string> = retryAfter === undefined ? {} : { "retry-after": `${retryAfter}` };
  return Response.json(errorBody(path, error), { status: error.status, headers });
}

/** The models, each with its limits; names of the same model share them. */
function serviceOf(served: Readonly<Record<string, Model>>, options: ServerOptions, metrics: Metrics): Service {
  const pending = new Pending();
  const store = options.store && watched(options.store, options, metrics);
  const ttl = count("stateSeconds", options.stateSeconds ?? 86_400, 1);
  const answers = options.answers && watched(options.answers, options, metrics);
  const seconds = options.answerSeconds ?? 10;
  if (!(seconds >= 0)) throw new OptionError(mismatch("answerSeconds", "a number from 0 on", seconds));
  const limits = {
    answers: answers && new KeptAnswers(answers, { seconds, ttl }),
    states: store && new SharedStates(store, { ttl, pending }),
    maxSessions: count("maxSessions", options.maxSessions ?? 16, 1),
    maxQueued: count("maxQueued", options.maxQueued ?? 64, 0),
    maxSeconds: options.maxSeconds === Infinity ? Infinity : count("maxSeconds", options.maxSeconds ?? 600, 1),
    chatTemplate: options.chatTemplate,
    reload: options.reload,
  };
  const cores = new Map<string, Core>();
  const known = new Map<Model, Core>();
  for (const [name, model] of Object.entries(served)) {
    const core = known.get(model) ?? new Core(name, model, metrics, limits);
    known.set(model, core);
    cores.set(name, core);
  }
  if (cores.size === 0) throw new OptionError(mismatch("models", "at least one", "none"));
  return {
    cores,
    limits: {
      maxBodyBytes: count("maxBodyBytes", options.maxBodyBytes ?? 2 ** 24, 1),
      maxBodyMs: count("maxBodyMs", options.maxBodyMs ?? 30_000, 1),
    },
    maxNewTokens: count("maxNewTokens", options.maxNewTokens ?? 4096, 1),
    responses: store
      ? new SharedResponses(store)
      : new LocalResponses(count("maxResponses", options.maxResponses ?? 1000, 1)),
    pending,
    created: Math.floor(Date.now() / 1000),
  };
}

/** A store whose failures are counted and logged. */
function watched(store: SessionStore, { log }: ServerOptions, metrics: Metrics): WatchedStore {
  return new WatchedStore(store, (fault) => {
    metrics.storeErrors.add(1, { operation: fault.operation });
    log?.(fault);
  });
}

function count(name: string, value: number, least: number): number {
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new OptionError(mismatch(name, `a whole number from ${least} on`, value));
}
