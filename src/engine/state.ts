import { mismatch, OptionError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import type { Grammar, GrammarState } from "../grammar/index.ts";
import type { Xxh64 } from "../machine/hash.ts";
import type { Plan } from "../plan/plan.ts";
import { NO_TAIL, type Tail } from "../tokenizer/shown_stops.ts";
import { TextStream } from "../tokenizer/stream.ts";
import type { Log } from "./log.ts";
import type { History } from "./processors.ts";
import { Recalled } from "./recalled.ts";
import { type Choosing, GREEDY } from "./sampler.ts";
import type { TurnStarts } from "./turn_starts.ts";

/** A grammar, and XXH64 of what it was compiled from, which tells grammars apart in snapshots. */
export interface Format {
  readonly grammar: Grammar;
  readonly hash: bigint;
}

/** How far a session's text has come in a grammar, by its hash; of constant size. */
export interface FormatState {
  readonly hash: bigint;
  /** Of the token that is chosen next, if nothing else is read before. */
  readonly position: number;
  readonly state: GrammarState;
}

/** What the tokens of a session are chosen by. */
export interface ChoosingState {
  readonly choosing: Choosing;
  /** What the text has to be, if anything is asked of it. */
  readonly format?: Format | undefined;
  /** Tokens of the session before the first that was chosen by it: the prompt. −1: none was chosen yet. */
  readonly promptTokens: number;
}

/** What the engine keeps of a session beside its slot. All of it is of constant size. */
export interface SessionState {
  readonly slot: number;
  /** Position of the first token. */
  readonly origin: number;
  /** How many of its first tokens are attended to wherever it is, as far as a layer's policy pins so many. */
  readonly nGlobal: number;
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
  /** The last repeatLastN tokens, those that choosing looks back at, in a ring by position; −1: none. */
  readonly recent: Int32Array;
  readonly random: Random;
  /** Of every logits row that chose a token since generation began. */
  hash: Xxh64;
  generation: ChoosingState;
  /** What was recalled since that began. */
  recalled: Recalled;
  turnStarts: TurnStarts;
  /** What it has read beyond its slot, under a policy that has one. */
  readonly log: Log | undefined;
  /** How far the last text has come of which a format was asked. */
  format: FormatState | undefined;
}

/**
 * What the next token is chosen by, and for which text. The prompt of a generation is all that the session holds when its
 * first token is chosen; a token that is chosen `alone` is a generation of its own.
 */
export function chosenBy(session: SessionState, alone: Choosing | undefined): [Choosing, History] {
  const { recent, position, origin, generation } = session;
  const length = position - origin;
  if (alone) return [alone, { recent, position, length, newTokens: 0 }];
  const promptTokens = generation.promptTokens < 0 ? length : generation.promptTokens;
  session.generation = { ...generation, promptTokens };
  return [generation.choosing, { recent, position, length, newTokens: length - promptTokens }];
}

/** How a session starts. */
export interface Start {
  /** Position of its first token. */
  readonly origin: number;
  readonly seed: number;
  readonly nGlobal: number;
  readonly log: Log | undefined;
}

/** Throws OptionError for numbers that no session of a plan can start with. */
export function checkStart({ origin, seed, nGlobal }: Omit<Start, "log">, { policy }: Plan): void {
  for (const [name, value] of Object.entries({ startPosition: origin, seed })) {
    if (Number.isSafeInteger(value) && value >= 0) continue;
    throw new OptionError(mismatch(name, "a whole number from 0 to 2^53 − 1", value));
  }
  if (Number.isInteger(nGlobal) && nGlobal >= 0 && nGlobal <= policy.nGlobal) return;
  throw new OptionError(mismatch("nGlobal", `a whole number from 0 to ${policy.nGlobal}, the model's`, nGlobal));
}

/** A session that has read nothing. */
export function started(slot: number, { origin, seed, nGlobal, log }: Start, plan: Plan, hash: Xxh64): SessionState {
  return {
    ...{ slot, origin, nGlobal, position: origin, pending: -1, open: true, broken: false, hasLogits: false, hash },
    recent: new Int32Array(plan.options.repeatLastN).fill(-1),
    random: { seed, counter: 0 },
    generation: { choosing: GREEDY, promptTokens: -1 },
    recalled: new Recalled(plan),
    turnStarts: undefined,
    format: undefined,
    log,
  };
}

/** The session is at its first token again. */
export function restart(session: SessionState): void {
  session.recent.fill(-1);
  session.log?.clear();
  Object.assign(session, {
    position: session.origin,
    pending: -1,
    hasLogits: false,
    turnStarts: undefined,
    format: undefined,
  });
}

/** The session has read these tokens; its slot is theirs already. */
export function advance(session: SessionState, tokens: readonly number[]): void {
  const { recent, position } = session;
  for (const [i, token] of tokens.entries()) recent[(position + i) % recent.length] = token;
  session.position += tokens.length;
  session.pending = -1;
  session.hasLogits = false;
}

/** Makes a token the session's last one, to be read by its next step. */
export function hold(session: SessionState, token: number): void {
  session.pending = token;
  session.recent[session.position % session.recent.length] = token;
}

/** Tokens of a session so far, the one included that was chosen last. */
export function lengthOf({ position, origin, pending }: SessionState): number {
  return position - origin + (pending >= 0 ? 1 : 0);
}

/** Throws OptionError for a session whose slot may be another one's by now. */
export function requireOpen({ open }: SessionState): void {
  if (!open) throw new OptionError("the session was disposed meanwhile");
}

/** Where a session is in a chat: in none, in an answer or behind it, or behind whole turns. */
export const TURNS = ["none", "answer", "turns"] as const;
/** One of TURNS. */
export type Turn = (typeof TURNS)[number];

/** What the text side of a session keeps, all of it of constant size. */
export interface TextState {
  /** State of a TextStream. */
  readonly stream: Int32Array;
  /** Text held back, as it may become a stop string. */
  readonly tail: Tail;
  readonly turn: Turn;
  /** The token that was read or chosen last; −1: none. */
  readonly lastToken: number;
}

/** That of a session whose text is of no interest. */
export const NO_TEXT: TextState = {
  stream: new Int32Array(TextStream.STATE_LENGTH).fill(-1),
  tail: NO_TAIL,
  turn: "none",
  lastToken: -1,
};
