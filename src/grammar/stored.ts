/** States of an automaton as numbers, for snapshots. */
import { ModelError, mismatch } from "../base/errors.ts";
import type { Instruction } from "./program.ts";
import type { Stacks } from "./stacks.ts";

/** The most numbers of a stored state. */
export const STORED_LENGTH = 2048;

/** Where a text is in its grammar; a value, which stays as it is. */
export interface GrammarState {
  /** i32[]: what `store` writes; empty behind the end of the text. */
  readonly numbers: Int32Array;
  /** The automaton's number of it, in an epoch; those of epoch −1 mean nothing. */
  readonly epoch: number;
  readonly state: number;
}

/** The state that a snapshot has the numbers of; whether they are any is seen when it is used. */
export function storedState(numbers: Int32Array): GrammarState {
  return { numbers, epoch: -1, state: -1 };
}

/** Places of a program, each with the number of its stack. */
export interface Ends {
  readonly places: readonly number[];
  readonly stacks: readonly number[];
}

/**
 * i32[2 + 4 frames + 2 places]: how many frames and places there are; of each frame its place, counts (−1: no bound) and
 * the number of the frame below, 0 for none, which comes first; each place and the number of the frame on top.
 */
export function storeEnds({ places, stacks: tops }: Ends, stacks: Stacks): Int32Array {
  const numbers: number[] = [];
  const known = new Map<number, number>([[0, 0]]);
  const numberOf = (stack: number): number => {
    const number = known.get(stack);
    if (number !== undefined) return number;
    const { place, least, most, below } = stacks.top(stack);
    numbers.push(place, bound(least), bound(most), numberOf(below));
    known.set(stack, known.size);
    return known.size - 1;
  };
  // From the bottom up, so that a frame is behind the one below it.
  const ends = places.flatMap((place, i) => [place, numberOf(tops[i]!)]);
  return Int32Array.from([known.size - 1, places.length, ...numbers, ...ends]);
}

/** What storeEnds was given. Throws ModelError for numbers that are no state of this program. */
export function restoreEnds(numbers: Int32Array, stacks: Stacks, instructions: readonly Instruction[]): Ends {
  const fail = () => new ModelError(mismatch("snapshot: format", "a state of this responseFormat", "another"));
  const [frameCount = 0, placeCount = 0] = numbers;
  const isLong = numbers.length === 2 + 4 * frameCount + 2 * placeCount;
  if (!isLong || frameCount < 0 || placeCount < 1) throw fail();
  const known = [0];
  for (let at = 2; at < 2 + 4 * frameCount; at += 4) {
    const [place, least, most, below] = numbers.subarray(at, at + 4) as unknown as [number, number, number, number];
    const isGood = instructions[place] && least >= -1 && most >= -1 && known[below] !== undefined;
    if (!isGood) throw fail();
    known.push(stacks.push(place, unbound(least), unbound(most), known[below]!));
  }
  const places: number[] = [];
  const tops: number[] = [];
  for (let at = 2 + 4 * frameCount; at < numbers.length; at += 2) {
    const [place, stack] = [numbers[at]!, known[numbers[at + 1]!]];
    if (!["byte", "accept"].includes(instructions[place]?.op ?? "") || stack === undefined) throw fail();
    places.push(place);
    tops.push(stack);
  }
  return { places, stacks: tops };
}

function bound(count: number): number {
  return count === Infinity ? -1 : count;
}

function unbound(count: number): number {
  return count === -1 ? Infinity : count;
}
