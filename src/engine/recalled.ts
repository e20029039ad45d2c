import type { Bank } from "../machine/bank.ts";
import type { Plan } from "../plan/plan.ts";

/** An earlier token that heads have attended to by recall. */
export interface RecalledToken {
  /** Its position in the session. */
  readonly position: number;
  /** Its share of the attention of all heads that recall, in the mean over the tokens that were read. */
  readonly weight: number;
}

/** Weights by position, added up over layers and heads. */
type Weights = Map<number, number>;

/** Tokens that are remembered; beyond that the lighter half is forgotten. */
const MOST = 4096;

/** Which tokens the rows of a session have recalled since its generation began: added up row by row, however they were read. */
export class Recalled {
  readonly #sums: Weights;
  #rows: number;
  /** Heads that look back. */
  readonly #heads: number;
  /** Of rows that were read ahead and may yet be taken out again, the next one first. */
  #ahead: Weights[] = [];

  constructor(plan: Plan, sums: Weights = new Map(), rows = 0) {
    this.#heads = plan.chosen.reduce((sum, { looking }) => sum + looking, 0);
    this.#sums = sums;
    this.#rows = rows;
  }

  /** As it is now, without what was read ahead. */
  copy(plan: Plan): Recalled {
    return new Recalled(plan, new Map(this.#sums), this.#rows);
  }

  /**
   * Adds `count` rows of a step, from its row `first` on; the first of them is at `position`. Those behind the first
   * `needed` ones were read ahead.
   */
  add(plan: Plan, banks: readonly Bank[], rows: StepRows): void {
    this.#ahead = [];
    if (this.#heads === 0) return;
    for (const [i, weights] of weightsOf(plan, banks, rows).entries()) {
      if (i < rows.needed) this.#addRow(weights);
      else this.#ahead.push(weights);
    }
  }

  /** The next row that was read ahead has been taken over. */
  take(): void {
    const next = this.#ahead.shift();
    if (next) this.#addRow(next);
  }

  #addRow(weights: Weights): void {
    for (const [position, weight] of weights) this.#sums.set(position, (this.#sums.get(position) ?? 0) + weight);
    this.#rows++;
    if (this.#sums.size <= MOST) return;
    const heaviest = [...this.#sums].sort(([, a], [, b]) => b - a).slice(0, MOST / 2);
    this.#sums.clear();
    for (const [position, sum] of heaviest) this.#sums.set(position, sum);
  }

  /** The heaviest first, of equal ones the earlier. */
  get tokens(): RecalledToken[] {
    return [...this.#sums]
      .map(([position, sum]) => ({ position, weight: sum / (this.#rows * this.#heads) }))
      .sort((a, b) => b.weight - a.weight || a.position - b.position);
  }
}

/** Rows of a session in a step. */
export interface StepRows {
  readonly first: number;
  readonly count: number;
  readonly needed: number;
  readonly position: number;
}

/** What each row has chosen. */
function weightsOf({ chosen, policy }: Plan, banks: readonly Bank[], { first, count, position }: StepRows): Weights[] {
  const rows = Array.from({ length: count }, (): Weights => new Map());
  for (const { bank, address, heads } of chosen) {
    const numbers = 2 * heads * policy.recall;
    const weights = (banks[bank] as Bank).floats(address + 4 * first * numbers, count * numbers);
    const distances = new Uint32Array(weights.buffer, weights.byteOffset, weights.length);
    for (let i = 0; i < weights.length; i += 2) {
      const weight = weights[i] as number;
      if (distances[i + 1] === 0 || weight === 0) continue;
      const row = Math.floor(i / numbers);
      const at = position + row - (distances[i + 1] as number);
      const own = rows[row] as Weights;
      own.set(at, (own.get(at) ?? 0) + weight);
    }
  }
  return rows;
}
