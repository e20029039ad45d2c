import * as z from "zod/mini";
import type { Tool } from "../tools/tools.ts";
import { refused } from "./errors.ts";
import { maybe, text } from "./schemas.ts";

const name = text().check(z.minLength(1, "a name"));
const described = { name, description: maybe(text()), parameters: maybe(z.looseObject({})) };
const isFunction = z.literal("function");
/** Kinds other than functions are the hosts' own, and left out. */
const other = z.looseObject({ type: text().check(z.regex(/^(?!function$)/, { error: "function", abort: true })) });

/** Tools of a chat. */
export const tools = z.array(
  z.union([z.looseObject({ type: isFunction, function: z.looseObject(described, "an object") }), other]),
  "a list of tools",
);

/** Tools of a response: the same, one level less deep. */
export const flatTools = z.array(
  z.union([z.looseObject({ type: isFunction, ...described }), other]),
  "a list of tools",
);

/** Which of them are called. */
export const toolChoice = z.union(
  [z.enum(["none", "auto", "required"]), z.looseObject({ type: text() })],
  "none, auto, required or an object",
);

/** The tools that a model is told of, and whether one of them has to be called. */
export interface Chosen {
  readonly tools?: readonly Tool[];
  readonly forced?: boolean;
}

/** The tools that a model is told of; none if they are not to be called. Throws ApiError for an unknown choice. */
export function toolsOf(
  list: z.output<typeof tools> | null | undefined,
  choice: z.output<typeof toolChoice> | null | undefined,
): Chosen {
  const given = (list ?? []).flatMap((tool) => (tool.type === "function" ? [tool as Tool] : []));
  if (choice === "none" || given.length === 0) return {};
  if ((choice ?? "auto") === "auto") return { tools: given };
  if (choice === "required") return { tools: given, forced: true };
  const name = typeof choice === "string" ? choice : nameOf(choice);
  const named = given.filter((tool) => tool.function.name === name);
  if (typeof choice !== "string" && named.length > 0) return { tools: named, forced: true };
  const expected = "none, auto, required, or the name of a function that is given";
  throw refused("tool_choice", expected, name, "unsupported_value");
}

/** The function that a choice names, in chats or, one level less deep, in responses. */
function nameOf(choice: Exclude<z.output<typeof toolChoice>, string> | null | undefined): unknown {
  const { name, function: deep } = choice as { name?: unknown; function?: { name?: unknown } };
  return deep?.name ?? name;
}

/** The same of a response's tools. */
export function toolsOfFlat(
  list: z.output<typeof flatTools> | null | undefined,
  choice: z.output<typeof toolChoice> | null | undefined,
): Chosen {
  const deep = (list ?? []).map(({ type, ...rest }) => (type === "function" ? { type, function: rest } : { type }));
  return toolsOf(deep as z.output<typeof tools>, choice);
}
