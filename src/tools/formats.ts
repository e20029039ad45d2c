import type { ResponseFormat } from "../grammar/index.ts";
import { GemmaCall } from "./gemma.ts";
import { JsonCall } from "./json.ts";
import { MistralCalls } from "./mistral.ts";
import { type ParameterTypes, TaggedCall } from "./qwen.ts";
import type { CallFormat } from "./reader.ts";
import type { Tool } from "./tools.ts";

/** The form of a call of each of these tools. */
export function callFormats(tools: readonly Tool[]): ResponseFormat[] {
  return tools.map(({ function: { name, parameters } }) => ({
    type: "json_schema",
    schema: {
      type: "object",
      properties: { name: { const: name }, arguments: moved(parameters ?? { type: "object" }) },
      required: ["name", "arguments"],
      additionalProperties: false,
    },
  }));
}

/** Keywords whose values are no schemas, and those whose values are schemas by name. */
const VALUES = ["const", "enum", "default", "examples"];
const MAPS = ["properties", "patternProperties", "$defs", "definitions"];

/** A schema as the arguments of a call: its references into itself lead to where it is then. */
function moved(schema: unknown, isMap = false): unknown {
  if (Array.isArray(schema)) return schema.map((item) => moved(item));
  if (typeof schema !== "object" || schema === null) return schema;
  return Object.fromEntries(
    Object.entries(schema).map(([key, value]) => {
      if (isMap) return [key, moved(value)];
      if (key === "$ref" && typeof value === "string" && /^#(?:$|\/)/.test(value))
        return [key, `#/properties/arguments${value.slice(1)}`];
      return [key, VALUES.includes(key) ? value : moved(value, MAPS.includes(key))];
    }),
  );
}

/**
 * How a model writes calls, by what its chat template shows of them; undefined if the template knows no tools. see: the
 * templates of Qwen2.5, Qwen3, Hermes; Qwen3-Coder; Llama 3.1; Mistral 7B v0.3 and later; Gemma 4; FunctionGemma
 */
export function callFormat(template: string, tools: readonly Tool[]): CallFormat | undefined {
  const has = (text: string) => template.includes(text);
  if (!/\btools\b/.test(template)) return undefined;
  if (has("[TOOL_CALLS]")) {
    const special = ["[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"];
    return { name: "mistral", openers: ["[TOOL_CALLS]"], closers: [], special, body: () => new MistralCalls() };
  }
  if (has("<|tool_call>")) return gemma("gemma4", "<|tool_call>", "<tool_call|>", '<|"|>');
  if (has("<start_function_call>"))
    return gemma("functiongemma", "<start_function_call>", "<end_function_call>", "<escape>");
  if (has("<tool_call>")) {
    const marks = { openers: ["<tool_call>"], closers: ["</tool_call>"], special: ["<tool_call>", "</tool_call>"] };
    if (has("<function=")) return { name: "qwen-coder", ...marks, body: () => new TaggedCall(typesOf(tools)) };
    return { name: "hermes", ...marks, body: () => new JsonCall() };
  }
  if (has("<|python_tag|>") || has('"parameters"') || has("ipython")) {
    const marks = { openers: ["<|python_tag|>"], closers: [";", "<|eom_id|>"], special: ["<|python_tag|>"] };
    return { name: "llama3", ...marks, bare: true, body: () => new JsonCall() };
  }
  return undefined;
}

function gemma(name: string, opener: string, closer: string, quote: string): CallFormat {
  const special = [opener, closer, quote];
  return { name, openers: [opener], closers: [closer], special, body: () => new GemmaCall(quote) };
}

/** The type of a tool's parameter, by its schema. */
function typesOf(tools: readonly Tool[]): ParameterTypes {
  return (name, parameter) => {
    const schema = tools.find((tool) => tool.function.name === name)?.function.parameters as
      | { properties?: Record<string, { type?: unknown } | undefined> }
      | undefined;
    return schema?.properties?.[parameter]?.type;
  };
}
