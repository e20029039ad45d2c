import type { Bank } from "../machine/bank.ts";
import type { Plan } from "../plan/plan.ts";

/** An earlier token that heads have attended to by recall. */
export interface RecalledToken {
  /** Its position in the session. */
  readonly position: number;
  /** Its share of the attention of all heads that recall, in the mean over the tokens that were read. */
  readonly weight: number;
}

/** Tokens that are remembered; beyond that the lighter half is forgotten. */
const MOST = 4096;

/** Which tokens the rows of a session have recalled since its generation began. */
export class Recalled {
  readonly #sums: Map<number, number>;
  /** Heads of all rows so far. */
  #heads: number;

  constructor(sums: ReadonlyMap<number, number> = new Map(), heads = 0) {
    this.#sums = new Map(sums);
    this.#heads = heads;
  }

  /** As it is now. */
  copy(): Recalled {
    return new Recalled(this.#sums, this.#heads);
  }

  /** Adds what `count` rows of a step have recalled, from its row `first` on; the first of them is at `position`. */
  add(plan: Plan, banks: readonly Bank[], first: number, count: number, position: number): void {
    const { recall } = plan.policy;
    for (const { bank, address, heads } of plan.chosen) {
      const numbers = 2 * heads * recall;
      const weights = (banks[bank] as Bank).floats(address + 4 * first * numbers, count * numbers);
      const distances = new Uint32Array(weights.buffer, weights.byteOffset, weights.length);
      for (let i = 0; i < weights.length; i += 2) {
        const distance = distances[i + 1] as number;
        if (distance === 0) continue;
        const at = position + Math.floor(i / numbers) - distance;
        this.#sums.set(at, (this.#sums.get(at) ?? 0) + (weights[i] as number));
      }
      this.#heads += count * heads;
    }
    if (this.#sums.size <= MOST) return;
    const heaviest = [...this.#sums].sort(([, a], [, b]) => b - a).slice(0, MOST / 2);
    this.#sums.clear();
    for (const [at, sum] of heaviest) this.#sums.set(at, sum);
  }

  /** The heaviest first, of equal ones the earlier. */
  get tokens(): RecalledToken[] {
    return [...this.#sums]
      .map(([position, sum]) => ({ position, weight: sum / this.#heads }))
      .sort((a, b) => b.weight - a.weight || a.position - b.position);
  }
}
