/** Of one number of rows the last steps are compared: so many at least, then as many as take so many ms, or so many. */
const COMPARED = 3;
const COMPARED_MS = 30;
const MOST_COMPARED = 64;
/**
 * Time between two trials, in ms: after a change; before the first one, while the engine compiles kernels; at most, while
 * nothing changes, with fewer threads and all.
 */
const SOONEST = 250;
const FIRST = 600;
const LATEST = 1000;
const LATEST_OF_ALL = 16_000;
/** A step may take so much of that time, unless steps with all threads have become slower than they were by SLOWER. */
const SHARE = 1 / 20;
const SLOWER = 1.4;
/**
 * Steps shorter than this, in ms, are tried some at a time, of which the first ones do not count: they wake threads that
 * sleep, which takes as long as such a step.
 */
const BRIEF = 5;
const BRIEF_STEPS = 9;
const WAKING_STEPS = 4;
/** Another number of threads is taken if it needs at most so much of the time. */
const BETTER = 0.9;
/** How much the least time of a step is forgotten with each: a longer text makes steps slower too. */
const FORGOTTEN = 1.005;

/** A number of threads that is being tried. */
interface Trial {
  readonly threads: number;
  /** What steps took before it, in ms. */
  readonly usual: number;
  /** Of its steps so far. */
  readonly times: number[];
}

/**
 * How many threads take part in a step, by what steps took: on a core that another process keeps busy a thread makes the
 * others wait at every barrier, so that fewer threads are faster. Now and then a step, or some short ones, is tried with
 * another number, rarely while that changes nothing, at once where steps have become slower. Changes no result.
 */
export class ThreadChoice {
  /** Threads that there are. */
  readonly most: number;
  readonly #now: () => number;
  #threads: number;
  #trial: Trial | undefined;
  #rows = 0;
  /** Times of the last steps of #rows rows with #threads threads, in ms, and the least of them and those before. */
  readonly #times = new Float64Array(MOST_COMPARED);
  #count = 0;
  #least = Infinity;
  /** The last ones that were slower than the least by SLOWER, one after the other. */
  #slow = { steps: 0, ms: 0 };
  #interval = FIRST;
  /** When something was tried last; at first, when steps began. */
  #tried: number | undefined;
  #trials = 0;
  /** Whether more threads are tried before fewer: as long as more are better. */
  #up = false;
  #begun = 0;

  /** `now`: a clock in ms. */
  constructor(most: number, now: () => number = () => performance.now()) {
    this.most = most;
    this.#now = now;
    this.#threads = most;
  }

  /** Begins a step of `rows` rows; returns the number of its threads. */
  begin(rows: number): number {
    if (rows !== this.#rows) {
      this.#rows = rows;
      this.#trial = undefined;
      this.#forget();
    }
    this.#begun = this.#now();
    this.#tried ??= this.#begun;
    if (!this.#trial && this.#isDue(this.#begun - this.#tried)) {
      this.#trial = { threads: this.#candidate(), usual: median(this.#recent()), times: [] };
    }
    return this.#trial?.threads ?? this.#threads;
  }

  /** Ends it. */
  end(): void {
    const time = this.#now() - this.#begun;
    if (this.#trial) this.#addTo(this.#trial, time);
    else this.#add(time);
  }

  #add(time: number): void {
    this.#times[this.#count++ % MOST_COMPARED] = time;
    const { steps, ms } = this.#slow;
    this.#slow = time > SLOWER * this.#least ? { steps: steps + 1, ms: ms + time } : { steps: 0, ms: 0 };
    this.#least = Math.min(time, this.#least * FORGOTTEN);
  }

  #addTo({ threads, usual, times }: Trial, time: number): void {
    times.push(time);
    const steps = usual < BRIEF ? BRIEF_STEPS : COMPARED;
    // Long steps are given up with the first that is no better, short ones once they took twice as long as all of them usually do.
    const spent = times.reduce((sum, one) => sum + one, 0);
    const hopeless = usual < BRIEF ? spent >= 2 * steps * usual : time >= BETTER * usual;
    if (times.length < steps && !hopeless) return;
    this.#trial = undefined;
    const better = !hopeless && median(times.slice(times.length > WAKING_STEPS ? WAKING_STEPS : 0)) < BETTER * usual;
    const latest = this.#threads < this.most ? LATEST : LATEST_OF_ALL;
    this.#interval = better ? SOONEST : Math.min(latest, 2 * this.#interval);
    this.#tried = this.#now();
    if (!better) return;
    this.#up = threads > this.#threads;
    this.#threads = threads;
    this.#trials = 0;
    this.#forget();
  }

  #forget(): void {
    this.#count = 0;
    this.#least = Infinity;
    this.#slow = { steps: 0, ms: 0 };
  }

  /** `since`: ms since the last trial. */
  #isDue(since: number): boolean {
    if (this.most === 1 || this.#count < COMPARED) return false;
    const { steps, ms } = this.#slow;
    if (this.#threads === this.most && areEnough(steps, ms)) {
      // Once: whether it was the threads is known behind the trial, and then these times are the usual ones.
      this.#least = median(this.#recent());
      this.#slow = { steps: 0, ms: 0 };
      this.#interval = SOONEST;
      this.#trials = 0;
      return true;
    }
    const last = this.#times[(this.#count - 1) % MOST_COMPARED] as number;
    return since >= Math.max(this.#interval, last / SHARE);
  }

  /** Times of the steps that are compared, the last one first. */
  #recent(): number[] {
    const recent: number[] = [];
    let sum = 0;
    while (recent.length < Math.min(this.#count, MOST_COMPARED) && !areEnough(recent.length, sum)) {
      const time = this.#times[(this.#count - 1 - recent.length) % MOST_COMPARED] as number;
      recent.push(time);
      sum += time;
    }
    return recent;
  }

  /** Half as many threads, one, or twice as many, in turn. */
  #candidate(): number {
    const threads = this.#threads;
    const fewer = [Math.ceil(threads / 2), 1];
    const more = Math.min(this.most, 2 * threads);
    const others = (this.#up ? [more, ...fewer] : [...fewer, more]).filter((other) => other !== threads);
    return others[this.#trials++ % others.length] as number;
  }
}

/** Whether so many steps, which took so many ms, say how long steps take: a core may be away for some ms. */
function areEnough(steps: number, ms: number): boolean {
  return steps >= COMPARED && (ms >= COMPARED_MS || steps >= MOST_COMPARED);
}

/** The one in the middle. */
function median(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[times.length >> 1] as number;
}
