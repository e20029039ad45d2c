import type { Plan } from "../plan/plan.ts";
import type { Work } from "./batch.ts";
import { type Caches, Displaced } from "./caches.ts";
import { forcedNext } from "./format.ts";
import { type Logits, nonFinite } from "./logits.ts";
import type { Choosing } from "./sampler.ts";
import { advance, type SessionState } from "./state.ts";

/** How many tokens at the end of a text have to be found in it, at least, and at least where the guess before was wrong. */
const MATCH = { least: 2, doubtful: 4 } as const;

/** The most tokens of a format that a step reads ahead: each keeps its logits, 1 MB of Gemma's. */
const MOST_FORCED = 4;

/** What a session's last step has read beyond its last token. */
interface Ahead {
  readonly displaced: Displaced;
  /** Tokens that were read, and the position of the first. */
  drafts: readonly number[];
  first: number;
  /** f32[drafts, vocab], and room for more: the logits after each of them. */
  rows: Float32Array;
  /** Of each, the first logit that is not finite; −1: none. */
  bad: number[];
  /** How many drafts the next step gets: it doubles where all of them were right, and shrinks where some were not. */
  most: number;
  /** How many tokens have to match: see MATCH. */
  match: number;
}

/**
 * Prompt lookup: a step reads not only the token that a session has chosen but also those that may be chosen next, because
 * they followed before or a format asks for them. To everyone else the session is as if they had not been read: one that is
 * chosen as it was guessed is taken over with the logits after it, the others are taken out of the cache again. So tokens,
 * logits and snapshots are those of a session that reads one by one. see: HF PromptLookupCandidateGenerator
 */
export class Lookup {
  readonly #plan: Plan;
  readonly #caches: Caches;
  readonly #logits: Logits;
  readonly #aheads = new WeakMap<SessionState, Ahead>();

  constructor(plan: Plan, caches: Caches, logits: Logits) {
    this.#plan = plan;
    this.#caches = caches;
    this.#logits = logits;
  }

  /** Makes the token that was chosen last a read one, if it was guessed. Throws ModelError if its logits are not finite. */
  take(session: SessionState): boolean {
    const ahead = this.#aheads.get(session);
    const { pending, position } = session;
    const index = position - (ahead?.first ?? 0);
    if (!ahead || index < 0 || ahead.drafts[index] !== pending) return false;
    advance(session, [pending]);
    session.recalled.take();
    const row = this.#row(ahead, index);
    const bad = ahead.bad[index] as number;
    if (bad >= 0) throw nonFinite(position, bad, row[bad] as number);
    this.#logits.give(session, row);
    return true;
  }

  /** Takes tokens that were guessed and not chosen out of the cache. */
  settle(session: SessionState): void {
    const ahead = this.#aheads.get(session);
    if (!ahead || ahead.drafts.length === 0) return;
    const right = session.position - ahead.first;
    ahead.most = right >= ahead.drafts.length ? 2 * right : Math.max(1, right);
    ahead.match = right > 0 ? MATCH.least : MATCH.doubtful;
    ahead.displaced.putBack(session, session.position);
    ahead.drafts = [];
  }

  /** The work that reads the token chosen last and, as far as a step has room for them, drafts; undefined if there are none. */
  work(session: SessionState, alone: Choosing | undefined): Work | undefined {
    const room = this.#room(session, alone);
    const { promptLookupNumTokens = 0 } = alone ?? session.generation.choosing;
    const lookedUp = Math.min(room, promptLookupNumTokens);
    const forced = alone ? [] : forcedNext(session, Math.min(room, MOST_FORCED));
    if (forced.length === 0 && lookedUp <= 0) return undefined;
    const ahead = this.#aheads.get(session) ?? this.#begin(session);
    const guesses = forced.length > 0 ? forced : draft(session, Math.min(lookedUp, ahead.most), ahead.match);
    // Nothing is chosen after a stop token.
    const { stopTokens } = alone ?? session.generation.choosing;
    const stop = guesses.findIndex((token) => stopTokens?.has(token));
    const drafts = stop < 0 ? guesses : guesses.slice(0, stop);
    return {
      session,
      tokens: [session.pending, ...drafts],
      drafts: drafts.length,
      wants: () => true,
      // Each of them may become the token of a call of its own.
      asksRecall: () => true,
      before: ({ position, count }) => ahead.displaced.keep(session, position + 1, count - 1),
      after: (rows) => {
        const count = rows.count - 1;
        Object.assign(ahead, { drafts: drafts.slice(0, count), first: rows.position + 1 });
        const size = count * this.#logits.size;
        if (ahead.rows.length < size) ahead.rows = new Float32Array(size);
        ahead.bad = Array.from({ length: count }, (_, i) => {
          this.#row(ahead, i).set(this.#logits.row(rows.logitsRow + 1 + i));
          return this.#logits.firstBad(rows.logitsRow + 1 + i);
        });
        this.#logits.keep(session, { ...rows, count: 1, logitsCount: 1 }, true);
      },
    };
  }

  /** How many drafts a step has room for: as many as may still be chosen and the cache has places for. */
  #room({ position, origin, generation }: SessionState, alone: Choosing | undefined): number {
    const { maxNewTokens = Infinity } = alone ?? generation.choosing;
    const length = position - origin + 1;
    const chosen = alone || generation.promptTokens < 0 ? 0 : length - generation.promptTokens;
    const { options, maxPositions } = this.#plan;
    const rows = Math.min(options.chunkSize, options.logitsRows, this.#caches.smallestRing);
    return Math.min(maxNewTokens - chosen - 1, maxPositions - length, rows - 1);
  }

  #row({ rows }: Ahead, index: number): Float32Array {
    const { size } = this.#logits;
    return rows.subarray(index * size, (index + 1) * size);
  }

  #begin(session: SessionState): Ahead {
    const displaced = new Displaced(this.#caches);
    const ahead = { displaced, drafts: [], first: 0, rows: new Float32Array(0), bad: [], most: 2, match: MATCH.least };
    this.#aheads.set(session, ahead);
    return ahead;
  }
}

/**
 * What may follow a session's text, the token that was chosen last included: what followed the last place that is as its
 * end, in as many tokens as possible and at least `least`; [] if there is none. A text that repeats itself without a gap goes on so.
 */
function draft({ recent, position, origin }: SessionState, count: number, least: number): number[] {
  const known = Math.min(position - origin + 1, recent.length);
  /** The token this many places before the last one. */
  const token = (back: number) => recent[(position - back) % recent.length] as number;
  let [best, distance] = [0, 0];
  for (let back = 1; back < known && best < MATCH.doubtful; back++) {
    let same = 0;
    while (same < MATCH.doubtful && back + same < known && token(back + same) === token(same)) same++;
    if (same > best) [best, distance] = [same, back];
  }
  if (best < least) return [];
  return Array.from({ length: count }, (_, i) => token(distance - 1 - (i % distance)));
}
