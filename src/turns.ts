import type { TextState } from "./state.ts";
import { type ChatOptions, encodeChat, type Message } from "./tokenizer/chat.ts";
import { renderNextTurns } from "./tokenizer/next_turns.ts";
import type { Tokenizer } from "./tokenizer/tokenizer.ts";

/** Where a session is: what its text says of the chat in it, and how many tokens it has. */
export interface Place extends Pick<TextState, "turn" | "lastToken"> {
  readonly length: number;
}

/**
 * The ids of messages for a session that may hold earlier turns of the same chat: only what is new. The first messages are
 * rendered whole (without BOS behind other text); later ones begin with what ends the answer before them.
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
  const ids = encodeChat(tokenizer, messages, options);
  return length > 0 && ids[0] === tokenizer.bosTokenId ? ids.slice(1) : ids;
}

function later(tokenizer: Tokenizer, messages: readonly Message[], options: ChatOptions): string {
  return renderNextTurns(tokenizer, messages, { ...options, after: "turns" });
}

/** A stop token of the model ended the answer already, if it is what the template ends answers with. */
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
