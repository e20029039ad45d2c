import { type Automaton, DEAD } from "./automaton.ts";
import { PlainText } from "./plain.ts";
import type { TokenTrie, Tree } from "./trie.ts";

/** Bytes of masks that are kept for each definition, of whole ones and of those of short tokens. */
const MOST_BYTES = 2 ** 22;

/** Words of a mask over `tokens` tokens: bit id % 32 of word id >> 5. */
export function maskWords(tokens: number): number {
  return (tokens + 31) >> 5;
}

/** Which tokens an automaton's states allow, the last ones asked for kept. */
export class Masks {
  readonly #automaton: Automaton;
  readonly #trie: TokenTrie;
  readonly #stopTokens: readonly number[];
  readonly #plain: PlainText;
  /** By state, in the order of their last use: masks of the trie's first part, and of as many as there are. */
  readonly #kept: readonly Map<number, Uint32Array>[];
  /** i32[longest + 1]: the state before each depth of the walk. */
  readonly #path: Int32Array;
  /** That of an ended text: nothing but stop tokens. */
  readonly end: Uint32Array;
  #epoch = 0;

  constructor(automaton: Automaton, trie: TokenTrie, stopTokens: readonly number[]) {
    this.#automaton = automaton;
    this.#trie = trie;
    this.#stopTokens = stopTokens;
    this.#plain = new PlainText(automaton);
    this.#kept = trie.parts.map(() => new Map());
    this.#path = new Int32Array(trie.longest + 1);
    this.end = new Uint32Array(maskWords(trie.size));
    this.#setStops(this.end, true);
  }

  /** The mask of a state, u32[words], not to be changed. Stop tokens are allowed exactly where the text may end. */
  of(state: number): Uint32Array {
    if (this.#epoch !== this.#automaton.epoch) for (const kept of this.#kept) kept.clear();
    this.#epoch = this.#automaton.epoch;
    return this.#upTo(this.#trie.parts.length - 1, state);
  }

  /** The mask of a state with the tokens of part 0 to `last`. */
  #upTo(last: number, state: number): Uint32Array {
    const kept = this.#kept[last]!;
    const blurred = this.#automaton.blur(state, this.#trie.parts[last]!.longest);
    const mask = kept.get(blurred) ?? this.#make(last, blurred);
    kept.delete(blurred);
    kept.set(blurred, mask);
    if (kept.size * mask.byteLength > MOST_BYTES && kept.size > 1) kept.delete(kept.keys().next().value!);
    return mask;
  }

  #make(last: number, state: number): Uint32Array {
    const part = this.#trie.parts[last]!;
    const run = this.#plain.run(state, part.longest);
    const mask = run > 0 ? part.plain(run).slice() : new Uint32Array(maskWords(this.#trie.size));
    const shorter = last > 0 ? this.#upTo(last - 1, state) : [];
    for (let i = 0; i < shorter.length; i++) mask[i]! |= shorter[i]!;
    this.#walk(state, run < 0 ? part.all : part.others, mask);
    this.#setStops(mask, this.#automaton.accepts(state));
    return mask;
  }

  #setStops(mask: Uint32Array, accepts: boolean): void {
    for (const id of this.#stopTokens) {
      if (id >= this.#trie.size) continue;
      if (accepts) mask[id >> 5]! |= 1 << (id & 31);
      else mask[id >> 5]! &= ~(1 << (id & 31));
    }
  }

  #walk(state: number, tree: Tree, mask: Uint32Array): void {
    const automaton = this.#automaton;
    const { nodes, byte, depth, after, first, order } = tree;
    const { classes, classCount } = automaton;
    const path = this.#path;
    let { transitions } = automaton;
    path[0] = state;
    for (let node = 0; node < nodes; ) {
      const at = depth[node]!;
      const before = path[at]!;
      let next = transitions[before * classCount + classes[byte[node]!]!]!;
      if (next < DEAD) {
        next = automaton.step(before, byte[node]!);
        transitions = automaton.transitions;
      }
      if (next === DEAD) {
        node = after[node]!;
        continue;
      }
      path[at + 1] = next;
      const end = first[++node]!;
      for (let i = first[node - 1]!; i < end; i++) {
        const id = order[i]!;
        mask[id >> 5]! |= 1 << (id & 31);
      }
    }
  }
}
