import { mismatch, OptionError } from "../base/errors.ts";
import type { TextState } from "../engine/state.ts";
import { type ChatOptions, type Message, renderChat } from "../tokenizer/chat.ts";
import { renderNextTurns } from "../tokenizer/next_turns.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** The state of a session's chat, and its number of tokens. */
export interface Place extends Pick<TextState, "turn" | "lastToken"> {
  readonly length: number;
}

/**
 * The ids of messages for a session that may contain earlier turns of the same chat: only what is new. The first
 * messages are rendered whole (without BOS if other text precedes them); later ones start with what ends the answer
 * before them.
 */
export function encodeTurns(
  tokenizer: Tokenizer,
  messages: readonly Message[],
  options: ChatOptions,
  { turn, lastToken, length }: Place,
): number[] {
  if (turn !== "none") {
    const text =
      turn === "turns" ? later(tokenizer, messages, options) : behindAnswer(tokenizer, messages, options, lastToken);
    return tokenizer.encode(text, { addSpecialTokens: false });
  }
  const text = renderChat(tokenizer, messages, options);
  requireSystem(tokenizer, messages, text);
  const ids = tokenizer.encode(text, { addSpecialTokens: false });
  return length > 0 && ids[0] === tokenizer.bosTokenId ? ids.slice(1) : ids;
}

/** Many templates write the system message into the user's first turn, and nothing if there is none yet. */
function requireSystem(tokenizer: Tokenizer, messages: readonly Message[], text: string): void {
  const lost = messages.every(({ role, content }) => {
    return role === "system" && typeof content === "string" && !text.includes(content.trim());
  });
  if (!lost) return;
  const expected = "a user's message behind the system's, with which the chat template writes it";
  throw new OptionError(mismatch(`${tokenizer.name}: messages`, expected, "the system's alone"));
}

function later(tokenizer: Tokenizer, messages: readonly Message[], options: ChatOptions): string {
  return renderNextTurns(tokenizer, messages, { ...options, after: "turns" });
}

/** If the answer ended with a stop token that the template also ends answers with, it is not repeated. */
function behindAnswer(
  tokenizer: Tokenizer,
  messages: readonly Message[],
  options: ChatOptions,
  lastToken: number,
): string {
  const text = renderNextTurns(tokenizer, messages, { ...options, after: "answer" });
  const stop = tokenizer.isSpecial(lastToken) ? tokenizer.token(lastToken) : undefined;
  if (!stop || !text.includes(stop)) return text;
  const turns = later(tokenizer, messages, options);
  const closing = text.endsWith(turns) ? text.slice(0, text.length - turns.length) : "";
  const at = closing.indexOf(stop);
  return at < 0 ? text : text.slice(at + stop.length);
}
