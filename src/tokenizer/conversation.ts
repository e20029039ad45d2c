import { mismatch, OptionError, show } from "../base/errors.ts";

/** A part of a message: text, or an image or the like, which templates only see the presence of. */
export interface ContentPart {
  type: string;
  text?: string;
  [key: string]: unknown;
}

/**
 * One turn. Other keys that a template may read (`tool_calls`, `tool_call_id`, `name`, `reasoning_content` …) are
 * passed on; a key whose value is null counts as absent.
 */
export interface Message {
  role: string;
  content?: string | readonly ContentPart[] | null;
  [key: string]: unknown;
}

/** Names of reasoning: most templates read the first, gpt-oss's reads the second. */
const REASONING = ["reasoning_content", "thinking", "reasoning"];
const TAG = "CONTINUE_FINAL_MESSAGE_TAG ";

/**
 * Messages as transformers hands them to a template: no key whose value is null, and reasoning under all of its names.
 *
 * @throws OptionError if they are no messages
 */
export function readMessages(messages: readonly Message[]): Message[] {
  if (!Array.isArray(messages)) throw new OptionError(mismatch("messages", "an array", messages));
  if (messages.length === 0) throw new OptionError("messages: expected at least one, found none");
  return messages.map((message: unknown, i) => {
    if (typeof message !== "object" || message === null || Array.isArray(message)) {
      throw new OptionError(mismatch(`messages[${i}]`, "an object with a role", message));
    }
    const kept = Object.fromEntries(
      Object.entries(message).filter(([, value]) => value !== null && value !== undefined),
    );
    const { role, content } = kept;
    if (typeof role !== "string") throw new OptionError(mismatch(`messages[${i}].role`, "a string", role));
    if (content !== undefined && typeof content !== "string" && !Array.isArray(content)) {
      throw new OptionError(mismatch(`messages[${i}].content`, "a string, an array of parts or null", content));
    }
    const reasoning = REASONING.map((key) => kept[key]).find((value) => value !== undefined);
    return (reasoning === undefined ? kept : { thinking: reasoning, ...kept, reasoning_content: reasoning }) as Message;
  });
}

/**
 * Messages whose last one is continued, and a function that then removes the end of that turn from the rendered text.
 */
interface Continuation {
  readonly messages: readonly Message[];
  cut(rendered: string): string;
}

/**
 * transformers' continue_final_message: the last message is marked, and the rendered text cut there.
 *
 * @param field the message's key that is continued: true is "content"
 * @throws OptionError if the last message has no such text, or the template does not write it
 */
export function continuation(messages: readonly Message[], field: true | string, template: string): Continuation {
  const key = field === true ? "content" : field;
  const last = messages.at(-1)!;
  const value = last[key];
  if (value === undefined) throw new OptionError(`continueFinalMessage: the last message has no "${show(key)}"`);
  const copies = REASONING.includes(key) ? REASONING.filter((name) => last[name] === value) : [key];
  if (!copies.some((name) => template.includes(name))) {
    throw new OptionError(`continueFinalMessage: the chat template does not read "${show(key)}"`);
  }
  const { text, marked } = mark(value, key);
  const final = { ...last, ...Object.fromEntries(copies.map((name) => [name, marked])) };
  return { messages: [...messages.slice(0, -1), final], cut: (rendered) => cut(rendered, text) };
}

/** The text to continue, and the value with the mark appended. */
function mark(value: unknown, key: string): { text: string; marked: unknown } {
  if (typeof value === "string") return { text: value, marked: value + TAG };
  const parts = Array.isArray(value) ? [...value] : [];
  const at = parts.findLastIndex((part) => typeof part?.text === "string");
  if (at < 0)
    throw new OptionError(mismatch(`continueFinalMessage: "${show(key)}" of the last message`, "text", value));
  const { text } = parts[at];
  parts[at] = { ...parts[at], text: text + TAG };
  return { text, marked: parts };
}

function cut(rendered: string, text: string): string {
  const at = rendered.lastIndexOf(TAG.trim());
  if (at < 0 || !rendered.includes(text.trim())) {
    throw new OptionError("continueFinalMessage: the chat template does not write the last message as it is");
  }
  const before = rendered.slice(0, at);
  // If the template has trimmed the message, white space before the mark is trimmed as well.
  return rendered.startsWith(TAG, at) ? before : before.trimEnd();
}
