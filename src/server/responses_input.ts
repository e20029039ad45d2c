import * as z from "zod/mini";
import type { Message } from "../tokenizer/chat.ts";
import { argumentsOf, contentParts, textOf } from "./messages.ts";
import { maybe, text } from "./schemas.ts";

const content = maybe(z.union([text(), contentParts]));
const KINDS = "message, function_call, function_call_output or reasoning";

const item = z.union([
  z.looseObject({
    type: maybe(z.literal("message", KINDS)),
    role: z.enum(["system", "developer", "user", "assistant", "tool"], "system, developer, user, assistant or tool"),
    content,
  }),
  z.looseObject({
    type: z.literal("function_call"),
    call_id: maybe(text()),
    name: text().check(z.minLength(1, "a name")),
    arguments: maybe(text()),
  }),
  z.looseObject({ type: z.literal("function_call_output"), call_id: maybe(text()), output: content }),
  z.looseObject({ type: z.literal("reasoning") }),
]);

/** What a response is asked for with: a text, or items. */
export const responseInput = z.union([text(), z.array(item, "a list of items")]);

/** Items as chat templates read them: calls are part of the assistant's message before them. */
export function messagesOfInput(input: z.output<typeof responseInput>): Message[] {
  if (typeof input === "string") return [{ role: "user", content: input }];
  const messages: Message[] = [];
  for (const item of input) {
    if (item.type === "function_call") {
      addCall(messages, { id: item.call_id ?? "", name: item.name, arguments: item.arguments ?? "" });
    } else if (item.type === "function_call_output") {
      const id = item.call_id ? { tool_call_id: item.call_id } : {};
      messages.push({ role: "tool", content: textOf(item.output), ...id });
    } else if (item.type !== "reasoning") {
      messages.push({ role: item.role === "developer" ? "system" : item.role, content: textOf(item.content) });
    }
  }
  return messages;
}

/** Adds a call to the assistant's message that ends the list, or to a new one. */
export function addCall(
  messages: Message[],
  { id, ...call }: { readonly id: string; readonly name: string; readonly arguments: string },
): void {
  const last = messages.at(-1);
  const made = { id, type: "function", function: { name: call.name, arguments: argumentsOf(call.arguments) } };
  if (last?.role !== "assistant") messages.push({ role: "assistant", content: "", tool_calls: [made] });
  else messages[messages.length - 1] = { ...last, tool_calls: [...((last.tool_calls as object[]) ?? []), made] };
}
