import { ModelError, mismatch } from "../base/errors.ts";
import { type Edges, type Instruction, MOST_FRAMES, type Program } from "./program.ts";
import { Stacks } from "./stacks.ts";

/** No text goes on so. */
export const DEAD = -1;
const UNKNOWN = -2;
/** The most states that are kept; then all are forgotten but those in use. */
const MOST_STATES = 1 << 14;
/** The most numbers of a stored state: see Automaton.store. */
export const STORED_LENGTH = 2048;

/** The places that an automaton may be at, each with its stack, in ascending order. */
interface State {
  readonly places: readonly number[];
  readonly stacks: readonly number[];
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
  #stacks = new Stacks();
  #states: State[] = [];
  #numbers = new Map<string, number>();
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
    this.#blurred = new Map();
    this.#transitions = new Int32Array(0);
  }

  /** A state as numbers that mean the same in every epoch and process: frames, each below those above it, and places. */
  store(state: number): Int32Array {
    const { places, stacks } = this.#states[state]!;
    const frames = new Map<number, number>([[0, 0]]);
    const numbers: number[] = [];
    const visit = (stack: number): number => {
      const known = frames.get(stack);
      if (known !== undefined) return known;
      const { place, least, most, below } = this.#stacks.top(stack);
      numbers.push(place, stored(least), stored(most), visit(below));
      frames.set(stack, frames.size);
      return frames.size - 1;
    };
    const ends = places.flatMap((place, i) => [place, visit(stacks[i]!)]);
    return Int32Array.from([frames.size - 1, places.length, ...numbers, ...ends]);
  }

  /** The state of such numbers. Throws ModelError if they are none of this program. */
  restore(numbers: Int32Array): number {
    const [frameCount = 0, placeCount = 0] = numbers;
    const stacks = [0];
    const isPlace = (place: number) => place >= 0 && place < this.#program.instructions.length;
    let good = numbers.length === 2 + 4 * frameCount + 2 * placeCount && placeCount > 0;
    for (let i = 0, at = 2; good && i < frameCount; i++, at += 4) {
      const [place, least, most, below] = numbers.subarray(at, at + 4) as unknown as [number, number, number, number];
      good = isPlace(place) && least >= -1 && most >= -1 && stacks[below] !== undefined;
      if (good) stacks.push(this.#stacks.push(place, restored(least), restored(most), stacks[below]!));
    }
    const places: number[] = [];
    const tops: number[] = [];
    for (let i = 0, at = 2 + 4 * frameCount; good && i < placeCount; i++, at += 2) {
      const [place, stack] = [numbers[at]!, stacks[numbers[at + 1]!]];
      good =
        isPlace(place) && stack !== undefined && ["byte", "accept"].includes(this.#program.instructions[place]!.op);
      places.push(place);
      tops.push(stack!);
    }
    if (!good) throw new ModelError(mismatch("state of responseFormat", "one of this definition", "another"));
    return this.#make(places, tops);
  }

  #edges(place: number): Edges {
    const instruction = this.#program.instructions[place]!;
    return instruction.op === "byte" ? instruction.edges : [];
  }

  #next(state: number, byte: number): number {
    const { places, stacks } = this.#states[state]!;
    const reached: [place: number, stack: number][] = [];
    for (const [i, place] of places.entries()) {
      for (const [first, last, to] of this.#edges(place)) {
        if (byte >= first && byte <= last) reached.push([to, stacks[i]!]);
      }
    }
    return reached.length > 0 ? this.#close(reached) : DEAD;
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

function stored(count: number): number {
  return count === Infinity ? -1 : count;
}

function restored(count: number): number {
  return count === -1 ? Infinity : count;
}
