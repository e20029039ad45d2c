import * as z from "zod/mini";
import { refused } from "./errors.ts";
import { maybe, text } from "./schemas.ts";
import type { Tool } from "./task.ts";

/** Tools of a chat; kinds other than functions are the hosts' own, and left out. */
export const tools = z.array(
  z.looseObject({
    type: text(),
    function: maybe(z.looseObject({ name: text(), description: maybe(text()), parameters: maybe(z.looseObject({})) })),
  }),
  "a list of tools",
);

/** Tools of a response: the same, one level less deep. */
export const flatTools = z.array(
  z.looseObject({
    type: text(),
    name: maybe(text()),
    description: maybe(text()),
    parameters: maybe(z.looseObject({})),
  }),
  "a list of tools",
);

/** Which of them are called. */
export const toolChoice = z.union([text(), z.looseObject({ type: text() })], "none, auto, or an object");

/** The tools that a model is told of; undefined if none. Throws ApiError for a choice that cannot be enforced. */
export function toolsOf(
  list: z.output<typeof tools> | null | undefined,
  choice: z.output<typeof toolChoice> | null | undefined,
): readonly Tool[] | undefined {
  const given = (list ?? []).flatMap((tool, i) => {
    if (tool.type !== "function") return [];
    if (!tool.function) throw refused(`tools[${i}].function`, "an object", tool.function);
    return [{ ...tool, type: "function", function: tool.function } as Tool];
  });
  if (choice === "none" || given.length === 0) return undefined;
  if ((choice ?? "auto") === "auto") return given;
  const found = typeof choice === "string" ? choice : choice?.type;
  throw refused("tool_choice", "none or auto", found, "unsupported_value");
}

/** The same of a response's tools. */
export function toolsOfFlat(
  list: z.output<typeof flatTools> | null | undefined,
  choice: z.output<typeof toolChoice> | null | undefined,
): readonly Tool[] | undefined {
  const deep = (list ?? []).map(({ type, name, ...rest }, i) => {
    if (type !== "function") return { type };
    if (!name) throw refused(`tools[${i}].name`, "a string", name);
    return { type, function: { name, ...rest } };
  });
  return toolsOf(deep, choice);
}
