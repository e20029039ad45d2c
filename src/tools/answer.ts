import type { ResponseFormat } from "../grammar/index.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { callFormat, callFormats } from "./formats.ts";
import { JsonCall } from "./json.ts";
import { type CallFormat, ToolReader } from "./reader.ts";
import type { Piece, Tool } from "./tools.ts";

/** The chat template that a model is told of tools with; "" if it has none. `chatTemplate`: as of ChatOptions. */
export function toolTemplate({ chatTemplates }: Tokenizer, chatTemplate?: string): string {
  if (chatTemplate !== undefined) return chatTemplates.get(chatTemplate) ?? chatTemplate;
  return chatTemplates.get("tool_use") ?? chatTemplates.get("default") ?? "";
}

/** What an answer has to be. */
export interface AnswerForm {
  /** A call. */
  readonly forced?: boolean | undefined;
  /** Text of this format, if it is no call. */
  readonly responseFormat?: ResponseFormat | undefined;
}

function formatOf(tools: readonly Tool[], { forced, responseFormat }: AnswerForm): ResponseFormat | undefined {
  const calls = forced || responseFormat ? callFormats(tools) : [];
  if (forced) return calls.length === 1 ? calls[0] : { type: "any_of", formats: calls };
  return responseFormat && { type: "any_of", formats: [...calls, responseFormat] };
}

/** An answer of a model that is told of tools: its tokens in, text and calls out. */
export class ToolAnswer {
  /** What the text has to be, a call among it, where it may not be any: a call is then all of the answer. */
  readonly responseFormat: ResponseFormat | undefined;
  readonly #reader: ToolReader;
  /** Special tokens that are part of calls, and left out of texts. */
  readonly #special: ReadonlyMap<number, string>;

  private constructor(tokenizer: Tokenizer, format: CallFormat, tools: readonly Tool[], form: AnswerForm) {
    this.responseFormat = formatOf(tools, form);
    const names = form.forced ? undefined : new Set(tools.map((tool) => tool.function.name));
    // A call is all of the answer then, and marks of others in the text mean nothing.
    const marks = this.responseFormat ? { ...format, openers: [], closers: [], special: [], bare: false } : format;
    this.#reader = new ToolReader(marks, this.responseFormat && new JsonCall(names));
    const ids = marks.special.map((token) => [tokenizer.id(token), token] as const);
    this.#special = new Map(
      ids.filter((pair): pair is [number, string] => pair[0] !== undefined && tokenizer.isSpecial(pair[0])),
    );
  }

  /** Undefined if the template (`toolTemplate`) has no place for tools that is known. */
  static of(
    tokenizer: Tokenizer,
    template: string,
    tools: readonly Tool[],
    form: AnswerForm = {},
  ): ToolAnswer | undefined {
    const format = callFormat(template, tools);
    return format && new ToolAnswer(tokenizer, format, tools, form);
  }

  /** Calls that were begun. */
  get calls(): number {
    return this.#reader.calls;
  }

  /** What a token makes certain. */
  push({ id, text }: { readonly id: number; readonly text: string }): Piece[] {
    return this.#reader.push(text + (this.#special.get(id) ?? ""));
  }

  /** What was held back until the end. */
  end(): Piece[] {
    return this.#reader.end();
  }
}
