import { type Edges, type Instruction, MOST_FRAMES, type Program } from "./program.ts";
import { Stacks } from "./stacks.ts";
import { type Ends, restoreEnds, STORED_LENGTH, storeEnds } from "./stored.ts";

/** No text goes on so. */
export const DEAD = -1;
const UNKNOWN = -2;
/** Edges that are searched one by one. */
const FEW = 16;
/** The most states that are kept; then all are forgotten but those in use. */
const MOST_STATES = 1 << 14;

/** The places that an automaton may be at, in ascending order. */
interface State extends Ends {
  readonly accepts: boolean;
}

/**
 * Runs a program on all ways at once. Its states are made when they are first met, and numbered; `transitions` has the next
 * one of each by class of bytes.
 */
export class Automaton {
  readonly #program: Program;
  /** The longest token in bytes: what `blur` looks ahead. */
  readonly #longest: number;
  /** u8[256]: bytes of one class are not told apart anywhere. */
  readonly classes: Uint8Array;
  readonly classCount: number;
  /** How often all states were forgotten; numbers of another epoch mean nothing. */
  epoch = 0;
  /** Of places with many edges: where each byte leads. */
  readonly #tables = new Map<number, number[][]>();
  #stacks = new Stacks();
  #states: State[] = [];
  #numbers = new Map<string, number>();
  /** States of one place, by stack and place. */
  #singles = new Map<number, number>();
  #blurred = new Map<number, number>();
  /** i32[states, classes] */
  #transitions = new Int32Array(0);

  constructor(program: Program, longest: number) {
    this.#program = program;
    this.#longest = longest;
    [this.classes, this.classCount] = classesOf(program.instructions);
  }

  /** i32[states, classes]: the next state, DEAD, or one that `step` still has to find; grows with the states. */
  get transitions(): Int32Array {
    return this.#transitions;
  }

  /** Where a text starts. */
  start(): number {
    return this.#close([[this.#program.start, 0]]);
  }

  /** Whether the text may end in a state. */
  accepts(state: number): boolean {
    return this.#states[state]!.accepts;
  }

  /** The state behind a byte. */
  step(state: number, byte: number): number {
    const at = state * this.classCount + this.classes[byte]!;
    const known = this.#transitions[at]!;
    if (known !== UNKNOWN) return known;
    const next = this.#next(state, byte);
    this.#transitions[at] = next;
    return next;
  }

  /** A state with the same next tokens, of which there are fewer: those of long repetitions are one. */
  blur(state: number): number {
    const known = this.#blurred.get(state);
    if (known !== undefined) return known;
    const { places, stacks } = this.#states[state]!;
    const blurred = this.#make(
      places,
      stacks.map((stack) => this.#stacks.blur(stack, this.#longest)),
    );
    this.#blurred.set(state, blurred);
    return blurred;
  }

