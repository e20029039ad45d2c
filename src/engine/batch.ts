import { tick } from "../base/tick.ts";
import type { Machine, StepRow } from "../machine/machine.ts";
import { advance, requireOpen, type SessionState } from "./state.ts";

/** Tokens that a session reads, in as many steps as they take. */
export interface Work {
  readonly session: SessionState;
  /** At least one; all of them ids of the vocabulary. */
  readonly tokens: readonly number[];
  /** Whether the logits after token `index` are wanted. */
  wants(index: number): boolean;
  /** Whether token `index` attends middle tokens, where the policy has some. */
  asksMiddle(index: number): boolean;
  /** Before a step that reads some of the tokens. */
  readonly before?: ((rows: WorkRows) => void) | undefined;
  /**
   * After that step, with the session advanced. What the step computed lies in the memories until the first await; the
   * work's next step waits for what is returned.
   */
  readonly after?: ((rows: WorkRows) => void | Promise<void>) | undefined;
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
  /** The first one's number among the step's rows that want logits, and how many of them do. */
  readonly logitsRow: number;
  readonly logitsCount: number;
}

interface Queued {
  readonly work: Work;
  /** Tokens read so far. */
  read: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** A queued work and how many of its tokens the next step reads. */
interface Share {
  readonly queued: Queued;
  count: number;
}

/**
 * What an engine runs: steps that hold rows of every session which has tokens to read. Each of them gets one row, so one
 * that generates is never behind more than a chunk of another's prompt; the rest of the chunk is dealt evenly to those
 * with more tokens. Where a step has fewer rows than there are sessions, they take turns.
 */
export class Batch {
  readonly #machine: Machine;
  readonly #rows: number;
  readonly #logitsRows: number;
  #queue: Queued[] = [];
  #stepping = false;

  /** @param limits the rows that a step may have, and how many of them may want logits */
  constructor(machine: Machine, { rows, logitsRows }: { readonly rows: number; readonly logitsRows: number }) {
    this.#machine = machine;
    this.#rows = rows;
    this.#logitsRows = logitsRows;
  }

  /** Done when every token is read. On abort, or if the session is disposed of, what was read so far stays read. */
  run(work: Work): Promise<void> {
    return new Promise((resolve, reject) => this.#enqueue({ work, read: 0, resolve, reject }));
  }

  #enqueue(queued: Queued): void {
    this.#queue.push(queued);
    if (!this.#stepping) void this.#stepAll();
  }

  /** Steps until the queue is empty. */
  async #stepAll(): Promise<void> {
    this.#stepping = true;
    while (this.#queue.length > 0) {
      try {
        // Also lets those in who ask in the same turn of the event loop.
        await this.#machine.settled;
      } catch (error) {
        for (const { reject } of this.#queue.splice(0)) reject(error);
      }
      this.#dropEnded();
      if (this.#queue.length > 0) this.#step(this.#deal());
      // Aborts are heard here, and sessions whose token was just chosen ask for the next step.
      await tick();
    }
    this.#stepping = false;
  }

  /** Ends the works of sessions that were disposed of, and those that were aborted. */
  #dropEnded(): void {
    this.#queue = this.#queue.filter(({ work, reject }) => {
      try {
        work.signal?.throwIfAborted();
        requireOpen(work.session);
        return true;
      } catch (error) {
        reject(error);
        return false;
      }
    });
  }

  /** Which tokens the next step reads. Those that it serves go to the end of the queue. */
  #deal(): Share[] {
    const first = this.#queue[0] as Queued;
    const open = first.work.alone ? [first] : this.#queue.filter(({ work }) => !work.alone);
    const left = { rows: this.#rows, logitsRows: this.#logitsRows };
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
    const parts: { queued: Queued; rows: WorkRows }[] = [];
    const rows: StepRow[] = [];
    let logitsRow = 0;
    for (const { queued, count } of shares) {
      const mine = rowsOf(queued, count);
      const logitsCount = mine.filter(({ wantsLogits }) => wantsLogits).length;
      const { position } = queued.work.session;
      parts.push({ queued, rows: { index: queued.read, position, count, logitsRow, logitsCount } });
      rows.push(...mine);
      logitsRow += logitsCount;
    }
    for (const { queued, rows } of parts) queued.work.before?.(rows);
    for (const { queued } of parts) queued.work.session.broken = true;
    try {
      this.#machine.run(rows);
    } catch (error) {
      for (const { queued } of parts) this.#leave(queued, () => queued.reject(error));
      return;
    }
    for (const { queued, rows } of parts) {
      const { session, tokens } = queued.work;
      session.broken = false;
      advance(session, tokens.slice(rows.index, rows.index + rows.count));
      queued.read += rows.count;
    }
    for (const { queued, rows } of parts) this.#tell(queued, rows);
  }

  /** Hands the results of a step over. A work that takes its time is out of the queue meanwhile. */
  #tell(queued: Queued, rows: WorkRows): void {
    const { work, reject } = queued;
    const done = () => {
      if (queued.read === work.tokens.length) queued.resolve();
      else this.#enqueue(queued);
    };
    try {
      const busy = work.after?.(rows);
      if (busy) this.#leave(queued, () => busy.then(done, reject));
      else if (queued.read === work.tokens.length) this.#leave(queued, done);
    } catch (error) {
      this.#leave(queued, () => reject(error));
    }
  }

  #leave(queued: Queued, then: () => void): void {
    this.#queue = this.#queue.filter((other) => other !== queued);
    then();
  }
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

function rowsOf({ work, read }: Queued, count: number): StepRow[] {
  const { session, tokens } = work;
  return tokens.slice(read, read + count).map((token, i) => ({
    token,
    slot: session.slot,
    position: session.position + i,
    origin: session.origin,
    wantsLogits: work.wants(read + i),
    skipsMiddle: !work.asksMiddle(read + i),
  }));
}
