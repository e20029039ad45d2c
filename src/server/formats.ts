import * as z from "zod/mini";
import type { ResponseFormat } from "../grammar/index.ts";

const schema = z.union([z.looseObject({}), z.literal(true)], "a JSON schema that some text is valid by");

const TYPES = "text, json_object or json_schema";
const bySchema = z.literal("json_schema", TYPES);
const plain = z.looseObject({ type: z.enum(["text", "json_object"], TYPES) });

/** OpenAI's response_format of chats. */
export const chatFormat = z.union([
  z.looseObject({ type: bySchema, json_schema: z.looseObject({ schema }, "an object") }),
  plain,
]);

/** OpenAI's text.format of responses. */
export const responseTextFormat = z.union([z.looseObject({ type: bySchema, schema }), plain]);

/** The format that a text has to have, of OpenAI's `type` and the schema beside it. */
export function formatOf(
  type: "text" | "json_object" | "json_schema" | undefined,
  schema: unknown,
): ResponseFormat | undefined {
  if (type === undefined || type === "text") return undefined;
  return type === "json_object" ? { type } : { type, schema };
}
