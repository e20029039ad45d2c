/** Finite automata over characters: what several conditions on one text have in common. */
import { type CodePoints, intersection, minus, union } from "./code_points.ts";
import type { Expression, MachineState } from "./expression.ts";

/** The most states of a machine. */
export const MOST_STATES = 4096;
/** The most steps to make one. */
const MOST_STEPS = 100_000;

/** A deterministic automaton; state 0 is the first. */
export type Machine = readonly MachineState[];

/** Says that a machine would be too large. */
export class TooLarge extends Error {}

/** A nondeterministic automaton in the making. */
interface Parts {
  readonly moves: (readonly [set: CodePoints, to: number])[][];
  readonly jumps: number[][];
}

/** The machine of an expression without rules. Throws TooLarge. */
export function machineOf(expression: Expression): Machine {
  const parts: Parts = { moves: [], jumps: [] };
  const add = (): number => {
    if (parts.moves.length > MOST_STEPS) throw new TooLarge();
    parts.jumps.push([]);
    return parts.moves.push([]) - 1;
  };
  const emit = (part: Expression, next: number): number => {
    const start = add();
    switch (part.kind) {
      case "set":
        parts.moves[start]!.push([part.set, next]);
        return start;
      case "sequence":
        return part.items.reduceRight((after, item) => emit(item, after), next);
      case "choice":
        parts.jumps[start]!.push(...part.items.map((item) => emit(item, next)));
        return start;
      case "repeat": {
        const { item, least, most } = part;
        if (least + (most === Infinity ? 0 : most) > MOST_STATES) throw new TooLarge();
        let after = next;
        if (most === Infinity) {
          parts.jumps[start]!.push(next, emit(item, start));
          after = start;
        } else {
          for (let i = least; i < most; i++) {
            const skip = add();
            parts.jumps[skip]!.push(next, emit(item, after));
            after = skip;
          }
        }
        for (let i = 0; i < least; i++) after = emit(item, after);
        return after;
      }
      default:
        throw new TooLarge();
    }
  };
  const end = add();
  const start = emit(expression, end);
  const cut = cutter(parts.moves.flatMap((ways) => ways.map(([set]) => set)));
  return explore([start], (places: readonly number[]) => {
    const open = closure(places, parts.jumps);
    const moves = cut(open.flatMap((place) => parts.moves[place]!));
    return { accepts: open.includes(end), moves };
  });
}

/** The machine of texts with so many characters. Throws TooLarge. */
export function lengthMachine(least: number, most: number, all: CodePoints): Machine {
  const last = most === Infinity ? least : most;
  if (last >= MOST_STATES) throw new TooLarge();
  return Array.from({ length: last + 1 }, (_, length) => {
    const next = length < last ? length + 1 : most === Infinity ? length : undefined;
    return { accepts: length >= least, moves: next === undefined ? [] : [[all, next] as const] };
  });
}

/** What both have in common; `inverted`: what the first has and the second has not. Throws TooLarge. */
export function common(a: Machine, b: Machine, inverted = false): Machine {
  // No text at all.
  if (a.length === 0) return a;
  // The state of the second is −1 where it has got stuck.
  return explore([0, 0], ([i, j]: readonly number[]) => {
    const [one, two] = [a[i!]!, b[j!]];
    const moves: (readonly [CodePoints, readonly number[]])[] = [];
    for (const [set, to] of one.moves) {
      for (const [other, target] of two?.moves ?? []) {
        const both = intersection(set, other);
        if (both.length > 0) moves.push([both, [to, target]]);
      }
      const rest = inverted ? minus(set, union(...(two?.moves ?? []).map(([other]) => other))) : [];
      if (rest.length > 0) moves.push([rest, [to, -1]]);
    }
    return { accepts: one.accepts && (two?.accepts ?? false) !== inverted, moves };
  });
}

