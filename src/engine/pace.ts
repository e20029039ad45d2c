/** Rows of a step before any was timed. */
const FIRST = 16;

/** How many rows a step may have to take about `target` ms, by what steps took. */
export class Pace {
  readonly #target: number;
  #rows = FIRST;

  constructor(target: number) {
    this.#target = target;
  }

  /** At least one. */
  get rows(): number {
    return Math.max(1, Math.floor(this.#rows));
  }

  /** A step of `rows` rows took `ms`. Steps of far fewer rows are ignored: they cost about what one row does. */
  took(rows: number, ms: number): void {
    if (2 * rows >= this.#rows) this.#rows = Math.max(1, rows * Math.min(2, this.#target / ms));
  }
}
