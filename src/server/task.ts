import type { ReplyOptions, Source, Usage, WindowUse } from "../session/chat.ts";
import type { Prompt } from "../session/encode_prompt.ts";
import type { Piece, Tool } from "../tools/tools.ts";

/** What every dialect makes of a request: a text to go on from, and how. */
export interface Task {
  /** What metrics call it. */
  readonly operation: "chat" | "text_completion";
  readonly prompt: Prompt;
  readonly options: Omit<ReplyOptions, "signal" | "wait" | "onProgress">;
  /** Tools that may be called, by a chat. */
  readonly tools?: readonly Tool[] | undefined;
  /** Whether one of them has to be. */
  readonly forced?: boolean | undefined;
  /** Logarithms of probabilities, and how many other tokens with each; none by default. */
  readonly topLogprobs?: number | undefined;
}

/** A token and how likely it was. */
export interface Likely {
  readonly id: number;
  readonly token: string;
  /** ln of its probability under the model. */
  readonly logprob: number;
  readonly bytes: readonly number[];
}

/** A chosen token, and the most likely ones in its place. */
export interface ChosenLikely extends Likely {
  readonly top: readonly Likely[];
}

/** What happens while a task is answered; `end` comes last, once. */
export type ReplyEvent =
  | { readonly type: "text"; readonly text: string; readonly logprobs: readonly ChosenLikely[] }
  | Exclude<Piece, { readonly type: "text" }>
  | ReplyEnd;

/** How an answer ended. */
export interface ReplyEnd {
  readonly type: "end";
  /** stop: a stop token or stop string; length: the most tokens, or the most time; calls: of tools. */
  readonly reason: "stop" | "length" | "calls";
  /** The stop string that ended it. */
  readonly stopString?: string | undefined;
  readonly usage: Usage;
  /** What of the conversation is in the window, of chats. */
  readonly window?: WindowUse | undefined;
  /** With recall, of chats: what the answer has looked back at. */
  readonly sources?: readonly Source[] | undefined;
  /** ms until the prompt was read, and from then on. */
  readonly prefillMs: number;
  readonly decodeMs: number;
}

/** A call of a tool; `arguments` is JSON, if the answer was not cut off. */
export interface Call {
  readonly id: string;
  readonly name: string;
  arguments: string;
}

/** A whole answer. */
export interface Gathered {
  readonly text: string;
  readonly calls: readonly Call[];
  readonly logprobs: readonly ChosenLikely[];
  readonly end: ReplyEnd;
}

/** Reads an answer to its end. */
export async function gather(events: AsyncIterable<ReplyEvent>): Promise<Gathered> {
  let text = "";
  const calls: Call[] = [];
  const logprobs: ChosenLikely[] = [];
  for await (const event of events) {
    if (event.type === "end") return { text, calls, logprobs, end: event };
    if (event.type === "text") {
      text += event.text;
      logprobs.push(...event.logprobs);
    } else if (event.type === "call") calls.push({ id: event.id, name: event.name, arguments: "" });
    else (calls[event.index] as Call).arguments += event.text;
  }
  throw new Error("an answer ends with its end");
}
