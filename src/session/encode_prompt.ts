import { mismatch, OptionError } from "../base/errors.ts";
import type { Turn } from "../engine/state.ts";
import type { EngineService } from "../service/types.ts";
import type { ChatOptions, Message } from "../tokenizer/chat.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Place } from "./turns.ts";

/** A text to go on from: text, token ids, or the messages of a chat. */
export type Prompt = string | readonly number[] | readonly Message[];

/** What sessions of one model share. */
export interface SessionModel {
  readonly service: EngineService;
  readonly tokenizer: Tokenizer;
  readonly config: Readonly<Record<string, unknown>>;
  readonly generationConfig: Readonly<Record<string, unknown>>;
}

/** The ids of a prompt behind what a session has, and where in a chat they lead. Throws OptionError for what is no prompt. */
export async function encodePrompt(
  { tokenizer, config, generationConfig }: SessionModel,
  prompt: Prompt,
  options: ChatOptions,
  place: Place,
): Promise<{ readonly ids: readonly number[]; readonly turn: Turn }> {
  const first = place.length === 0;
  if (typeof prompt === "string") {
    const ids = tokenizer.encode(prompt, { addSpecialTokens: first });
    // As in transformers, a text of nothing begins with BOS.
    const bos = generationConfig.bos_token_id ?? config.bos_token_id;
    return { ids: ids.length === 0 && first && typeof bos === "number" ? [bos] : ids, turn: place.turn };
  }
  if (typeof prompt?.every !== "function")
    throw new OptionError(mismatch("prompt", "text, token ids, or the messages of a chat", prompt));
  if (prompt.every((item) => typeof item === "number")) return { ids: prompt, turn: place.turn };
  // Templates need an interpreter; few programs chat.
  const { encodeTurns } = await import("./turns.ts");
  const ids = encodeTurns(tokenizer, prompt as readonly Message[], options, place);
  const open = options.addGenerationPrompt !== false || options.continueFinalMessage;
  return { ids, turn: open ? "answer" : "turns" };
}
