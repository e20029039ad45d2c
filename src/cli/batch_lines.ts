import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { LambentError, mismatch } from "../base/errors.ts";

/** The routes that a batch may ask, OpenAI's. */
const ROUTES = ["/v1/chat/completions", "/v1/responses", "/v1/completions", "/v1/embeddings"] as const;

/** What a batch asks for. */
export interface BatchRequest {
  readonly url: (typeof ROUTES)[number];
  readonly body: Readonly<Record<string, unknown>>;
}

/** Why there is no response: for a line that is no request, with its number. */
export interface Fault {
  readonly code: string;
  readonly message: string;
  readonly param?: string | null;
  readonly line?: number;
}

/** A line of a batch: a request, or what is wrong with it. */
export interface BatchLine {
  /** Counted from 1. */
  readonly line: number;
  readonly customId: string | undefined;
  readonly asked: BatchRequest | Fault;
}

/** What a line's result is known by: its custom_id, or its number where it is no request. */
export function keyOf({ line, customId, asked }: BatchLine): string | number {
  return "code" in asked || customId === undefined ? line : customId;
}

/** The lines of a batch, in OpenAI's format. Throws LambentError if the file cannot be read. */
export async function* batchLines(path: string): AsyncGenerator<BatchLine, void, undefined> {
  let line = 0;
  for await (const { bytes } of linesOf(path)) {
    line++;
    if (bytes.some((byte) => byte > 32)) yield lineOf(bytes, line);
  }
}

function lineOf(bytes: Uint8Array, line: number): BatchLine {
  const fault = (code: string, param: string | null, expected: string, found: unknown): Fault => {
    const thing = param === null ? `line ${line}` : `line ${line}: ${param}`;
    return { code, message: mismatch(thing, expected, found), param, line };
  };
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    return { line, customId: undefined, asked: fault("invalid_json_line", null, "JSON", (error as Error).message) };
  }
  if (!isObject(parsed))
    return { line, customId: undefined, asked: fault("invalid_json_line", null, "an object", parsed) };
  const { custom_id, method, url, body } = parsed;
  const customId = typeof custom_id === "string" && custom_id !== "" ? custom_id : undefined;
  const wrong = (param: string, expected: string, found: unknown): BatchLine => {
    return { line, customId, asked: fault("invalid_request", param, expected, found) };
  };
  if (customId === undefined) return wrong("custom_id", "a string", custom_id);
  if (method !== "POST") return wrong("method", "POST", method);
  if (!isRoute(url)) return wrong("url", ROUTES.join(", "), url);
  if (!isObject(body)) return wrong("body", "an object", body);
  if (body.stream) return wrong("body.stream", "none, as results are whole", body.stream);
  return { line, customId, asked: { url, body: { ...body, ...fixed(url, body, customId) } } };
}

/**
 * What makes a result depend on its line alone: a seed, of the custom_id where the line has none; and nothing is kept for
 * other requests to go on from.
 */
function fixed(url: string, { seed }: BatchRequest["body"], customId: string): BatchRequest["body"] {
  if (url === "/v1/embeddings") return {};
  const drawn = seed === undefined || seed === null || (typeof seed === "number" && seed < 0);
  return { store: false, ...(drawn ? { seed: seedOf(customId) } : {}) };
}

/** A seed, 0 to 2^53 − 1. */
function seedOf(customId: string): number {
  return Number(createHash("sha256").update(customId).digest().readBigUInt64BE() >> 11n);
}

/** Whether something from elsewhere is a request. */
export function isRequest(value: unknown): value is BatchRequest {
  return isObject(value) && isRoute(value.url) && isObject(value.body);
}

function isRoute(url: unknown): url is BatchRequest["url"] {
  return ROUTES.some((route) => route === url);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The line of each key. Throws LambentError where two lines have one custom_id: their results could not be told apart.
 */
export async function indexOf(path: string): Promise<ReadonlySet<string | number>> {
  const keys = new Set<string | number>();
  const first = new Map<string, number>();
  for await (const line of batchLines(path)) {
    const { customId } = line;
    const other = customId === undefined ? undefined : first.get(customId);
    if (other !== undefined) {
      const expected = `one that line ${other} does not have`;
      throw new LambentError(mismatch(`${path}: line ${line.line}: custom_id`, expected, customId));
    }
    if (customId !== undefined) first.set(customId, line.line);
    keys.add(keyOf(line));
  }
  return keys;
}

/** A line of a file, without its end. */
export interface Line {
  readonly bytes: Uint8Array;
  /** Bytes of the file up to the line's end; undefined if it has none. */
  readonly end: number | undefined;
}

/** The lines of a file of any size. Throws LambentError if it cannot be read. */
export async function* linesOf(path: string): AsyncGenerator<Line, void, undefined> {
  let parts: Uint8Array[] = [];
  let end = 0;
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Uint8Array>) {
      let from = 0;
      for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
        const bytes = Buffer.concat([...parts, chunk.subarray(from, at)]);
        end += bytes.length + 1;
        yield { bytes, end };
        parts = [];
        from = at + 1;
      }
      if (from < chunk.length) parts.push(chunk.subarray(from));
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (typeof code !== "string") throw error;
    throw new LambentError(mismatch(path, "a readable file", code));
  }
  if (parts.length > 0) yield { bytes: Buffer.concat(parts), end: undefined };
}
