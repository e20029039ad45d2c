import type { Grammar } from "../grammar/index.ts";
import { Xxh64 } from "../machine/hash.ts";
import type { Kernels } from "../machine/kernels.ts";
import type { Format, SessionState } from "./state.ts";

/** A grammar as a session goes by it. */
export function formatOf(grammar: Grammar, kernels: Kernels): Format {
  return { grammar, hash: new Xxh64(kernels).update(new TextEncoder().encode(grammar.definition)).digest() };
}

/**
 * What may be chosen next in a session whose text has a format, and how to tell it what was chosen; undefined where it has
 * none. A text that was cut off and is not followed by anything else goes on, every other one starts.
 */
export function formatNow(session: SessionState) {
  const { format } = session.generation;
  if (!format) return undefined;
  const { grammar, hash } = format;
  const { position, format: last } = session;
  const goesOn = last?.hash === hash && last.position === position && last.state.numbers.length > 0;
  const before = goesOn ? last.state : grammar.start();
  return {
    mask: grammar.mask(before),
    forced: grammar.forcedTokens(before, 1)[0],
    take(token: number): void {
      const state = grammar.advance(before, token);
      session.format = state && { hash, position: position + 1, state };
    },
  };
}

/** Up to `most` tokens that a format requires after the one that was chosen last. */
export function forcedNext({ generation, format: last, position }: SessionState, most: number): number[] {
  const { format } = generation;
  if (!format || last?.hash !== format.hash || last.position !== position + 1) return [];
  return format.grammar.forcedTokens(last.state, most);
}
