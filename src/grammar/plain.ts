/** Plain characters: what stands for itself in a JSON string. Most tokens have nothing else, and most states treat all alike. */
import { type Automaton, DEAD } from "./automaton.ts";

/** Not all plain characters lead to one state. */
export const MIXED = -3;
/** The most byte sequences that stand for all plain characters; with more of them, they are hardly treated alike. */
const MOST_SEQUENCES = 1024;

/** The bytes of plain characters by length. see: The Unicode Standard, table 3-7 */
const SHAPES: readonly (readonly (readonly [first: number, last: number])[])[] = [
  [[0x20, 0x21]],
  [[0x23, 0x5b]],
  [[0x5d, 0x7f]],
  [[0xc2, 0xdf], [0x80, 0xbf]], // biome-ignore format: a table
  [[0xe0, 0xe0], [0xa0, 0xbf], [0x80, 0xbf]], // biome-ignore format: a table
  [[0xe1, 0xec], [0x80, 0xbf], [0x80, 0xbf]], // biome-ignore format: a table
  [[0xed, 0xed], [0x80, 0x9f], [0x80, 0xbf]], // biome-ignore format: a table
  [[0xee, 0xef], [0x80, 0xbf], [0x80, 0xbf]], // biome-ignore format: a table
  [[0xf0, 0xf0], [0x90, 0xbf], [0x80, 0xbf], [0x80, 0xbf]], // biome-ignore format: a table
  [[0xf1, 0xf3], [0x80, 0xbf], [0x80, 0xbf], [0x80, 0xbf]], // biome-ignore format: a table
  [[0xf4, 0xf4], [0x80, 0x8f], [0x80, 0xbf], [0x80, 0xbf]], // biome-ignore format: a table
];

/** How many plain characters some bytes are; −1 if they are anything else, or end inside of a character. */
export function plainLength(bytes: Uint8Array, start: number, end: number): number {
  let count = 0;
  for (let at = start; at < end; count++) {
    const byte = bytes[at] as number;
    if (byte < 0x80) {
      if (byte < 0x20 || byte === 0x22 || byte === 0x5c) return -1;
      at++;
      continue;
    }
    const shape = SHAPES.find(([range]) => range !== undefined && byte >= range[0] && byte <= range[1]);
    if (!shape || at + shape.length > end) return -1;
    if (!shape.every(([first, last], i) => bytes[at + i]! >= first && bytes[at + i]! <= last)) return -1;
    at += shape.length;
  }
  return count;
}

/** What an automaton's states do with plain characters. */
export class PlainText {
  readonly #automaton: Automaton;
  /** Sequences of which each stands for those whose bytes are of the same classes. */
  readonly #sequences: readonly (readonly number[])[] | undefined;
  readonly #known = new Map<number, number>();
  #epoch = 0;

  constructor(automaton: Automaton) {
    this.#automaton = automaton;
    const { classes } = automaton;
    const firstOfEach = ([first, last]: readonly [number, number]) => {
      const bytes = Array.from({ length: last - first + 1 }, (_, i) => first + i);
      return bytes.filter((byte) => byte === first || classes[byte] !== classes[byte - 1]);
    };
    const sequences = SHAPES.flatMap((shape) =>
      shape.map(firstOfEach).reduce<number[][]>(
        (all, bytes) => {
          return all.length > MOST_SEQUENCES ? all : all.flatMap((before) => bytes.map((byte) => [...before, byte]));
        },
        [[]],
      ),
    );
    if (sequences.length <= MOST_SEQUENCES) this.#sequences = sequences;
  }

  /** The state behind one plain character, whichever it is; DEAD if none may follow, MIXED if it matters which. */
  next(state: number): number {
    if (!this.#sequences) return MIXED;
    if (this.#epoch !== this.#automaton.epoch) this.#known.clear();
    this.#epoch = this.#automaton.epoch;
    const known = this.#known.get(state);
    if (known !== undefined) return known;
    let common: number | undefined;
    for (const sequence of this.#sequences) {
      let to = state;
      for (const byte of sequence) to = to === DEAD ? DEAD : this.#automaton.step(to, byte);
      common ??= to;
      if (to === common) continue;
      common = MIXED;
      break;
    }
    this.#known.set(state, common!);
    return common!;
  }

  /** How many plain characters may follow in a row, whatever they are and no more than that; −1 if it matters which. */
  run(state: number, most: number): number {
    for (let count = 0; ; ) {
      const next = this.next(state);
      if (next === MIXED) return -1;
      if (next === state || count >= most) return most;
      if (next === DEAD) return count;
      const repeated = this.#automaton.repeated(state, next);
      count += 1 + repeated.times;
      state = repeated.state;
    }
  }
}
