/** Steps of one number of rows whose times are compared. */
const COMPARED = 3;
/** Time between two trials, in ms: at first and after a change; at most, while nothing changes, with fewer threads and all. */
const SOONEST = 250;
const LATEST = 1000;
const LATEST_OF_ALL = 16_000;
/** A step may take so much of that time, unless steps with all threads have become slower than they were by SLOWER. */
const SHARE = 1 / 20;
const SLOWER = 1.4;
/** Another number of threads is taken if it needs at most so much of the time. */
const BETTER = 0.9;
/** How much the least time of a step is forgotten with each: a longer text makes steps slower too. */
const FORGOTTEN = 1.005;

/**
 * How many threads take part in a step, by what steps took: on a core that another process keeps busy a thread makes the
 * others wait at every barrier, so that fewer threads are faster. Now and then one step is tried with another number, rarely while
 * that changes nothing, at once where steps have become slower. Changes no result.
 */
export class ThreadChoice {
  /** Threads that there are. */
  readonly most: number;
  readonly #now: () => number;
  #threads: number;
  #trial: number | undefined;
  #rows = 0;
  /** Times of the last steps of #rows rows with #threads threads, in ms, and the least of them and those before. */
  readonly #times = new Float64Array(COMPARED);
  #count = 0;
  #least = Infinity;
  #interval = SOONEST;
  #tried: number;
  #trials = 0;
  #begun = 0;

  /** `now`: a clock in ms. */
  constructor(most: number, now: () => number = () => performance.now()) {
    this.most = most;
    this.#now = now;
    this.#threads = most;
    this.#tried = now();
  }

  /** Begins a step of `rows` rows; returns the number of its threads. */
  begin(rows: number): number {
    if (rows !== this.#rows) {
      this.#rows = rows;
      this.#count = 0;
      this.#least = Infinity;
    }
    this.#begun = this.#now();
    this.#trial = this.#due() ? this.#candidate() : undefined;
    return this.#trial ?? this.#threads;
  }

  /** Ends it. */
  end(): void {
    const time = this.#now() - this.#begun;
    if (this.#trial === undefined) {
      this.#times[this.#count++ % COMPARED] = time;
      this.#least = Math.min(time, this.#least * FORGOTTEN);
      return;
    }
    const better = time < BETTER * median(this.#times);
    const latest = this.#threads < this.most ? LATEST : LATEST_OF_ALL;
    this.#interval = better ? SOONEST : Math.min(latest, 2 * this.#interval);
    this.#tried = this.#now();
    if (!better) return;
    this.#threads = this.#trial;
    this.#trials = 0;
    this.#count = 0;
    this.#least = Infinity;
  }

  #due(): boolean {
    if (this.most === 1 || this.#count < COMPARED) return false;
    const time = median(this.#times);
    if (this.#threads === this.most && this.#times.every((one) => one > SLOWER * this.#least)) {
      // Once: whether it was the threads is known behind the trial, and then these times are the usual ones.
      this.#least = time;
      this.#interval = SOONEST;
      return true;
    }
    return this.#now() - this.#tried >= Math.max(this.#interval, time / SHARE);
  }

  /** Half as many threads, one, or twice as many, in turn. */
  #candidate(): number {
    const threads = this.#threads;
    const others = [Math.ceil(threads / 2), 1, Math.min(this.most, 2 * threads)].filter((other) => other !== threads);
    return others[this.#trials++ % others.length] as number;
  }
}

/** The one in the middle of three. */
function median(times: Float64Array): number {
  const [a, b, c] = [times[0] as number, times[1] as number, times[2] as number];
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}
