import { mismatch, OptionError } from "./errors.ts";
import type { Xxh64 } from "./machine/hash.ts";
import type { Random } from "./random.ts";

/** What the engine keeps of a session beside its slot. All of it is of constant size. */
export interface SessionState {
  readonly slot: number;
  /** Position of the first token. */
  readonly origin: number;
  /** Position of the next token to be read. */
  position: number;
  /** The token that was chosen last and not yet read; −1: none. */
  pending: number;
  /** Whether its slot is its own. */
  open: boolean;
  /** Whether its last step failed on the way, which leaves its slot half-written. */
  broken: boolean;
  /** Whether the slot's logits are those of the token before `position`. */
  hasLogits: boolean;
  /** The last tokens, those that repetitionPenalty counts, in a ring by position; −1: none. */
  readonly recent: Int32Array;
  readonly random: Random;
  /** Of every logits row that chose a token since generation began. */
  hash: Xxh64;
}

/** Throws OptionError for a session whose slot may be another one's by now. */
export function requireOpen({ open }: SessionState): void {
  if (!open) throw new OptionError(mismatch("session", "one that is open", "one that was disposed meanwhile"));
}
