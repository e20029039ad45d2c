import * as z from "zod/mini";
import type { Message } from "../tokenizer/chat.ts";
import { maybe, text } from "./schemas.ts";

/** Blocks of text. */
export const systemBlocks = z.union(
  [text(), z.array(z.looseObject({ type: z.literal("text", "text"), text: text() }))],
  "a string or a list of text blocks",
);

const textBlock = z.looseObject({ type: z.literal("text", "text, as the model reads nothing else"), text: text() });

const toolResult = z.looseObject({
  type: z.literal("tool_result"),
  tool_use_id: text(),
  content: maybe(z.union([text(), z.array(textBlock, "a list of text blocks")])),
});

const toolUse = z.looseObject({
  type: z.literal("tool_use"),
  id: maybe(text()),
  name: text(),
  input: maybe(z.looseObject({})),
});

/** What the model has thought, which it does not read again. */
const thought = z.looseObject({ type: z.enum(["thinking", "redacted_thinking"]) });

const block = z.union([textBlock, toolResult, toolUse, thought]);

/** Anthropic's messages. */
export const turns = z
  .array(
    z.looseObject({
      role: z.enum(["user", "assistant", "system"], "user or assistant"),
      content: z.union([text(), z.array(block, "a list of blocks")]),
    }),
    "a list of messages",
  )
  .check(z.minLength(1, "at least one message"));

/** Anthropic's messages as chat templates read them: results of tools are messages of their own. */
export function messagesOfBlocks(list: z.output<typeof turns>): Message[] {
  return list.flatMap(({ role, content }): Message[] => {
    if (typeof content === "string") return [{ role, content }];
    const results = content.flatMap((block) => (block.type === "tool_result" ? [resultOf(block)] : []));
    const calls = content.flatMap((block) => (block.type === "tool_use" ? [callOf(block)] : []));
    const said = content.map((block) => (block.type === "text" ? block.text : "")).join("");
    const own = { role, content: said, ...(calls.length > 0 ? { tool_calls: calls } : {}) };
    return said === "" && results.length > 0 ? results : [...results, own];
  });
}

function resultOf({ tool_use_id, content }: z.output<typeof toolResult>): Message {
  const text = typeof content === "string" ? content : (content ?? []).map(({ text }) => text).join("");
  return { role: "tool", tool_call_id: tool_use_id, content: text };
}

function callOf({ id, name, input }: z.output<typeof toolUse>) {
  return { id, type: "function", function: { name, arguments: input ?? {} } };
}
