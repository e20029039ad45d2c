import * as z from "zod/mini";
import type { Message } from "../tokenizer/chat.ts";
import { argumentsOf } from "../tools/tools.ts";
import { refused } from "./errors.ts";
import { contentParts, textOf } from "./messages.ts";
import type { ResponseStore } from "./response_store.ts";
import { responseOfItem } from "./responses_events.ts";
import { maybe, text } from "./schemas.ts";

const item = z.looseObject({
  type: maybe(text()),
  id: maybe(text()),
  role: maybe(
    z.enum(["system", "developer", "user", "assistant", "tool"], "system, developer, user, assistant or tool"),
  ),
  content: maybe(z.union([text(), contentParts])),
  call_id: maybe(text()),
  name: maybe(text()),
  arguments: maybe(text()),
  output: maybe(z.union([text(), contentParts])),
});

/** What a response is asked for with: a text, or items. */
export const responseInput = z.union([text(), z.array(item, "a list of items")], "a string or a list of items");

type ResponseInput = z.output<typeof responseInput>;

/**
 * Items in the place of references to them, by which clients spare sending what a stored response has. Throws ApiError for
 * a reference to none.
 */
export async function withItems(input: ResponseInput, responses: ResponseStore): Promise<ResponseInput> {
  if (typeof input === "string") return input;
  const items = input.map(async (item, i) => {
    if (item.type !== "item_reference") return item;
    const turn = await responses.get(responseOfItem(item.id ?? "") ?? "");
    const { output = [] } = (turn?.response ?? {}) as { readonly output?: typeof input };
    const found = output.find(({ id }) => id === item.id);
    if (found) return found;
    throw refused(`input[${i}].id`, "an item of a stored response", item.id, "item_not_found");
  });
  return Promise.all(items);
}

/** Items as chat templates read them: calls are part of the assistant's message before them. */
export function messagesOfInput(input: ResponseInput): Message[] {
  if (typeof input === "string") return [{ role: "user", content: input }];
  const messages: Message[] = [];
  for (const [i, item] of input.entries()) {
    const path = `input[${i}]`;
    const type = item.type ?? "message";
    if (type === "message") {
      if (!item.role) throw refused(`${path}.role`, "system, developer, user or assistant", item.role);
      const role = item.role === "developer" ? "system" : item.role;
      messages.push({ role, content: textOf(item.content) });
    } else if (type === "function_call") {
      const { call_id: id, name } = item;
      if (!name) throw refused(`${path}.name`, "a string", name);
      addCall(messages, { id: id ?? "", name, arguments: item.arguments ?? "" });
    } else if (type === "function_call_output") {
      const content = textOf(item.output);
      messages.push({ role: "tool", content, ...(item.call_id ? { tool_call_id: item.call_id } : {}) });
    } else if (type !== "reasoning") {
      throw refused(`${path}.type`, "message, function_call, function_call_output, item_reference or reasoning", type);
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
