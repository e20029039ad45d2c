import {
  type LanguageModelV4FilePart,
  type LanguageModelV4Message,
  type LanguageModelV4Prompt,
  type LanguageModelV4ToolResultOutput,
  UnsupportedFunctionalityError,
} from "@ai-sdk/provider";
import type { Message } from "../tokenizer/chat.ts";
import { argumentsOf } from "../tools/tools.ts";

/**
 * A prompt as chat templates read it: a message has one text, calls are part of the assistant's, each result is a message
 * of its own. Throws UnsupportedFunctionalityError for what is no text.
 */
export function messagesOf(prompt: LanguageModelV4Prompt): Message[] {
  return prompt.flatMap((message) => {
    if (message.role === "system") return [{ role: "system", content: message.content }];
    if (message.role === "user") {
      const texts = message.content.map((part) => (part.type === "text" ? part.text : textOf(part)));
      return [{ role: "user", content: texts.join("") }];
    }
    return message.role === "assistant" ? [assistantOf(message)] : resultsOf(message);
  });
}

type Of<Role> = Extract<LanguageModelV4Message, { role: Role }>;

function assistantOf({ content }: Of<"assistant">): Message {
  let text = "";
  let reasoning = "";
  const calls: object[] = [];
  for (const part of content) {
    if (part.type === "text") text += part.text;
    else if (part.type === "reasoning") reasoning += part.text;
    else if (part.type === "file") text += textOf(part);
    else if (part.type === "tool-call") {
      const { toolCallId: id, toolName: name, input } = part;
      calls.push({ id, type: "function", function: { name, arguments: argumentsOf(input) } });
    } else throw new UnsupportedFunctionalityError({ functionality: `${part.type} in an assistant's message` });
  }
  return {
    role: "assistant",
    content: text,
    ...(reasoning === "" ? {} : { reasoning_content: reasoning }),
    ...(calls.length > 0 ? { tool_calls: calls } : {}),
  };
}

/** Approvals say nothing to the model: what was denied has a result that says so. */
function resultsOf({ content }: Of<"tool">): Message[] {
  return content.flatMap((part) => {
    if (part.type === "tool-approval-response") return [];
    const { toolCallId: tool_call_id, toolName: name, output } = part;
    return [{ role: "tool", content: outputOf(output), tool_call_id, name }];
  });
}

function outputOf(output: LanguageModelV4ToolResultOutput): string {
  switch (output.type) {
    case "text":
    case "error-text":
      return output.value;
    case "json":
    case "error-json":
      return JSON.stringify(output.value);
    case "execution-denied":
      return output.reason ?? "The call was denied.";
    default: {
      const texts = output.value.map((part) => {
        if (part.type === "text") return part.text;
        if (part.type === "file") return textOf(part);
        throw new UnsupportedFunctionalityError({ functionality: "custom parts of a tool's result" });
      });
      return texts.join("");
    }
  }
}

/** A file's text: the model reads nothing else. */
function textOf({ data, mediaType }: Pick<LanguageModelV4FilePart, "data" | "mediaType">): string {
  if (data.type === "text") return data.text;
  if (data.type !== "data" || !/^text(\/|$)/.test(mediaType))
    throw new UnsupportedFunctionalityError({ functionality: `files of ${mediaType} (the model reads text)` });
  const bytes =
    typeof data.data === "string" ? Uint8Array.from(atob(data.data), (char) => char.charCodeAt(0)) : data.data;
  return new TextDecoder().decode(bytes);
}
