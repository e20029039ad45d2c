import * as z from "zod/mini";
import type { Message } from "../tokenizer/chat.ts";
import { refused } from "./errors.ts";
import { textOf } from "./messages.ts";
import { maybe, text } from "./schemas.ts";

/** Blocks of text. */
export const systemBlocks = z.union(
  [text(), z.array(z.looseObject({ type: z.literal("text", "text"), text: text() }))],
  "a string or a list of text blocks",
);

const block = z.looseObject({
  type: text(),
  text: maybe(text()),
  id: maybe(text()),
  name: maybe(text()),
  input: maybe(z.looseObject({})),
  tool_use_id: maybe(text()),
  content: maybe(
    z.union([text(), z.array(z.looseObject({ type: text(), text: maybe(text()) }))], "a string or a list of blocks"),
  ),
});

type Block = z.output<typeof block>;

/** Anthropic's messages. */
export const turns = z
  .array(
    z.looseObject({
      role: z.enum(["user", "assistant", "system"], "user or assistant"),
      content: z.union([text(), z.array(block, "a list of blocks")], "a string or a list of blocks"),
    }),
    "a list of messages",
  )
  .check(z.minLength(1, "at least one message"));

/** Anthropic's messages as chat templates read them: results of tools are messages of their own. */
export function messagesOfBlocks(list: z.output<typeof turns>): Message[] {
  return list.flatMap(({ role, content }, i): Message[] => {
    if (typeof content === "string") return [{ role, content }];
    const path = `messages[${i}].content`;
    const results = content.flatMap((block, j) =>
      block.type === "tool_result" ? [resultOf(block, `${path}[${j}]`)] : [],
    );
    const calls = content.flatMap((block) => (block.type === "tool_use" ? [callOf(block)] : []));
    const other = ["tool_result", "tool_use", "thinking", "redacted_thinking"];
    const said = textOf(
      content.map((block) => (other.includes(block.type) ? { type: "text", text: "" } : block)),
      path,
    );
    const own = { role, content: said, ...(calls.length > 0 ? { tool_calls: calls } : {}) };
    return said === "" && results.length > 0 ? results : [...results, own];
  });
}

function resultOf({ tool_use_id, content }: Block, path: string): Message {
  if (!tool_use_id) throw refused(`${path}.tool_use_id`, "a string", tool_use_id);
  return { role: "tool", tool_call_id: tool_use_id, content: textOf(content, `${path}.content`) };
}

function callOf({ id, name, input }: Block) {
  return { id, type: "function", function: { name, arguments: input ?? {} } };
}
