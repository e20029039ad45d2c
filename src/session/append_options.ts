import { mismatch, OptionError } from "../base/errors.ts";
import type { ChatOptions } from "../tokenizer/chat.ts";

/** How a prompt is read. */
export interface AppendOptions extends ChatOptions {
  /**
   * Of a prompt that is token ids: the indices, ascending, of those that turns of a chat start with. From then on whole turns
   * leave the window: those before the first one that it has as a whole are not attended.
   */
  readonly turnStarts?: readonly number[] | undefined;
  /**
   * false: material that is read only to be found again later, as under plain Λ-attention: none of its tokens attends to
   * middle tokens. Otherwise those do that recallQueries says.
   */
  readonly recall?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Throws OptionError for what is no boolean, indices of none of so many token ids, or indices of a prompt that is none. */
export function checkAppend(
  { turnStarts: starts, recall }: AppendOptions,
  prompt: string | readonly unknown[],
  length: number,
): void {
  if (recall !== undefined && typeof recall !== "boolean")
    throw new OptionError(mismatch("recall", "true or false", recall));
  if (!starts) return;
  const good = starts.every((start, i) => Number.isInteger(start) && start >= (starts[i - 1] ?? 0) && start < length);
  if (good && typeof prompt !== "string" && prompt.every((item) => typeof item === "number")) return;
  throw new OptionError(mismatch("turnStarts", "ascending indices of a prompt of token ids", starts));
}
