import {
  InvalidArgumentError,
  type LanguageModelV4CallOptions,
  type SharedV4Warning,
  UnsupportedFunctionalityError,
} from "@ai-sdk/provider";
import { mismatch } from "../base/errors.ts";
import type { ResponseFormat } from "../grammar/index.ts";
import type { ReplyOptions } from "../session/chat.ts";
import type { Message } from "../tokenizer/chat.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { ToolAnswer, toolTemplate } from "../tools/answer.ts";
import type { Tool } from "../tools/tools.ts";
import { optionsOf, unsupported } from "./options.ts";
import { messagesOf } from "./prompt.ts";

/** Options of `model.respond` that the AI SDK has no name for: `providerOptions.lambent`. */
const OWN = [
  ...["minP", "repetitionPenalty", "noRepeatNgramSize", "logitBias", "badWords", "suppressTokens"],
  ...["minNewTokens", "ignoreEos", "promptLookupNumTokens", "responseFormat"],
  ...["chatTemplate", "templateVariables", "documents", "store", "truncation"],
] as const satisfies readonly (keyof ReplyOptions)[];

/** A call as this library answers it. */
export interface Call {
  readonly messages: readonly Message[];
  readonly options: ReplyOptions;
  /** How the answer is read, where tools may be called. */
  readonly answer: ToolAnswer | undefined;
  /** What was asked for and is not done. */
  readonly warnings: readonly SharedV4Warning[];
}

/**
 * What a call asks for.
 *
 * @throws UnsupportedFunctionalityError for a prompt that is not text, and tools of a model that knows none
 * @throws InvalidArgumentError for the choice of a tool that there is not
 */
export function callOf(tokenizer: Tokenizer, options: LanguageModelV4CallOptions): Call {
  const { own, warnings } = optionsOf(options.providerOptions, OWN);
  warnings.push(...warningsOf(options));
  const { tools, forced } = toolsOf(options);
  const asked: ReplyOptions = { ...own, ...settingsOf(options) };
  const responseFormat = formatOf(options) ?? asked.responseFormat;
  if (tools.length === 0) {
    const whole = { ...asked, responseFormat };
    return { messages: messagesOf(options.prompt), options: whole, answer: undefined, warnings };
  }
  const template = toolTemplate(tokenizer, asked.chatTemplate);
  const answer = ToolAnswer.of(tokenizer, template, tools, { forced, responseFormat });
  if (!answer) {
    const expected = "none, as the chat template has no place for them that is known";
    const message = mismatch("tools", expected, `${tools.length}`);
    throw new UnsupportedFunctionalityError({ functionality: "tools", message });
  }
  const whole = { ...asked, tools, responseFormat: answer.responseFormat };
  return { messages: messagesOf(options.prompt), options: whole, answer, warnings };
}

/** Settings that both have, those that are given. */
function settingsOf(options: LanguageModelV4CallOptions): ReplyOptions {
  const { maxOutputTokens, temperature, topP, topK, seed, stopSequences } = options;
  const stops = stopSequences?.filter((text) => text !== "");
  return {
    ...(maxOutputTokens === undefined ? {} : { maxNewTokens: maxOutputTokens }),
    ...(temperature === undefined ? {} : { temperature }),
    // 0 is only the most likely token.
    ...(topP === undefined ? {} : { topP: topP === 0 ? Number.MIN_VALUE : topP }),
    ...(topK === undefined ? {} : { topK }),
    ...(seed === undefined ? {} : { seed }),
    ...(stops?.length ? { stopStrings: stops } : {}),
  };
}

function formatOf({ responseFormat: format }: LanguageModelV4CallOptions): ResponseFormat | undefined {
  if (format?.type !== "json") return undefined;
  return format.schema === undefined ? { type: "json_object" } : { type: "json_schema", schema: format.schema };
}

function warningsOf(options: LanguageModelV4CallOptions): SharedV4Warning[] {
  const { presencePenalty, frequencyPenalty, reasoning, tools = [], toolChoice } = options;
  const warnings: SharedV4Warning[] = [];
  const warn = (feature: string, details: string) => warnings.push(unsupported(feature, details));
  const instead = "providerOptions.lambent has repetitionPenalty";
  if (presencePenalty) warn("presencePenalty", instead);
  if (frequencyPenalty) warn("frequencyPenalty", instead);
  if (reasoning !== undefined && reasoning !== "provider-default")
    warn("reasoning", "providerOptions.lambent has templateVariables, such as enable_thinking");
  const forced = toolChoice?.type === "required" || toolChoice?.type === "tool";
  for (const tool of tools) {
    if (tool.type === "provider") warn(`provider-defined tool ${tool.id}`, "the model has functions only");
    else {
      const { name, strict, inputExamples } = tool;
      if (strict && !forced) warn(`strict of tool ${name}`, "arguments are enforced where toolChoice requires a call");
      if (inputExamples?.length) warn(`inputExamples of tool ${name}`, "chat templates have no place for them");
    }
  }
  return warnings;
}

/** The tools that the model is told of, and whether one of them has to be called. */
function toolsOf({ tools = [], toolChoice }: LanguageModelV4CallOptions): { tools: readonly Tool[]; forced: boolean } {
  const given = tools.flatMap((tool): Tool[] => {
    if (tool.type !== "function") return [];
    const { name, description, inputSchema: parameters } = tool;
    return [{ type: "function", function: { name, ...(description ? { description } : {}), parameters } }];
  });
  const type = toolChoice?.type ?? "auto";
  if (type === "none") return { tools: [], forced: false };
  if (type === "auto") return { tools: given, forced: false };
  const name = toolChoice?.type === "tool" ? toolChoice.toolName : undefined;
  const chosen = name === undefined ? given : given.filter((tool) => tool.function.name === name);
  if (chosen.length > 0) return { tools: chosen, forced: true };
  const names = given.map((tool) => tool.function.name).join(", ");
  const message = mismatch("toolChoice", names || "none, as there are no functions", name ?? type);
  throw new InvalidArgumentError({ argument: "toolChoice", message });
}
