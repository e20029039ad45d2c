import { abortable, tick } from "../base/tick.ts";
import type { Machine, StepRow } from "../machine/machine.ts";
import type { Plan } from "../plan/plan.ts";
import { Pace } from "./pace.ts";
import { advance, requireOpen, type SessionState } from "./state.ts";
import { beginOf, kept, type TurnStarts } from "./turn_starts.ts";

/** Tokens that a session reads, in as many steps as they take. */
export interface Work {
  readonly session: SessionState;
  /** At least one; all of them ids of the vocabulary. */
  readonly tokens: readonly number[];
  /**
   * How many of them, at the end, are read only if there is room in the step that reads the one before them; the session
   * does not advance by them.
   */
  readonly drafts?: number | undefined;
  /** Indices of tokens that turns of a chat start with, ascending; undefined: these tokens belong to the turn before. */
  readonly turnStarts?: readonly number[] | undefined;
  /** Whether the logits after token `index` are wanted. */
  wants(index: number): boolean;
  /** Whether token `index` attends middle tokens, where the policy has some. */
  asksRecall(index: number): boolean;
  /** Before a step that reads some of the tokens. */
  readonly before?: ((rows: WorkRows) => void) | undefined;
  /**
   * After that step, with the session advanced. What the step computed lies in the memories until the first await; the
   * work's next step waits for what is returned.
   */
  readonly after?: ((rows: WorkRows) => void | Promise<void>) | undefined;
  /** Whether `after` reads hidden states, which are then past the final norm. */
  readonly takesHidden?: boolean | undefined;
  /** Whether its steps hold no rows of other sessions. */
  readonly alone?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The rows of a step that read tokens of one work. */
export interface WorkRows {
  /** The first one's index in the work's tokens, and its position. */
  readonly index: number;
  readonly position: number;
  readonly count: number;
  /** The first one's number among the step's rows. */
  readonly row: number;
  /** The first one's number among the step's rows that want logits, and how many of them do. */
  readonly logitsRow: number;
  readonly logitsCount: number;
}

interface Queued {
  readonly work: Work;
  /** Tokens read so far. */
  read: number;
  /** What `after` still waits for; the work is out of the queue meanwhile. */
  busy: Promise<void> | undefined;
  /** Why it will not go on. */
  failure: { readonly error: unknown } | undefined;
}

/** A queued work and how many of its tokens the next step reads. */
interface Share {
  readonly queued: Queued;
  count: number;
}

/**
 * What an engine runs: steps that hold rows of every session which has tokens to read. Each of them gets one row, so one
 * that generates is never behind more than a step of another's prompt, which is kept to about `targetGap` ms then; the rest of
 * the step is dealt evenly to those with more tokens. Where it has fewer rows than there are sessions, they take turns.
 *
 * There is no loop of its own: each caller waits for its work and makes the next step for all if it comes first. So a
 * caller that is gone does not stop the others (in workerd, what belongs to a request ends with it).
 */
export class Batch {
  readonly #machine: Machine;
  readonly #plan: Plan;
  readonly #pace: Pace;
  /** Whether a session had a single token to read in the last step, the one that it had chosen: it may be back in a moment. */
  #generates = false;
  #queue: Queued[] = [];
  /** Made so far. */
  #steps = 0;

  constructor(machine: Machine, plan: Plan) {
    this.#machine = machine;
    this.#plan = plan;
    this.#pace = new Pace(plan.options.targetGap);
  }

  /** Done when every token is read. On abort, or if the session is disposed of, what was read so far stays read. */
  async run(work: Work): Promise<void> {
    const queued: Queued = { work, read: 0, busy: undefined, failure: undefined };
    this.#queue.push(queued);
    try {
      while (!queued.failure && !isDone(queued)) {
        const steps = this.#steps;
        // Aborts are heard here, and sessions whose token was just chosen ask for the same step.
        await tick();
        await this.#machine.settled;
        if (this.#queue.includes(queued)) {
          work.signal?.throwIfAborted();
          requireOpen(work.session);
          // One step per turn of the event loop: another caller may have made it.
          if (this.#steps === steps) this.#stepForAll();
        }
        await this.#afterStep(queued);
      }
    } finally {
      this.#leave(queued);
    }
    if (queued.failure) throw queued.failure.error;
  }

  /** Makes a step for all whose sessions are open: the slots of others may be new sessions' by now. */
  #stepForAll(): void {
    for (const queued of this.#queue) {
      try {
        requireOpen(queued.work.session);
      } catch (error) {
        this.#fail(queued, error);
      }
    }
    this.#step(this.#deal());
  }

  /** Waits for what a work is busy with; if tokens are left, it is in the queue again. */
  async #afterStep(queued: Queued): Promise<void> {
    if (!queued.busy) return;
    await queued.busy;
    queued.busy = undefined;
    if (!isDone(queued)) this.#queue.push(queued);
  }

