import * as z from "zod/mini";
import type { Message } from "../tokenizer/chat.ts";
import { argumentsOf } from "../tools/tools.ts";
import { maybe, text } from "./schemas.ts";

const textPart = z.enum(["text", "input_text", "output_text"], "text, as the model reads nothing else");

/** Parts of a message's content; only text can be read. */
export const contentParts = z.array(
  z.union([z.looseObject({ type: textPart, text: text() }), z.looseObject({ type: z.literal("refusal") })]),
  "a list of parts",
);

/** A call of a tool in an assistant's message. */
const toolCall = z.looseObject({
  id: maybe(text()),
  type: maybe(text()),
  function: z.looseObject({
    name: text(),
    arguments: maybe(z.union([text(), z.looseObject({})], "JSON as a string")),
  }),
});

/** OpenAI's messages. */
export const messages = z
  .array(
    z.looseObject({
      role: z.enum(
        ["system", "developer", "user", "assistant", "tool", "function"],
        "system, developer, user, assistant or tool",
      ),
      content: maybe(z.union([text(), contentParts])),
      tool_calls: maybe(z.array(toolCall, "a list of tool calls")),
      tool_call_id: maybe(text()),
      name: maybe(text()),
      reasoning_content: maybe(text()),
    }),
    "a list of messages",
  )
  .check(z.minLength(1, "at least one message"));

/** OpenAI's messages as chat templates read them: text as one string, arguments as an object. */
export function messagesOf(list: z.output<typeof messages>): Message[] {
  return list.map((message) => {
    const { role, content, tool_calls, tool_call_id, name, reasoning_content } = message;
    const calls = tool_calls?.map(({ function: { name, arguments: given }, ...rest }) => {
      return { ...rest, type: "function", function: { name, arguments: argumentsOf(given) } };
    });
    return {
      role: role === "developer" ? "system" : role === "function" ? "tool" : role,
      content: textOf(content),
      ...(calls?.length ? { tool_calls: calls } : {}),
      ...(tool_call_id ? { tool_call_id } : {}),
      ...(name ? { name } : {}),
      ...(reasoning_content ? { reasoning_content } : {}),
    };
  });
}

/** The text of a content; "" of none. */
export function textOf(content: string | z.output<typeof contentParts> | null | undefined): string {
  if (typeof content === "string") return content;
  return (content ?? []).map((part) => (part.type === "refusal" ? "" : part.text)).join("");
}
