/** The most points of a line; beyond it, neighbours are merged. */
const MOST = 600;
/** About how many tokens an average covers. */
const SPAN = 100;

/** A moving average of a value per token, as a line of bounded length. */
export class Series {
  /** The average after every `width` tokens, starting at `origin`. */
  readonly points: number[] = [];
  width = 1;
  #origin: number | undefined;
  #weight = 0;
  #sum = 0;

  /** Position of the first token. */
  get origin(): number {
    return this.#origin ?? 0;
  }

  /** The average now; NaN if there is none. */
  get latest(): number {
    return this.#sum / this.#weight;
  }

  push(position: number, value: number): void {
    this.#origin ??= position;
    const keep = 1 - 1 / SPAN;
    this.#sum = this.#sum * keep + value;
    this.#weight = this.#weight * keep + 1;
    this.points[Math.floor((position - this.#origin) / this.width)] = this.latest;
    if (this.points.length < MOST) return;
    for (let i = 0; i < MOST / 2; i++) this.points[i] = this.points[2 * i + 1] as number;
    this.points.length = MOST / 2;
    this.width *= 2;
  }
}