  /**
   * Where more bytes lead that each do what some bytes did between two states: count an item of one repetition. They may
   * be repeated `times` until a bound is met; 0: they did something else.
   */
  repeated(from: number, to: number): { readonly times: number; readonly state: number } {
    const none = { times: 0, state: to };
    const [a, b] = [this.#states[from]!, this.#states[to]!];
    if (a.places.length !== b.places.length || !a.places.every((place, i) => place === b.places[i])) return none;
    const changed = b.stacks.findIndex((stack, i) => stack !== a.stacks[i]);
    if (changed < 0) return none;
    const [before, after] = [a.stacks[changed]!, b.stacks[changed]!];
    const [one, other] = [this.#stacks.top(before), this.#stacks.top(after)];
    const counts = one.place === other.place && one.below === other.below && other.most === one.most - 1;
    const same = b.stacks.every((stack, i) => (a.stacks[i] === before ? stack === after : stack === a.stacks[i]));
    if (!counts || !same || other.least !== Math.max(0, one.least - 1)) return none;
    const times = one.least === 0 ? other.most : Math.min(other.most, other.least);
    if (times === 0 || times === Infinity) return none;
    const last = this.#stacks.push(other.place, Math.max(0, other.least - times), other.most - times, other.below);
    return {
      times,
      state: this.#make(
        b.places,
        b.stacks.map((stack) => (stack === after ? last : stack)),
      ),
    };
  }

  /** The only byte that may follow; −1 if the text may end or several may follow. */
  onlyByte(state: number): number {
    const { places, accepts } = this.#states[state]!;
    let only = -1;
    for (const place of accepts ? [] : places) {
      for (const [first, last] of this.#edges(place)) {
        if (first !== last || (only >= 0 && first !== only)) return -1;
        only = first;
      }
    }
    return only;
  }

  /** Forgets all states, if there are too many; numbers from before are then of another epoch. */
  tidy(): void {
    if (this.#states.length < MOST_STATES) return;
    this.epoch++;
    this.#stacks = new Stacks();
    this.#states = [];
    this.#numbers = new Map();
    this.#singles = new Map();
    this.#blurred = new Map();
    this.#transitions = new Int32Array(0);
  }

  /** A state as numbers that mean the same in every epoch and process. */
  store(state: number): Int32Array {
    return storeEnds(this.#states[state]!, this.#stacks);
  }

  /** The state of such numbers. Throws ModelError if they are none of this program. */
  restore(numbers: Int32Array): number {
    const ends = restoreEnds(numbers, this.#stacks, this.#program.instructions);
    return this.#make(ends.places, ends.stacks);
  }

  #edges(place: number): Edges {
    const instruction = this.#program.instructions[place]!;
    return instruction.op === "byte" ? instruction.edges : [];
  }

  /** Where a place goes by a byte. */
  #targets(place: number, byte: number): readonly number[] {
    const edges = this.#edges(place);
    if (edges.length <= FEW) return edges.flatMap(([first, last, to]) => (byte >= first && byte <= last ? [to] : []));
    let table = this.#tables.get(place);
    if (!table) {
      table = Array.from({ length: 256 }, () => []);
      for (const [first, last, to] of edges) for (let byte = first; byte <= last; byte++) table[byte]!.push(to);
      this.#tables.set(place, table);
    }
    return table[byte]!;
  }

  #next(state: number, byte: number): number {
    const { places, stacks } = this.#states[state]!;
    const reached: [place: number, stack: number][] = [];
    for (const [i, place] of places.entries()) {
      for (const to of this.#targets(place, byte)) reached.push([to, stacks[i]!]);
    }
    if (reached.length === 0) return DEAD;
    // Most often inside of a character.
    const [[place, stack]] = reached as [[number, number]];
    if (reached.length > 1 || this.#program.instructions[place]!.op !== "byte") return this.#close(reached);
    const key = stack * this.#program.instructions.length + place;
    const known = this.#singles.get(key) ?? this.#make([place], [stack]);
    this.#singles.set(key, known);
    return known;
  }

  /** The state of these places and all that can be reached from them without a byte. */
  #close(reached: [place: number, stack: number][]): number {
    const size = this.#program.instructions.length;
    const seen = new Set<number>();
    const found: [place: number, stack: number][] = [];
    for (let next = reached.pop(); next; next = reached.pop()) {
      const [place, stack] = next;
      const key = stack * size + place;
      if (seen.has(key)) continue;
      seen.add(key);
      const instruction = this.#program.instructions[place]!;
      if (instruction.op === "byte" || instruction.op === "accept") found.push(next);
      else this.#follow(instruction, place, stack, reached);
    }
    found.sort(([a, b], [c, d]) => a - c || b - d);
    return this.#make(
      found.map(([place]) => place),
      found.map(([, stack]) => stack),
    );
  }

  /** Adds where an instruction leads that reads nothing. */
  #follow(instruction: Instruction, place: number, stack: number, reached: [place: number, stack: number][]): void {
    const stacks = this.#stacks;
    const fits = (frames: number) => stacks.depth(stack) + frames <= MOST_FRAMES;
    switch (instruction.op) {
      case "split":
        for (const to of instruction.to) reached.push([to, stack]);
        break;
      case "room":
        if (fits(instruction.frames)) reached.push([instruction.to, stack]);
        break;
      case "call":
        if (fits(1)) reached.push([instruction.to, stacks.push(instruction.back, 0, 0, stack)]);
        break;
      case "return": {
        const { place: back, below } = stacks.top(stack);
        if (back >= 0) reached.push([back, below]);
        break;
      }
      case "repeat": {
        const { least, most, body, exit, frames } = instruction;
        if (least === 0) reached.push([exit, stack]);
        if (fits(frames)) reached.push([body, stacks.push(place, Math.max(0, least - 1), most - 1, stack)]);
        break;
      }
      case "again": {
        const { place: loop, least, most, below } = stacks.top(stack);
        const repeat = this.#program.instructions[loop];
        if (repeat?.op !== "repeat") break;
        if (least === 0) reached.push([repeat.exit, below]);
        if (most > 0) reached.push([repeat.body, stacks.push(loop, Math.max(0, least - 1), most - 1, below)]);
      }
    }
  }

  #make(places: readonly number[], stacks: readonly number[]): number {
    if (places.length === 0) return DEAD;
    const key = `${places},${stacks}`;
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const accepts = places.some((place) => this.#program.instructions[place]!.op === "accept");
    const number = this.#states.push({ places, stacks, accepts }) - 1;
    if (this.#isTooLarge(number)) {
      this.#states.pop();
      this.#numbers.set(key, DEAD);
      return DEAD;
    }
    this.#numbers.set(key, number);
    const size = this.#states.length * this.classCount;
    if (size > this.#transitions.length) {
      const grown = new Int32Array(2 * size + 16 * this.classCount).fill(UNKNOWN);
      grown.set(this.#transitions);
      this.#transitions = grown;
    }
    return number;
  }

  /** Whether a state is so ambiguous that it could not be stored. */
  #isTooLarge(state: number): boolean {
    const { stacks } = this.#states[state]!;
    const most = stacks.reduce((sum, stack) => sum + 2 + 4 * this.#stacks.depth(stack), 2);
    return most > STORED_LENGTH && this.store(state).length > STORED_LENGTH;
  }
}

/** The class of each byte, and how many there are: bytes between the ends of all edges belong together. */
function classesOf(instructions: readonly Instruction[]): [classes: Uint8Array, count: number] {
  const starts = new Uint8Array(257);
  for (const instruction of instructions) {
    if (instruction.op !== "byte") continue;
    for (const [first, last] of instruction.edges) starts[first] = starts[last + 1] = 1;
  }
  const classes = new Uint8Array(256);
  for (let byte = 1; byte < 256; byte++) classes[byte] = classes[byte - 1]! + starts[byte]!;
  return [classes, classes[255]! + 1];
}
