/**
 * An entry of the heap: a merge's rank in the high part, the position of its left part in the low part of one exact
 * number.
 */
const POSITIONS = 2 ** 27;

/** Two adjacent tokens, and their product. */
export type Merge = readonly [left: string, right: string, product: string];

/** The most results that are cached; texts repeat their words. */
const REMEMBERED = 10_000;
/** Separates the parts of a key; each part is one character and an affix. */
const BETWEEN = "\0";

/**
 * Byte-pair merging: of all adjacent pairs that a merge joins, the one with the lowest rank is merged first, leftmost
 * first.
 */
export class Merger {
  /** Left part → right part → rank. */
  readonly #ranks = new Map<string, Map<string, number>>();
  readonly #products: readonly string[];
  readonly #remembered = new Map<string, readonly string[]>();

  /** `merges` in the order of their ranks; if a pair occurs twice the last one counts, as in Hugging Face. */
  constructor(merges: readonly Merge[]) {
    for (const [rank, [left, right]] of merges.entries()) {
      const rights = this.#ranks.get(left) ?? new Map<string, number>();
      this.#ranks.set(left, rights.set(right, rank));
    }
    this.#products = merges.map(([, , product]) => product);
  }

  /** The tokens that `parts` are merged into. */
  merge(parts: readonly string[]): readonly string[] {
    if (parts.length < 2) return parts;
    const key = parts.join(BETWEEN);
    let tokens = this.#remembered.get(key);
    if (!tokens) {
      tokens = this.#merged([...parts]);
      if (this.#remembered.size >= REMEMBERED) this.#remembered.clear();
      this.#remembered.set(key, tokens);
    }
    return tokens;
  }

  #merged(tokens: string[]): string[] {
    const end = tokens.length;
    const next = Int32Array.from(tokens, (_, i) => i + 1);
    const before = Int32Array.from(tokens, (_, i) => i - 1);
    /** The rank of the merge at a position with its right neighbour; -1: none. */
    const ranks = new Int32Array(end).fill(-1);
    const heap = new Heap();
    const look = (at: number) => {
      const right = next[at] as number;
      const rank = right < end ? this.#ranks.get(tokens[at] as string)?.get(tokens[right] as string) : undefined;
      ranks[at] = rank ?? -1;
      if (rank !== undefined) heap.push(rank * POSITIONS + at);
    };
    for (let at = 0; at < end; at++) look(at);
    for (let place = heap.pop(); place !== undefined; place = heap.pop()) {
      const at = place % POSITIONS;
      const rank = (place - at) / POSITIONS;
      if (ranks[at] !== rank) continue;
      const right = next[at] as number;
      tokens[at] = this.#products[rank] as string;
      tokens[right] = "";
      ranks[right] = -1;
      const after = (next[at] = next[right] as number);
      if (after < end) before[after] = at;
      look(at);
      if ((before[at] as number) >= 0) look(before[at] as number);
    }
    return tokens.filter((token) => token !== "");
  }
}

/** A heap of numbers with the smallest first. */
class Heap {
  readonly #values: number[] = [];

  push(value: number): void {
    const values = this.#values;
    let at = values.length;
    for (let up = (at - 1) >> 1; at > 0 && (values[up] as number) > value; up = (at - 1) >> 1) {
      values[at] = values[up] as number;
      at = up;
    }
    values[at] = value;
  }

  pop(): number | undefined {
    const values = this.#values;
    const first = values[0];
    const last = values.pop();
    if (last === undefined || values.length === 0) return first;
    let at = 0;
    for (let child = 1; child < values.length; child = 2 * at + 1) {
      if (child + 1 < values.length && (values[child + 1] as number) < (values[child] as number)) child++;
      if ((values[child] as number) >= last) break;
      values[at] = values[child] as number;
      at = child;
    }
    values[at] = last;
    return first;
  }
}
