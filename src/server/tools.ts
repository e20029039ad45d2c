import * as z from "zod/mini";
import type { Tool } from "../tools/tools.ts";
import { missing } from "./errors.ts";
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

/** Which of them are called. A function's name is one level deeper in chats; some clients send it flat there too. */
export const toolChoice = z.union([
  z.enum(["none", "auto", "required"], "none, auto, required or an object"),
  z.looseObject({ type: isFunction, function: z.looseObject({ name }, "an object") }),
  z.looseObject({ type: isFunction, name }),
  other,
]);
type ToolChoice = z.output<typeof toolChoice>;

/** The tools that a model is told of, and whether one of them has to be called. */
export interface Chosen {
  readonly tools?: readonly Tool[];
  readonly forced?: boolean;
}

/**
 * The tools that a model is told of; none if they are not to be called. Throws ApiError 404 for a choice that is not among
 * them, as for other names of what is not there.
 */
export function toolsOf(
  list: z.output<typeof tools> | null | undefined,
  choice: ToolChoice | null | undefined,
): Chosen {
  const given = (list ?? []).flatMap((tool) => (tool.type === "function" ? [tool as Tool] : []));
  if (choice === "none" || given.length === 0) return {};
  if ((choice ?? "auto") === "auto") return { tools: given };
  if (choice === "required") return { tools: given, forced: true };
  const name = nameOf(choice as Exclude<ToolChoice, string>);
  const named = given.filter((tool) => tool.function.name === name);
  if (named.length > 0) return { tools: named, forced: true };
  const expected = `a function that is given (${given.map((tool) => tool.function.name).join(", ")})`;
  throw missing("tool_choice", expected, name, "tool_not_found");
}

/** The function that a choice names; of other kinds of tools, the kind. */
function nameOf(choice: Exclude<ToolChoice, string>): string {
  if (choice.type !== "function") return choice.type;
  return "function" in choice ? (choice.function as { name: string }).name : (choice as { name: string }).name;
}

/** The same of a response's tools. */
export function toolsOfFlat(
  list: z.output<typeof flatTools> | null | undefined,
  choice: ToolChoice | null | undefined,
): Chosen {
  const deep = (list ?? []).map(({ type, ...rest }) => (type === "function" ? { type, function: rest } : { type }));
  return toolsOf(deep as z.output<typeof tools>, choice);
}
