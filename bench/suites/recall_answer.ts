/** What is asked of a session in `bench recall`, in Bun as in a page. */
import type { Session } from "../../src/session/session.ts";
import { median } from "../interleave.ts";

const QUESTION = " The number of the safe is";
/** Tokens of an answer. */
export const NEW_TOKENS = 48;

/** The median milliseconds of a token of an answer, by a copy of the session. */
export async function answer(session: Session): Promise<{ readonly ms: number; readonly text: string }> {
  using copy = await session.fork();
  const times: number[] = [];
  let text = "";
  let last = performance.now();
  for await (const token of copy
    .generate(QUESTION, { maxNewTokens: NEW_TOKENS, temperature: 0, ignoreEos: true })
    .tokens()) {
    times.push(performance.now() - last);
    text += token.text;
    last = performance.now();
  }
  // The first one has read the question.
  return { ms: median(times.slice(1)), text };
}
