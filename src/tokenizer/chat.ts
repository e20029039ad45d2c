import { ModelError, mismatch, OptionError, show } from "../base/errors.ts";
import { toValue } from "../jinja/convert.ts";
import { RaisedError, TemplateError } from "../jinja/errors.ts";
import { Template } from "../jinja/template.ts";
import { str } from "../jinja/text.ts";
import { Fn, type Value } from "../jinja/values.ts";
import { continuation, type Message, readMessages } from "./conversation.ts";
import { strftime } from "./strftime.ts";
import type { Tokenizer } from "./tokenizer.ts";

export type { ContentPart, Message } from "./conversation.ts";

/** Options of rendering a chat, named as in transformers' apply_chat_template. */
export interface ChatOptions {
  /** End with the start of the assistant's turn; true by default, unless the last message is continued. */
  addGenerationPrompt?: boolean;
  /** Leave the last message open so that it is continued, or its text under this key, such as "reasoning_content". */
  continueFinalMessage?: boolean | string;
  /** Descriptions of tools (objects, JSON schema), for templates that know them. */
  tools?: readonly object[];
  /** Documents (objects, usually with `title` and `text`), for templates that know them. */
  documents?: readonly object[];
  /** The name of one of the model's templates, or the text of another. By default "tool_use" with tools, else "default". */
  chatTemplate?: string;
  /** Further variables that the template reads, such as enable_thinking. */
  templateVariables?: Readonly<Record<string, unknown>>;
  /** The current time for the template's strftime_now; by default the actual one, in local time. */
  now?: Date;
}

const RESERVED = ["messages", "tools", "documents", "add_generation_prompt"];
/** Parsed templates by their text; few programs use more than a few. */
const parsed = new Map<string, Template>();
const MOST_PARSED = 16;

/**
 * Messages as one text, by the model's chat template, as transformers' apply_chat_template renders them. Encode it
 * without special tokens (`encodeChat` does): templates write BOS themselves.
 *
 * @throws OptionError if there is no template, a message or an option is malformed, or the template refuses the messages
 * @throws ModelError with the template's line, if the template itself is at fault or cannot do with these messages
 */
export function renderChat(tokenizer: Tokenizer, messages: readonly Message[], options: ChatOptions = {}): string {
  const source = chooseTemplate(tokenizer, options);
  const chat = readMessages(messages);
  const field = options.continueFinalMessage || undefined;
  if (field === undefined) return render(tokenizer, source, chat, options);
  if (options.addGenerationPrompt) {
    throw new OptionError("continueFinalMessage: expected no addGenerationPrompt with it, found both");
  }
  const { messages: open, cut } = continuation(chat, field, source);
  return cut(render(tokenizer, source, open, { ...options, addGenerationPrompt: false }));
}

/** The ids of `renderChat`, with no special token but those that the template writes. */
export function encodeChat(tokenizer: Tokenizer, messages: readonly Message[], options: ChatOptions = {}): number[] {
  return tokenizer.encode(renderChat(tokenizer, messages, options), { addSpecialTokens: false });
}

function chooseTemplate(tokenizer: Tokenizer, { chatTemplate, tools }: ChatOptions): string {
  const known = tokenizer.chatTemplates;
  if (chatTemplate !== undefined) return known.get(chatTemplate) ?? chatTemplate;
  const source = (tools ? known.get("tool_use") : undefined) ?? known.get("default");
  if (source !== undefined) return source;
  if (known.size === 0)
    throw new OptionError(`${tokenizer.name} has no chat template: pass one as chatTemplate, or a prompt`);
  const names = [...known.keys()].sort().join(", ");
  throw new OptionError(`${tokenizer.name} has no default chat template: pass one of ${names} as chatTemplate`);
}

function render(tokenizer: Tokenizer, source: string, messages: readonly Message[], options: ChatOptions): string {
  const thing = `${tokenizer.name}: chat template`;
  try {
    return compile(source).render(variables(tokenizer, messages, options));
  } catch (error) {
    if (error instanceof RaisedError) throw new OptionError(`${thing}: ${show(error.message)}`);
    if (!(error instanceof TemplateError)) throw error;
    const line = error.line === undefined ? "" : `line ${error.line}: `;
    throw new ModelError(`${thing}: ${line}${show(error.message)}`);
  }
}

function compile(source: string): Template {
  const template = parsed.get(source) ?? new Template(source);
  // Least recently used last out.
  parsed.delete(source);
  parsed.set(source, template);
  if (parsed.size > MOST_PARSED) parsed.delete(parsed.keys().next().value!);
  return template;
}

/** The variables that transformers passes to templates. Later names replace earlier ones. */
function variables(tokenizer: Tokenizer, messages: readonly Message[], options: ChatOptions): Map<string, Value> {
  const { templateVariables = {}, now } = options;
  const taken = RESERVED.find((name) => Object.hasOwn(templateVariables, name));
  if (taken) throw new OptionError(mismatch("templateVariables", `other names than ${RESERVED.join(", ")}`, taken));
  const data: Record<string, unknown> = {
    ...Object.fromEntries(tokenizer.specialTokens),
    ...templateVariables,
    messages,
    tools: objects("tools", options.tools),
    documents: objects("documents", options.documents),
    add_generation_prompt: options.addGenerationPrompt ?? true,
  };
  const functions = [
    new Fn("strftime_now", (args) => strftime(now ?? new Date(), str(args.take("strftime_now", ["format"], 1)[0]!))),
    new Fn("raise_exception", (args) => {
      throw new RaisedError(str(args.take("raise_exception", ["message"], 1)[0]!));
    }),
  ];
  return new Map([
    ...functions.map((fn) => [fn.name, fn] as const),
    ...Object.entries(data).map(([name, value]) => [name, toValue(value)] as const),
  ]);
}

function objects(name: string, list: readonly object[] | null | undefined): readonly object[] | null {
  if (list === undefined || list === null) return null;
  if (!Array.isArray(list)) throw new OptionError(mismatch(name, "an array of objects", list));
  for (const [i, item] of list.entries()) {
    if (typeof item === "object" && item !== null && !Array.isArray(item)) continue;
    throw new OptionError(mismatch(`${name}[${i}]`, "an object", item));
  }
  return list;
}
