import type { ReplyOptions, Usage } from "../session/chat.ts";
import type { Prompt } from "../session/session.ts";

/** What every dialect makes of a request: a text to go on from, and how. */
export interface Task {
  /** What metrics call it. */
  readonly operation: "chat" | "text_completion";
  readonly prompt: Prompt;
  readonly options: Omit<ReplyOptions, "signal" | "wait" | "onProgress">;
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
  | { readonly type: "call"; readonly index: number; readonly id: string; readonly name: string }
  | { readonly type: "arguments"; readonly index: number; readonly text: string }
  | ReplyEnd;

/** How an answer ended. */
export interface ReplyEnd {
  readonly type: "end";
  /** stop: a stop token or stop string; length: the most tokens, or the most time; calls: of tools. */
  readonly reason: "stop" | "length" | "calls";
  /** The stop string that ended it. */
  readonly stopString?: string | undefined;
  readonly usage: Usage;
  /** ms until the prompt was read, and from then on. */
  readonly prefillMs: number;
  readonly decodeMs: number;
}
