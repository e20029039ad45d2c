import * as z from "zod/mini";
import { show } from "../base/errors.ts";
import { ApiError } from "./errors.ts";

/** Levels of lists and objects in a body: whatever walks through it may be recursive. */
const MOST_LEVELS = 200;

/** How large a body may be, in bytes, and how long it may take, in ms. */
export interface BodyLimits {
  readonly maxBodyBytes: number;
  readonly maxBodyMs: number;
}

/**
 * The body of a request, parsed and checked. Fields that the schema does not name stay as they are. Throws ApiError: 400
 * with the path of the field, 408 for a body that takes too long, 413 for one that is too large.
 */
export async function readBody<T extends z.ZodMiniType>(
  request: Request,
  schema: T,
  limits: BodyLimits,
): Promise<z.output<T>> {
  const text = await readText(request, limits);
  if (isDeep(text))
    throw new ApiError(400, `body: expected at most ${MOST_LEVELS} levels, found more`, { param: "body" });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new ApiError(400, `body: expected JSON, found ${show((error as Error).message)}`, { param: "body" });
  }
  return check(json, schema);
}

/** A value, checked. Throws ApiError 400 with the path of the field. */
export function check<T extends z.ZodMiniType>(value: unknown, schema: T): z.output<T> {
  const { success, data, error } = z.safeParse(schema, value, { reportInput: true });
  if (success) return data;
  const { path, message, found, code } = deepest(error.issues[0] as z.core.$ZodIssue);
  const param = pathOf(path) || "body";
  throw new ApiError(400, `${param}: expected ${message}, found ${brief(found)}`, { param, code });
}

/** A value as errors show it; lists and objects by their kind alone, as they may be of any size. */
function brief(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  return typeof value === "object" && value !== null ? "an object" : show(value);
}

/** Whether JSON has more than MOST_LEVELS levels. */
function isDeep(json: string): boolean {
  let level = 0;
  let quoted = false;
  for (let i = 0; i < json.length; i++) {
    const char = json[i];
    if (quoted && char === "\\") i++;
    else if (char === '"') quoted = !quoted;
    else if (!quoted && (char === "[" || char === "{")) level++;
    else if (!quoted && (char === "]" || char === "}")) level--;
    if (level > MOST_LEVELS) return true;
  }
  return false;
}

interface Fault {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly found: unknown;
  /** Where only certain values are supported. */
  readonly code: string | undefined;
}

/** Of a union's faults, that of the kind which got farthest: the others are not meant. */
function deepest(issue: z.core.$ZodIssue): Fault {
  const code = issue.code === "invalid_value" ? "unsupported_value" : undefined;
  const own = { path: issue.path, message: expectationOf(issue), found: issue.input, code };
  if (issue.code !== "invalid_union" || issue.message !== "Invalid input") return own;
  const faults = issue.errors.filter((errors) => errors.length > 0).map((errors) => deepest(errors[0]!));
  const best = faults.reduce<Fault | undefined>(
    (best, fault) => (!best || rank(fault) > rank(best) ? fault : best),
    undefined,
  );
  return best && best.path.length > 0 ? { ...best, path: [...issue.path, ...best.path] } : own;
}

/** How far a kind got; one of another type is meant less than one of which something else is wrong. */
function rank({ path }: Fault): number {
  return path.length - (path.at(-1) === "type" ? 0.5 : 0);
}

/** What a schema's own message says was expected, or zod's name of the type. */
function expectationOf(issue: z.core.$ZodIssue): string {
  if (issue.message !== "Invalid input") return issue.message;
  if (issue.code === "invalid_type")
    return /^[aeio]/.test(issue.expected) ? `an ${issue.expected}` : `a ${issue.expected}`;
  if (issue.code === "invalid_union")
    return [...new Set(issue.errors.map(([first]) => (first ? expectationOf(first) : "another value")))].join(" or ");
  if (issue.code === "invalid_value") return issue.values.map((value) => JSON.stringify(value)).join(" or ");
  return "another value";
}

/** As messages[0].content. */
function pathOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((all, key) => {
    if (typeof key === "number") return `${all}[${key}]`;
    return all === "" ? show(String(key)) : `${all}.${show(String(key))}`;
  }, "");
}

async function readText(request: Request, { maxBodyBytes, maxBodyMs }: BodyLimits): Promise<string> {
  const large = new ApiError(413, `body: expected at most ${maxBodyBytes} bytes, found more`, { param: "body" });
  if (Number(request.headers.get("content-length") ?? 0) > maxBodyBytes) throw large;
  if (!request.body) return "";
  const reader = request.body.getReader();
  const parts: Uint8Array[] = [];
  let size = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new ApiError(408, `body: expected within ${maxBodyMs} ms, found less of it`)),
      maxBodyMs,
    );
  });
  try {
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), late]);
      if (done) break;
      size += value.byteLength;
      if (size > maxBodyBytes) throw large;
      parts.push(value);
    }
  } catch (error) {
    reader.cancel().catch(() => {});
    if (error instanceof ApiError) throw error;
    throw new ApiError(400, "body: expected to be received whole, found its end", { param: "body" });
  } finally {
    clearTimeout(timer);
  }
  return decode(parts, size);
}

function decode(parts: readonly Uint8Array[], size: number): string {
  const all = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.byteLength;
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(all);
  } catch {
    throw new ApiError(400, "body: expected UTF-8, found other bytes", { param: "body" });
  }
}
