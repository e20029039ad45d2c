/** What a request may contain. */
import type { GenerateOptions } from "lambent";

/** Limits that keep an isolate within its 128 MB and requests bounded in time. */
export const LIMITS = { sessions: 4, bodyBytes: 65_536, promptTokens: 8_192, newTokens: 1_024 } as const;

/** An error response: its status, and one line for the body. */
export class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** The fields of a body and their types; the model checks their ranges. */
const FIELDS = {
  ...{ prompt: "string", seed: "number", maxNewTokens: "number", ignoreEos: "boolean", doSample: "boolean" },
  ...{ temperature: "number", topK: "number", topP: "number", minP: "number", repetitionPenalty: "number" },
} as const;

export interface Wish extends GenerateOptions {
  readonly prompt?: string;
  readonly maxNewTokens: number;
}

/** Reads a JSON body. Throws Refusal if it is too long, not JSON, or has an unknown field. */
export async function readWish(request: Request): Promise<Wish> {
  const fields = parse(await readText(request));
  for (const [name, value] of Object.entries(fields)) {
    const type = (FIELDS as Record<string, string | undefined>)[name];
    if (!type) throw new Refusal(400, `body: expected one of ${Object.keys(FIELDS).join(", ")}, found ${show(name)}`);
    if (typeof value !== type) throw new Refusal(400, `${name}: expected a ${type}, found ${show(value)}`);
  }
  const { maxNewTokens = 256, ...wish } = fields as Partial<Wish>;
  const { newTokens } = LIMITS;
  if (Number.isInteger(maxNewTokens) && maxNewTokens >= 1 && maxNewTokens <= newTokens)
    return { maxNewTokens, ...wish };
  throw new Refusal(400, `maxNewTokens: expected a whole number from 1 to ${newTokens}, found ${maxNewTokens}`);
}

/** A body, read up to its limit. */
async function readText(request: Request): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of request.body ?? []) {
    bytes += chunk.length;
    if (bytes > LIMITS.bodyBytes)
      throw new Refusal(413, `body: expected at most ${LIMITS.bodyBytes} bytes, found more`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function parse(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Refusal(400, `body: expected JSON, found ${show(text)}`);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new Refusal(400, `body: expected an object, found ${show(value)}`);
}

/** A value on one short line. */
function show(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77).toWellFormed()}...` : text;
}
