import { LambentError, mismatch } from "../base/errors.ts";
import { ContextLengthError } from "../session/chat.ts";

/** What an error tells a client beside its message. Names are OpenAI's. */
export interface ErrorFacts {
  /** The field of the body that is at fault, such as messages[0].role. */
  readonly param?: string | undefined;
  /** A name that programs compare. */
  readonly code?: string | undefined;
  /** Seconds after which another try makes sense. */
  readonly retryAfter?: number | undefined;
}

/** A request that gets an error: an HTTP status and one line. Each dialect has its own form of it. */
export class ApiError extends Error {
  readonly status: number;
  readonly facts: ErrorFacts;

  constructor(status: number, message: string, facts: ErrorFacts = {}) {
    super(message);
    this.status = status;
    this.facts = facts;
  }
}

/** A field whose value cannot be served: 400, in the grammar of all errors about values. */
export function refused(param: string, expected: string, found: unknown, code?: string): ApiError {
  return new ApiError(400, mismatch(param, expected, found), { param, code });
}

/** A field that names what is not there: 404. */
export function missing(param: string, expected: string, found: unknown, code: string): ApiError {
  return new ApiError(404, mismatch(param, expected, found), { param, code });
}

/** How errors of the library start that are about a field of the body; what a grammar cannot enforce has its place in a schema. */
const PARAMS = [
  [/^(schema #|responseFormat)/, "response_format"],
  [/^dimensions: /, "dimensions"],
  [/^logitBias: /, "logit_bias"],
] as const;

/**
 * Any error as one for clients: what the library refuses is the request's fault, what is unknown is told to nobody.
 * `hide`: a place on this machine, and what clients call it.
 */
export function asApiError(error: unknown, hide: readonly [place: string, name: string] = ["", ""]): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof LambentError) {
    const message = hide[0] === "" ? error.message : error.message.replaceAll(...hide);
    if (error instanceof ContextLengthError) return new ApiError(400, message, { code: error.code });
    const gone = /^the (model was disposed|engine's worker ended)/.test(message);
    // A disk that is full, or a folder that is gone, is not the request's fault.
    const failed = /^segment \w+ of the log cannot be /.test(message);
    const param = PARAMS.find(([starts]) => starts.test(message))?.[1];
    return new ApiError(gone ? 503 : failed ? 500 : 400, message, { param });
  }
  const { name } = error as Error;
  if (name === "TimeoutError") return new ApiError(503, "no session was free in time", { code: "timeout" });
  if (name === "AbortError") return new ApiError(503, "the request was aborted", { code: "aborted" });
  return new ApiError(500, "internal error");
}

/** Whether an engine's worker has ended, for another reason than that its model was disposed. */
export function hasEnded(error: unknown): error is LambentError {
  return error instanceof LambentError && error.message.startsWith("the engine's worker ended");
}

/** OpenAI's `type` of a status. */
export function typeOf(status: number): string {
  if (status === 401) return "authentication_error";
  if (status === 404) return "not_found_error";
  if (status === 413) return "request_too_large";
  if (status === 429) return "rate_limit_error";
  if (status === 503) return "overloaded_error";
  return status < 500 ? "invalid_request_error" : "api_error";
}

/** The error object of OpenAI's bodies and streams. */
export function openaiError({ status, message, facts }: ApiError) {
  return { error: { message, type: typeOf(status), param: facts.param ?? null, code: facts.code ?? null } };
}