  /** Which tokens the next step reads. Those that it serves go to the end of the queue. */
  #deal(): Share[] {
    const first = this.#queue[0] as Queued;
    const open = first.work.alone ? [first] : this.#queue.filter(({ work }) => !work.alone);
    const { chunkSize, logitsRows } = this.#plan.options;
    const generates = open.some(({ work }) => neededOf(work) === 1);
    const rows = generates || this.#generates ? Math.max(open.length, this.#pace.rows) : chunkSize;
    this.#generates = generates;
    const left = { rows: Math.min(chunkSize, rows), logitsRows };
    const shares: Share[] = [];
    for (const queued of open) {
      const share = { queued, count: 0 };
      if (grow(share, 1, left)) shares.push(share);
    }
    const longer = shares.filter(({ queued: { work, read } }) => read + 1 < work.tokens.length);
    for (const [i, share] of longer.entries()) grow(share, Math.floor(left.rows / (longer.length - i)), left);
    // What the last of them did not need.
    for (const share of longer) grow(share, left.rows, left);
    const served = new Set(shares.map(({ queued }) => queued));
    this.#queue = [...this.#queue.filter((queued) => !served.has(queued)), ...served];
    return shares;
  }

  #step(shares: readonly Share[]): void {
    this.#steps++;
    const parts: { queued: Queued; rows: WorkRows }[] = [];
    const rows: StepRow[] = [];
    let logitsRow = 0;
    for (const { queued, count } of shares) {
      const mine = rowsOf(queued, count, this.#plan.policy.nLocal);
      const logitsCount = mine.filter(({ wantsLogits }) => wantsLogits).length;
      const { position } = queued.work.session;
      parts.push({ queued, rows: { index: queued.read, position, count, row: rows.length, logitsRow, logitsCount } });
      rows.push(...mine);
      logitsRow += logitsCount;
    }
    for (const { queued, rows } of parts) {
      queued.work.session.log?.seal(queued.work.session);
      queued.work.before?.(rows);
    }
    for (const { queued } of parts) queued.work.session.broken = true;
    try {
      const begun = performance.now();
      this.#machine.run(rows, (layer) => {
        for (const { queued, rows } of parts) {
          const { session } = queued.work;
          session.log?.gather(session, layer, { first: rows.row, count: rows.count, position: rows.position });
        }
      });
      this.#pace.took(rows.length, performance.now() - begun);
      if (parts.some(({ queued }) => queued.work.takesHidden)) this.#machine.runMore(this.#plan.hiddenStates);
    } catch (error) {
      for (const { queued } of parts) this.#fail(queued, error);
      return;
    }
    for (const { queued, rows } of parts) {
      const { session, tokens } = queued.work;
      // Otherwise what it holds is not what its log has.
      session.broken = session.log?.failure !== undefined;
      if (session.broken) {
        this.#fail(queued, session.log?.failure);
        continue;
      }
      const starts = startsWith(queued, rows.count);
      const needed = Math.min(rows.count, neededOf(queued.work) - rows.index);
      const { row: first, count } = rows;
      session.recalled.add(this.#plan, this.#machine.banks, { first, count, needed, position: session.position });
      advance(session, tokens.slice(rows.index, rows.index + needed));
      session.turnStarts = starts && kept(starts, session.position, this.#plan.policy.nLocal);
      queued.read += rows.count;
    }
    for (const { queued, rows } of parts) if (!queued.failure) this.#tell(queued, rows);
  }

  /** Hands the results of a step over. */
  #tell(queued: Queued, rows: WorkRows): void {
    try {
      const { session, signal } = queued.work;
      const { writing } = session.log ?? {};
      const busy = both(queued.work.after?.(rows) ?? undefined, writing && abortable(writing, signal));
      queued.busy = busy;
      // Its caller awaits it, perhaps later.
      busy?.catch(() => {});
      if (busy || isDone(queued)) this.#leave(queued);
    } catch (error) {
      this.#fail(queued, error);
    }
  }

  #fail(queued: Queued, error: unknown): void {
    queued.failure = { error };
    this.#leave(queued);
  }

  #leave(queued: Queued): void {
    this.#queue = this.#queue.filter((other) => other !== queued);
  }
}

/** Done when both are. */
function both(one: Promise<void> | undefined, other: Promise<void> | undefined): Promise<void> | undefined {
  return one && other ? Promise.all([one, other]).then(() => {}) : (one ?? other);
}

/** Tokens of a work that are no drafts. */
function neededOf({ tokens, drafts = 0 }: Work): number {
  return tokens.length - drafts;
}

function isDone({ work, read }: Queued): boolean {
  return read >= neededOf(work);
}

/** Adds up to `more` tokens to a share, as far as they and the rows last; whether it has any. */
function grow(share: Share, more: number, left: { rows: number; logitsRows: number }): boolean {
  const { work, read } = share.queued;
  for (let i = 0; i < more && left.rows > 0 && read + share.count < work.tokens.length; i++) {
    const wants = work.wants(read + share.count) ? 1 : 0;
    if (wants > left.logitsRows) break;
    left.rows--;
    left.logitsRows -= wants;
    share.count++;
  }
  return share.count > 0;
}

/** Where turns start, those included that the next `count` tokens start. */
function startsWith({ work: { session, turnStarts }, read }: Queued, count: number): TurnStarts {
  const more = turnStarts?.filter((index) => index >= read && index < read + count);
  return more
    ? [...(session.turnStarts ?? []), ...more.map((index) => session.position + index - read)]
    : session.turnStarts;
}

function rowsOf(queued: Queued, count: number, nLocal: number): StepRow[] {
  const { work, read } = queued;
  const { session, tokens } = work;
  const starts = startsWith(queued, count);
  return tokens.slice(read, read + count).map((token, i) => ({
    token,
    slot: session.slot,
    position: session.position + i,
    origin: session.origin,
    wantsLogits: work.wants(read + i),
    skipsRecall: !work.asksRecall(read + i),
    nGlobal: session.nGlobal,
    begin: beginOf(starts, { origin: session.origin, position: session.position + i, nLocal }),
  }));
}
