import { chatLogprobs } from "./openai_usage.ts";
import type { ChosenLikely, ReplyEnd, ReplyEvent } from "./task.ts";

/** An event of /v1/responses, but for its number. */
export type ResponseEvent = { readonly type: string; readonly [key: string]: unknown };

/** An item of a response's output. */
export interface OutputItem {
  readonly type: "message" | "function_call";
  readonly id: string;
  status: "in_progress" | "completed" | "incomplete";
  readonly [key: string]: unknown;
}

/**
 * An answer as the events of a response: items that are added, filled and done, one after the other. `output` has them,
 * whole, at the end.
 */
export class ResponseItems {
  readonly output: OutputItem[] = [];
  readonly #response: string;
  #text = "";
  #logprobs: ChosenLikely[] = [];
  #call: { readonly id: string; readonly name: string; json: string } | undefined;

  /** How the answer ended. */
  end: ReplyEnd | undefined;

  /** @param response the response's id, which those of its items tell (`responseOfItem`) */
  constructor(response: string) {
    this.#response = response;
  }

  /** The events of a piece of the answer. */
  *take(event: ReplyEvent): Generator<ResponseEvent, void, undefined> {
    if (event.type === "text") yield* this.#say(event.text, event.logprobs);
    if (event.type === "call") {
      yield* this.#finish("completed");
      this.#call = { id: event.id, name: event.name, json: "" };
      yield this.#added(this.#item("fc_", "in_progress"));
    }
    if (event.type === "arguments" && this.#call) {
      this.#call.json += event.text;
      yield { type: "response.function_call_arguments.delta", ...this.#place(), delta: event.text };
    }
    if (event.type !== "end") return;
    this.end = event;
    // An answer of nothing is an empty message.
    if (this.output.length === 0) yield* this.#say("", []);
    yield* this.#finish(event.reason === "length" ? "incomplete" : "completed");
  }

  *#say(text: string, logprobs: readonly ChosenLikely[]): Generator<ResponseEvent, void, undefined> {
    if (this.#call && text === "") return;
    if (this.#call || this.#open === undefined) {
      yield* this.#finish("completed");
      yield this.#added(this.#item("msg_", "in_progress"));
      yield { type: "response.content_part.added", ...this.#part(), part: this.#content("", []) };
    }
    this.#text += text;
    this.#logprobs.push(...logprobs);
    const delta = { delta: text, logprobs: chatLogprobs(logprobs) };
    if (text !== "" || logprobs.length > 0) yield { type: "response.output_text.delta", ...this.#part(), ...delta };
  }

  /** The item that is being written. */
  get #open(): OutputItem | undefined {
    const last = this.output.at(-1);
    return last?.status === "in_progress" ? last : undefined;
  }

  #added(item: OutputItem): ResponseEvent {
    this.output.push(item);
    return { type: "response.output_item.added", output_index: this.output.length - 1, item };
  }

  *#finish(status: "completed" | "incomplete"): Generator<ResponseEvent, void, undefined> {
    if (!this.#open) return;
    if (this.#call) {
      const { name, json } = this.#call;
      yield { type: "response.function_call_arguments.done", ...this.#place(), name, arguments: json };
    } else {
      const text = this.#text;
      yield {
        ...{ type: "response.output_text.done", ...this.#part(), text, logprobs: chatLogprobs(this.#logprobs) },
      };
      yield { type: "response.content_part.done", ...this.#part(), part: this.#content(text, this.#logprobs) };
    }
    const item = this.#item(this.#call ? "fc_" : "msg_", status, this.#open.id);
    this.output[this.output.length - 1] = item;
    yield { type: "response.output_item.done", output_index: this.output.length - 1, item };
    [this.#text, this.#logprobs, this.#call] = ["", [], undefined];
  }

  /** The item as it is now. */
  #item(prefix: string, status: OutputItem["status"], id = this.#newId(prefix)): OutputItem {
    if (this.#call) {
      const { id: call_id, name, json } = this.#call;
      return { type: "function_call", id, call_id, name, arguments: json, status };
    }
    const content = status === "in_progress" ? [] : [this.#content(this.#text, this.#logprobs)];
    return { type: "message", id, role: "assistant", status, content };
  }

  #newId(prefix: string): string {
    return `${prefix}${this.#response.replace(/^resp_/, "")}_${this.output.length}`;
  }

  #content(text: string, logprobs: readonly ChosenLikely[]) {
    return { type: "output_text", text, annotations: [], logprobs: chatLogprobs(logprobs) };
  }

  #place() {
    return { item_id: this.output.at(-1)?.id, output_index: this.output.length - 1 };
  }

  #part() {
    return { ...this.#place(), content_index: 0 };
  }
}

/** The id of the response that an item is of; undefined if no item has such an id. */
export function responseOfItem(id: string): string | undefined {
  const [, response] = id.match(/^(?:msg|fc)_(\w+)_\d+$/) ?? [];
  return response && `resp_${response}`;
}
