import type { Vocabulary } from "./vocabulary.ts";

/** Which adjacent tokens are merged, and in which order. Tokens are indexes into a vocabulary. */
export interface Merges {
  /** The merge of two tokens; -1 if there is none. */
  find(left: number, right: number): number;
  /** The token that a merge makes. */
  product(merge: number): number;
  /** Merges of a lower rank come first … */
  rank(merge: number): number;
  /** … and those of equal rank in the order of this number. */
  order(left: number, right: number): number;
}

/**
 * Merges in a list: the rank of each is its index. A merge is known by the token that it makes and by where that is cut in
 * two, so that reading a list of 10^5 need not look up both parts.
 */
export class MergeList implements Merges {
  readonly #vocab: Vocabulary;
  /** Bytes of the second token that its product does not have: the continuing_subword_prefix. */
  readonly #skip: number;
  #count = 0;
  #products: Int32Array;
  /** Bytes of the first part. */
  #cuts: Int32Array;
  /** [tokens + 1] into `#of`: the merges that make a token, the last one first. */
  #starts = new Int32Array(0);
  #of = new Int32Array(0);

  /** `capacity`: how many merges there is room for at first. */
  constructor(vocab: Vocabulary, capacity: number, skip = 0) {
    this.#vocab = vocab;
    this.#skip = skip;
    this.#products = new Int32Array(capacity);
    this.#cuts = new Int32Array(capacity);
  }

