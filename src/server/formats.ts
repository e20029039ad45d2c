import * as z from "zod/mini";
import type { ResponseFormat } from "../grammar/index.ts";
import type { Tool } from "../tools/tools.ts";
import { refused } from "./errors.ts";
import { maybe } from "./schemas.ts";

const schema = z.union([z.looseObject({}), z.boolean()], "a JSON schema");

const type = z.enum(["text", "json_object", "json_schema"], "text, json_object or json_schema");

/** OpenAI's response_format of chats. */
export const chatFormat = z.looseObject({
  type,
  json_schema: maybe(z.looseObject({ schema: maybe(schema) })),
});

/** OpenAI's text.format of responses. */
export const responseTextFormat = z.looseObject({ type, schema: maybe(schema) });

/** The format that a text has to have, of OpenAI's `type` and the schema beside it; `path` is where it stands. */
export function formatOf(
  path: string,
  type: string | undefined,
  schema: unknown,
  tools: readonly Tool[] | undefined,
): ResponseFormat | undefined {
  if (type === undefined || type === "text") return undefined;
  if (tools) throw refused(path, "text with tools, as a call has another form", type, "unsupported_value");
  if (type === "json_object") return { type };
  if (type !== "json_schema")
    throw refused(`${path}.type`, "text, json_object or json_schema", type, "unsupported_value");
  if (schema === undefined || schema === null) throw refused(`${path}.json_schema.schema`, "a JSON schema", schema);
  return { type, schema };
}
