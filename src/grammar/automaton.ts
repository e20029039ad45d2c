import { mismatch, OptionError } from "../base/errors.ts";
import { type Edges, type Instruction, MOST_FRAMES, type Program } from "./program.ts";
import { Stacks } from "./stacks.ts";
import { type Ends, restoreEnds, STORED_LENGTH, storeEnds } from "./stored.ts";

/** No text goes on so. */
export const DEAD = -1;
const UNKNOWN = -2;
/** A place with a stack is one number: the place times this, and the stack. */
const STACKS = 2 ** 32;
/** What is behind the last edge of a place. */
const NO_EDGE: Edges[number] = [256, 256, DEAD];
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
  /** u8[256]: bytes of one class are not told apart anywhere. */
  readonly classes: Uint8Array;
  readonly classCount: number;
  /** How often all states were forgotten; numbers of another epoch mean nothing. */
  epoch = 0;
  #stacks = new Stacks();
  #states: State[] = [];
  /** By their places with stacks: one number, or the text of several. */
  #numbers = new Map<number | string, number>();
  /** By how many bytes are looked ahead, and by state. */
  #blurred = new Map<number, Map<number, number>>();
  /** i32[states, classes] */
  #transitions = new Int32Array(0);

  constructor(program: Program) {
    this.#program = program;
    [this.classes, this.classCount] = classesOf(program.instructions);
  }

  /** i32[states, classes]: the next state, DEAD, or one that `step` still has to find; grows with the states. */
  get transitions(): Int32Array {
    return this.#transitions;
  }

  /** Where a text starts. */
  start(): number {
    const state = this.#close([withStack(this.#program.start, 0)]);
    if (state !== DEAD) return state;
    throw new OptionError(mismatch("responseFormat", "fewer alternatives that begin at once", "too many"));
  }

  /** Whether the text may end in a state. */
  accepts(state: number): boolean {
    return this.#states[state]!.accepts;
  }

  /** The state behind a byte. */
  step(state: number, byte: number): number {
    const known = this.#transitions[state * this.classCount + this.classes[byte]!]!;
    return known === UNKNOWN ? this.#explore(state, byte) : known;
  }

  /** A state that is as this one for as many bytes, of which there are fewer: those of long repetitions are one. */
  blur(state: number, bytes: number): number {
    let all = this.#blurred.get(bytes);
    if (!all) this.#blurred.set(bytes, (all = new Map()));
    const known = all.get(state);
    if (known !== undefined) return known;
    const { places, stacks } = this.#states[state]!;
    const blurred = this.#make(places.map((place, i) => withStack(place, this.#stacks.blur(stacks[i]!, bytes))));
    all.set(state, blurred);
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
    const skipped = b.stacks.map((stack) => (stack === after ? last : stack));
    return { times, state: this.#make(b.places.map((place, i) => withStack(place, skipped[i]!))) };
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

  /** A state as numbers that mean the same in every epoch and process. */
  store(state: number): Int32Array {
    return storeEnds(this.#states[state]!, this.#stacks);
  }

  /** The state of such numbers. Throws ModelError if they are none of this program. */
  restore(numbers: Int32Array): number {
    const { places, stacks } = restoreEnds(numbers, this.#stacks, this.#program.instructions);
    return this.#make(places.map((place, i) => withStack(place, stacks[i]!)));
  }

  #edges(place: number): Edges {
    const instruction = this.#program.instructions[place]!;
    return instruction.op === "byte" ? instruction.edges : [];
  }

  /** Finds where a state goes by a byte, and by all bytes next to it that none of its places tells apart from it. */
  #explore(state: number, byte: number): number {
    const { places, stacks } = this.#states[state]!;
    const reached: number[] = [];
    let [low, high] = [0, 255];
    for (let i = 0; i < places.length; i++) {
      const edges = this.#edges(places[i]!);
      const at = edgeAt(edges, byte);
      const [first, last, to] = edges[at] ?? NO_EDGE;
      if (first <= byte) {
        reached.push(withStack(to, stacks[i]!));
        low = Math.max(low, first);
        high = Math.min(high, last);
      } else {
        if (at > 0) low = Math.max(low, edges[at - 1]![1] + 1);
        high = Math.min(high, first - 1);
      }
    }
    const next = this.#close(reached);
    const row = state * this.classCount;
    this.#transitions.fill(next, row + this.classes[low]!, row + this.classes[high]! + 1);
    return next;
  }

  /** The state of these places with stacks and all that can be reached from them without a byte. */
  #close(reached: number[]): number {
    // Most often one inside of a character.
    if (reached.length === 1 && this.#program.instructions[placeOf(reached[0]!)]!.op === "byte") {
      return this.#make(reached);
    }
    const seen = new Set<number>();
    const found: number[] = [];
    for (let next = reached.pop(); next !== undefined; next = reached.pop()) {
      if (seen.has(next)) continue;
      seen.add(next);
      const instruction = this.#program.instructions[placeOf(next)]!;
      if (instruction.op === "byte" || instruction.op === "accept") found.push(next);
      else this.#follow(instruction, placeOf(next), stackOf(next), reached);
    }
    return this.#make(found.sort((a, b) => a - b));
  }

  /** Adds where an instruction leads that reads nothing. */
  #follow(instruction: Instruction, place: number, stack: number, reached: number[]): void {
    const stacks = this.#stacks;
    const fits = (frames: number) => stacks.depth(stack) + frames <= MOST_FRAMES;
    switch (instruction.op) {
      case "split":
        for (const to of instruction.to) reached.push(withStack(to, stack));
        break;
      case "room":
        if (fits(instruction.frames)) reached.push(withStack(instruction.to, stack));
        break;
      case "call":
        if (fits(1)) reached.push(withStack(instruction.to, stacks.push(instruction.back, 0, 0, stack)));
        break;
      case "return": {
        const { place: back, below } = stacks.top(stack);
        if (back >= 0) reached.push(withStack(back, below));
        break;
      }
      case "repeat": {
        const { least, most, body, exit, frames } = instruction;
        if (least === 0) reached.push(withStack(exit, stack));
        if (fits(frames)) reached.push(withStack(body, stacks.push(place, Math.max(0, least - 1), most - 1, stack)));
        break;
      }
      case "again": {
        const { place: loop, least, most, below } = stacks.top(stack);
        const repeat = this.#program.instructions[loop];
        if (repeat?.op !== "repeat") break;
        if (least === 0) reached.push(withStack(repeat.exit, below));
        if (most > 0) reached.push(withStack(repeat.body, stacks.push(loop, Math.max(0, least - 1), most - 1, below)));
      }
    }
  }

  #make(ends: readonly number[]): number {
    if (ends.length === 0) return DEAD;
    const key = ends.length === 1 ? ends[0]! : ends.join();
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const [places, stacks] = [ends.map(placeOf), ends.map(stackOf)];
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

function withStack(place: number, stack: number): number {
  return place * STACKS + stack;
}

function placeOf(end: number): number {
  return Math.floor(end / STACKS);
}

function stackOf(end: number): number {
  return end % STACKS;
}

/** The first of a place's edges, which are in order and apart, that does not end before a byte. */
function edgeAt(edges: Edges, byte: number): number {
  let low = 0;
  for (let high = edges.length; low < high; ) {
    const middle = (low + high) >> 1;
    if (edges[middle]![1] < byte) low = middle + 1;
    else high = middle;
  }
  return low;
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