  /**
   * Appends the merge of two parts, [start, end) and [start2, end2), to what they make; false if that is no token. If a
   * pair occurs twice the last one counts, as in Hugging Face. A part that is no token never occurs.
   */
  add(bytes: Uint8Array, start: number, end: number, start2: number, end2: number): boolean {
    const merge = this.#count;
    // Lists are sorted by what they make.
    const guess = merge > 0 ? (this.#products[merge - 1] as number) : -1;
    const product = this.#vocab.indexOfBytes(bytes, start, end, start2, end2, guess);
    if (product < 0) return false;
    if (merge === this.#products.length) {
      this.#products = grown(this.#products);
      this.#cuts = grown(this.#cuts);
    }
    this.#products[merge] = product;
    this.#cuts[merge] = end - start;
    this.#count++;
    return true;
  }

  /** Makes the list ready for `find`. */
  complete(): this {
    const count = this.#count;
    const products = this.#products;
    const starts = new Int32Array(this.#vocab.table.count + 1);
    for (let merge = 0; merge < count; merge++) (starts[products[merge] as number] as number)++;
    for (let i = 1; i < starts.length; i++) (starts[i] as number) += starts[i - 1] as number;
    const of = new Int32Array(count);
    for (let merge = 0; merge < count; merge++) of[--(starts[products[merge] as number] as number)] = merge;
    [this.#starts, this.#of] = [starts, of];
    return this;
  }

  find(left: number, right: number): number {
    const product = this.#vocab.indexOfJoined(left, right, this.#skip);
    if (product < 0) return -1;
    const cut = this.#vocab.lengthAt(left);
    const end = this.#starts[product + 1] as number;
    for (let at = this.#starts[product] as number; at < end; at++) {
      const merge = this.#of[at] as number;
      if (this.#cuts[merge] === cut) return merge;
    }
    return -1;
  }

  product(merge: number): number {
    return this.#products[merge] as number;
  }

  rank(merge: number): number {
    return merge;
  }

  order(): number {
    return 0;
  }
}

/** A copy with twice the room. */
function grown(list: Int32Array): Int32Array {
  const larger = new Int32Array(2 * list.length);
  larger.set(list);
  return larger;
}

/**
 * Merges that SentencePiece's scores stand for, without a list: two tokens are merged if the vocabulary has what they
 * make, the best score first, then the lower index at the left, then at the right. These are the merges of the
 * tokenizer.json that Hugging Face makes of such a vocabulary, in its order.
 */
export class ScoredMerges implements Merges {
  readonly #vocab: Vocabulary;
  readonly #scores: Float32Array;
  readonly #mergeable: (token: number) => boolean;

  /** `scores` by index; `mergeable`: whether merges may make a token. */
  constructor(vocab: Vocabulary, scores: Float32Array, mergeable: (token: number) => boolean) {
    this.#vocab = vocab;
    this.#scores = scores;
    this.#mergeable = mergeable;
  }

  find(left: number, right: number): number {
    const product = this.#vocab.indexOfJoined(left, right, 0);
    return product >= 0 && this.#mergeable(product) ? product : -1;
  }

  product(merge: number): number {
    return merge;
  }

  rank(merge: number): number {
    return -(this.#scores[merge] as number);
  }

  order(left: number, right: number): number {
    return left * 2 ** 24 + right;
  }
}

/**
 * Byte-pair merging: of all adjacent pairs that a merge joins, the one with the lowest rank is merged first, leftmost
 * first.
 */
export class Merger {
  readonly #merges: Merges;
  readonly #next: Int32Array;
  readonly #before: Int32Array;
  /** The merge at a position with its right neighbour; -1: none. */
  readonly #found: Int32Array;
  readonly #queue = new Queue();

  /** `capacity`: for more tokens than this, each time memory is allocated. */
  constructor(merges: Merges, capacity = 1024) {
    this.#merges = merges;
    this.#next = new Int32Array(capacity);
    this.#before = new Int32Array(capacity);
    this.#found = new Int32Array(capacity);
  }

  /** Merges the first `count` of `tokens`, in place; returns how many are left. Negative ones are never merged. */
  merge(tokens: Int32Array, count: number): number {
    if (count < 2) return count;
    if (count > this.#next.length) return new Merger(this.#merges, count).merge(tokens, count);
    const [next, before, found, queue] = [this.#next, this.#before, this.#found, this.#queue];
    for (let at = 0; at < count; at++) {
      next[at] = at + 1;
      before[at] = at - 1;
    }
    for (let at = 0; at < count; at++) this.#look(tokens, at, count);
    while (queue.take()) {
      const { at, merge } = queue;
      if (found[at] !== merge) continue;
      const right = next[at] as number;
      tokens[at] = this.#merges.product(merge);
      found[right] = -1;
      next[at] = next[right] as number;
      if ((next[at] as number) < count) before[next[at] as number] = at;
      this.#look(tokens, at, count);
      if ((before[at] as number) >= 0) this.#look(tokens, before[at] as number, count);
    }
    let left = 0;
    for (let at = 0; at < count; at = next[at] as number) tokens[left++] = tokens[at] as number;
    return left;
  }

  #look(tokens: Int32Array, at: number, count: number): void {
    const next = this.#next[at] as number;
    const left = tokens[at] as number;
    const right = next < count ? (tokens[next] as number) : -1;
    const merge = left >= 0 && right >= 0 ? this.#merges.find(left, right) : -1;
    this.#found[at] = merge;
    if (merge >= 0) this.#queue.put(at, merge, this.#merges.rank(merge), this.#merges.order(left, right));
  }
}

/** A heap of merges at positions, the first to do first. */
class Queue {
  /** Of the one that was taken last. */
  at = 0;
  merge = 0;
  #size = 0;
  #capacity = 64;
  #ats = new Int32Array(64);
  #merges = new Int32Array(64);
  #ranks = new Float64Array(64);
  #orders = new Float64Array(64);

  put(at: number, merge: number, rank: number, order: number): void {
    if (this.#size === this.#capacity) this.#grow();
    let to = this.#size++;
    for (let up = (to - 1) >> 1; to > 0 && !this.#isBefore(up, rank, order, at); up = (to - 1) >> 1) {
      this.#move(up, to);
      to = up;
    }
    this.#set(to, at, merge, rank, order);
  }

  /** Removes the first one; false if there is none. */
  take(): boolean {
    if (this.#size === 0) return false;
    this.at = this.#ats[0] as number;
    this.merge = this.#merges[0] as number;
    const last = --this.#size;
    const [at, rank, order] = [this.#ats[last] as number, this.#ranks[last] as number, this.#orders[last] as number];
    let to = 0;
    for (let child = 1; child < last; child = 2 * to + 1) {
      if (child + 1 < last && this.#isBefore(child + 1, this.#ranks[child]!, this.#orders[child]!, this.#ats[child]!))
        child++;
      if (!this.#isBefore(child, rank, order, at)) break;
      this.#move(child, to);
      to = child;
    }
    this.#set(to, at, this.#merges[last] as number, rank, order);
    return true;
  }

  #isBefore(entry: number, rank: number, order: number, at: number): boolean {
    const own = this.#ranks[entry] as number;
    if (own !== rank) return own < rank;
    const ownOrder = this.#orders[entry] as number;
    return ownOrder !== order ? ownOrder < order : (this.#ats[entry] as number) < at;
  }

  #move(from: number, to: number): void {
    this.#set(to, this.#ats[from]!, this.#merges[from]!, this.#ranks[from]!, this.#orders[from]!);
  }

  #set(to: number, at: number, merge: number, rank: number, order: number): void {
    this.#ats[to] = at;
    this.#merges[to] = merge;
    this.#ranks[to] = rank;
    this.#orders[to] = order;
  }

  #grow(): void {
    this.#capacity *= 2;
    const copy = <T extends Int32Array | Float64Array>(old: T, grown: T): T => {
      grown.set(old);
      return grown;
    };
    this.#ats = copy(this.#ats, new Int32Array(this.#capacity));
    this.#merges = copy(this.#merges, new Int32Array(this.#capacity));
    this.#ranks = copy(this.#ranks, new Float64Array(this.#capacity));
    this.#orders = copy(this.#orders, new Float64Array(this.#capacity));
  }
}