/** Makes the states that can be reached, and leaves out those from which no text ends. */
function explore(
  start: readonly number[],
  visit: (key: readonly number[]) => {
    readonly accepts: boolean;
    readonly moves: readonly (readonly [CodePoints, readonly number[]])[];
  },
): Machine {
  const numbers = new Map([[start.join(), 0]]);
  const keys = [start];
  const states: MachineState[] = [];
  let steps = 0;
  for (let state = 0; state < keys.length; state++) {
    if (keys.length > MOST_STATES || steps > MOST_STEPS) throw new TooLarge();
    const { accepts, moves } = visit(keys[state]!);
    steps += moves.length;
    states.push({
      accepts,
      moves: moves.map(([set, key]) => {
        const name = key.join();
        if (!numbers.has(name)) numbers.set(name, keys.push(key) - 1);
        return [set, numbers.get(name)!];
      }),
    });
  }
  return trimmed(states);
}

function trimmed(states: readonly MachineState[]): Machine {
  const before: number[][] = states.map(() => []);
  for (const [from, { moves }] of states.entries()) for (const [, to] of moves) before[to]!.push(from);
  const alive = new Set(states.flatMap(({ accepts }, state) => (accepts ? [state] : [])));
  for (const state of alive) for (const from of before[state]!) alive.add(from);
  if (!alive.has(0)) return [];
  const numbers = new Map([...alive].sort((a, b) => a - b).map((state, number) => [state, number]));
  return [...numbers.keys()].map((state) => ({
    accepts: states[state]!.accepts,
    moves: states[state]!.moves.flatMap(([set, to]) => (alive.has(to) ? [[set, numbers.get(to)!] as const] : [])),
  }));
}

function closure(places: readonly number[], jumps: readonly (readonly number[])[]): number[] {
  const open = new Set(places);
  for (const place of open) for (const to of jumps[place]!) open.add(to);
  return [...open].sort((a, b) => a - b);
}

/** Makes of ways with sets that overlap ways with sets that do not, each to all places that a character leads to. */
function cutter(sets: readonly CodePoints[]) {
  const numbers = new Map([...new Set(sets)].map((set, number) => [set, number]));
  // Characters that are in the same sets belong together.
  const classes = partition([...numbers.keys()]);
  const unions = new Map<string, CodePoints>();
  const unionOf = (members: readonly number[]) => {
    const key = members.join();
    const known = unions.get(key) ?? union(...members.map((member) => classes[member]!.set));
    unions.set(key, known);
    return known;
  };
  return (ways: readonly (readonly [set: CodePoints, to: number])[]) => {
    const byTargets = new Map<string, { members: number[]; targets: number[] }>();
    for (const [member, { within }] of classes.entries()) {
      const reached = ways.flatMap(([set, to]) => (within.has(numbers.get(set)!) ? [to] : []));
      const targets = [...new Set(reached)].sort((a, b) => a - b);
      if (targets.length === 0) continue;
      const entry = byTargets.get(targets.join()) ?? { members: [], targets };
      byTargets.set(targets.join(), entry);
      entry.members.push(member);
    }
    return [...byTargets.values()].map(({ members, targets }) => [unionOf(members), targets] as const);
  };
}

/** Cuts sets into parts that do not overlap, each with the numbers of the sets that it is within. */
function partition(sets: readonly CodePoints[]): { readonly set: CodePoints; readonly within: ReadonlySet<number> }[] {
  const cuts = [...new Set(sets.flatMap((set) => set.flatMap(([first, last]) => [first, last + 1])))];
  cuts.sort((a, b) => a - b);
  const found = new Map<string, { set: [number, number][]; within: Set<number> }>();
  const places = sets.map(() => 0);
  for (const [i, first] of cuts.entries()) {
    const within: number[] = [];
    for (const [number, set] of sets.entries()) {
      while (places[number]! < set.length && set[places[number]!]![1] < first) places[number]!++;
      if (set[places[number]!] && set[places[number]!]![0] <= first) within.push(number);
    }
    if (within.length === 0) continue;
    const part = found.get(within.join()) ?? { set: [], within: new Set(within) };
    found.set(within.join(), part);
    part.set.push([first, cuts[i + 1]! - 1]);
  }
  return [...found.values()].map(({ set, within }) => ({ set: union(set), within }));
}
