import * as z from "zod/mini";
import type { Message } from "../tokenizer/chat.ts";
import { argumentsOf } from "../tools/tools.ts";
import { missing } from "./errors.ts";
import { contentParts, textOf } from "./messages.ts";
import type { ResponseStore } from "./response_store.ts";
import { responseOfItem } from "./responses_events.ts";
import { maybe, text } from "./schemas.ts";

const content = maybe(z.union([text(), contentParts]));
const KINDS = "message, function_call, function_call_output, item_reference or reasoning";

const items = [
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
] as const;

/** An item of a stored response. */
const reference = z.looseObject({ type: z.literal("item_reference"), id: text() });

/** What a response is asked for with: a text, or items. */
export const responseInput = z.union([text(), z.array(z.union([...items, reference]), "a list of items")]);

type Item = z.output<(typeof items)[number]>;

/**
 * Items in the place of references to them, by which clients spare sending what a stored response has. Throws ApiError for
 * a reference to none.
 */
export async function withItems(
  input: z.output<typeof responseInput>,
  responses: ResponseStore,
): Promise<string | Item[]> {
  if (typeof input === "string") return input;
  const items = input.map(async (item, i) => {
    if (item.type !== "item_reference") return item;
    const turn = await responses.get(responseOfItem(item.id) ?? "");
    const { output = [] } = (turn?.response ?? {}) as { readonly output?: readonly Item[] };
    const found = output.find(({ id }) => id === item.id);
    if (found) return found;
    throw missing(`input[${i}].id`, "an item of a stored response", item.id, "item_not_found");
  });
  return Promise.all(items);
}

/** Items as chat templates read them: calls are part of the assistant's message before them. */
export function messagesOfInput(input: string | readonly Item[]): Message[] {
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
