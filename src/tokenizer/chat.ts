import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import { LambentError, ModelError, mismatch, OptionError, show } from "../errors.ts";
import { messageOf } from "../realm.ts";
import { strftime } from "./strftime.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** One turn; what else a template may read (name, tool_calls …) goes along. */
export interface Message {
  role: string;
  content: string;
  [key: string]: unknown;
}

export interface ChatOptions {
  /** End with the beginning of the assistant's turn; default true. */
  addGenerationPrompt?: boolean;
  /** Descriptions of tools (JSON schema), for templates that know them. */
  tools?: readonly unknown[];
  /** Documents, for templates that know them. */
  documents?: readonly unknown[];
  /** Further variables that the template reads. */
  variables?: Readonly<Record<string, unknown>>;
  /** What the template's strftime_now takes for now; default: the present, in local time. */
  now?: Date;
}

/** A template's `range` longer than this is a mistake or an attack. */
const MAX_RANGE = 100_000;

type Program = ReturnType<typeof parse>;
const programs = new WeakMap<Tokenizer, Map<string, Program>>();

/**
 * Messages as one text, by the model's chat template. Encode it without special tokens (`encodeChat` does): templates
 * write BOS themselves.
 *
 * @throws OptionError if there is no template, a message is malformed, or the template refuses the messages
 * @throws ModelError if the template itself is at fault
 */
export function renderChat(tokenizer: Tokenizer, messages: readonly Message[], options: ChatOptions = {}): string {
  const thing = `${tokenizer.name}: chat template`;
  const source = (options.tools && tokenizer.chatTemplates.get("tool_use")) ?? tokenizer.chatTemplate;
  if (source === undefined) throw new OptionError(`${tokenizer.name} has no chat template: pass a prompt`);
  checkMessages(messages);
  try {
    const environment = new Environment();
    for (const [name, value] of variables(tokenizer, messages, options, thing)) environment.set(name, value);
    const result = new Interpreter(environment).run(compile(tokenizer, source));
    return String(result.value);
  } catch (error) {
    if (error instanceof LambentError) throw error;
    throw new ModelError(`${thing}: ${show(messageOf(error))}`);
  }
}

/** The ids of `renderChat`, with no special token but those that the template writes. */
export function encodeChat(tokenizer: Tokenizer, messages: readonly Message[], options: ChatOptions = {}): number[] {
  return tokenizer.encode(renderChat(tokenizer, messages, options), { addSpecialTokens: false });
}

function compile(tokenizer: Tokenizer, source: string): Program {
  const known = programs.get(tokenizer) ?? new Map<string, Program>();
  programs.set(tokenizer, known);
  const program = known.get(source) ?? parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
  known.set(source, program);
  return program;
}

/** What Hugging Face gives to templates. Later names replace earlier ones. */
function variables(tokenizer: Tokenizer, messages: readonly Message[], options: ChatOptions, thing: string) {
  const constants = { true: true, True: true, false: false, False: false, none: null, None: null };
  return new Map<string, unknown>([
    ...Object.entries(options.variables ?? {}),
    ...tokenizer.specialTokens,
    ["messages", messages],
    ["tools", options.tools ?? null],
    ["documents", options.documents ?? null],
    ["add_generation_prompt", options.addGenerationPrompt ?? true],
    ["range", range],
    ["strftime_now", (format: unknown) => strftime(options.now ?? new Date(), String(format))],
    [
      "raise_exception",
      (message: unknown) => {
        throw new OptionError(`${thing}: ${show(String(message))}`);
      },
    ],
    ...Object.entries(constants),
  ]);
}

function checkMessages(messages: readonly Message[]): void {
  if (!Array.isArray(messages)) throw new OptionError(mismatch("messages", "an array", messages));
  messages.forEach((message: unknown, i) => {
    const { role, content } = (message ?? {}) as { role?: unknown; content?: unknown };
    if (typeof role !== "string") throw new OptionError(mismatch(`messages[${i}].role`, "a string", role));
    if (typeof content !== "string") throw new OptionError(mismatch(`messages[${i}].content`, "a string", content));
  });
}

/** Python's range. */
function range(first: number, second?: number, step = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (!(length <= MAX_RANGE)) throw new Error(mismatch("range()", `at most ${MAX_RANGE} numbers`, length));
  return Array.from({ length }, (_, i) => start + i * step);
}
