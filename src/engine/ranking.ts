import { Survey } from "../../assembly/survey.ts";
import { exp, log } from "../base/math.ts";
import type { Scores, Sums } from "../machine/scores.ts";

const NOTHING: Sums = { weights: 0, logs: 0 };
const LARGEST = 3.4028234663852886e38;
/** How many tokens are looked for first, about. */
const FIRST = 64;
/** Each further stretch ends so much farther below the largest score, and after so many the rest is taken at once. */
const GROWTH = 1.25;
const STRETCHES = 12;

/**
 * The tokens that may be chosen, the most likely first, equal ones in the order of their ids. It sorts only as far as it is
 * asked: few of a large vocabulary matter. Weights are probabilities up to a common factor, e^((score − largest) /
 * temperature) in f64.
 */
export class Ranking {
  readonly #scores: Scores;
  readonly #largest: number;
  readonly #temperature: number;
  readonly #weights: Float64Array;
  #entries: Uint32Array;
  /** Tokens ranked so far. */
  #count = 0;
  /** All scores from here on are ranked; NaN: none. */
  #least = NaN;
  #gap = 0;
  #stretches = 0;

  /**
   * @param weights f64[vocab], written over
   * @param wanted about how many of them will be asked for; 0: not known
   */
  constructor(scores: Scores, weights: Float64Array, temperature: number, wanted: number) {
    this.#scores = scores;
    this.#weights = weights;
    this.#temperature = temperature;
    this.#entries = new Uint32Array(0);
    const maxima = scores.maxima.slice().sort();
    this.#largest = maxima.at(-1) as number;
    // As many blocks have a score of at least this.
    const reached = maxima.at(-Math.min(wanted || FIRST, maxima.length)) as number;
    this.#stretch(scores.size <= Survey.Block ? -LARGEST : reached);
  }

  get #complete(): boolean {
    return this.#least === -LARGEST;
  }

  /** Whether there is a token at this place. */
  has(place: number): boolean {
    while (place >= this.#count && !this.#complete) {
      this.#gap = Math.max(GROWTH * this.#gap, this.#temperature / 4);
      this.#stretch(++this.#stretches < STRETCHES ? this.#largest - this.#gap : -LARGEST);
    }
    return place < this.#count;
  }

  /** The token at a place that there is. */
  id(place: number): number {
    return this.#entries[2 * place] as number;
  }

  /** Its weight. */
  weight(place: number): number {
    return this.#weights[place] as number;
  }

  /** Σ w of the places from `from` to `to`; Infinity: to the end. */
  total(from: number, to: number): number {
    let sum = 0;
    for (let place = from; place < this.#end(to) && this.has(place); place++) sum += this.weight(place);
    return sum + this.#rest(to).weights;
  }

  /** Σ w · ln w of them. */
  logs(from: number, to: number): number {
    let sum = 0;
    for (let place = from; place < this.#end(to) && this.has(place); place++) {
      const weight = this.weight(place);
      if (weight > 0) sum += weight * log(weight);
    }
    return sum + this.#rest(to).logs;
  }

  /** Where adding up one by one ends: what is not ranked is added up by the kernels. */
  #end(to: number): number {
    return to === Infinity ? this.#count : to;
  }

  #rest(to: number): Sums {
    if (to < Infinity || this.#complete) return NOTHING;
    return this.#scores.below(this.#least, this.#largest, this.#temperature);
  }

  /** Ranks the scores from `least` on that are not ranked yet. */
  #stretch(least: number): void {
    const above = this.#least;
    this.#least = least > -LARGEST ? Math.fround(least) : -LARGEST;
    this.#gap = this.#largest - this.#least;
    this.#entries = this.#scores.rank(this.#least, above, this.#count);
    const scores = this.#scores.values;
    for (; 2 * this.#count < this.#entries.length; this.#count++) {
      const score = scores[this.id(this.#count)] as number;
      this.#weights[this.#count] = score === this.#largest ? 1 : exp((score - this.#largest) / this.#temperature);
    }
  }
}
