import { mismatch, OptionError } from "../base/errors.ts";
import type { CodePoints } from "./code_points.ts";
import type { Expression, Rules } from "./expression.ts";
import { depthOf, depthsOf, isCounted, isNullable, leftRecursive, nullablesOf } from "./rules.ts";
import { type ByteEdge, utf8Of } from "./utf8.ts";

/** The most frames of a stack: calls of rules and counted repetitions that are inside one another. */
export const MOST_FRAMES = 128;
/** The most instructions of a program. */
const MOST_INSTRUCTIONS = 50_000;

/** Bytes from `first` to `last` lead to a place; in order, and no two have a byte in common. */
export type Edges = readonly (readonly [first: number, last: number, to: number])[];

/** What an automaton does at a place of its program; numbers are places. */
export type Instruction =
  | { readonly op: "byte"; readonly edges: Edges }
  | { readonly op: "split"; to: readonly number[] }
  /** Goes on only if the stack has room for so many more frames. */
  | { readonly op: "room"; readonly to: number; readonly frames: number }
  | { readonly op: "call"; readonly to: number; readonly back: number }
  | { readonly op: "return" }
  /** A counted repetition: of a body that ends with `again` and needs so many frames, the repetition's own included. */
  | (Counts & { readonly op: "repeat"; body: number; readonly exit: number; readonly frames: number })
  | { readonly op: "again" }
  | { readonly op: "accept" };

interface Counts {
  readonly least: number;
  readonly most: number;
}

/** Rules as instructions: a text starts at place `start`. */
export interface Program {
  readonly instructions: readonly Instruction[];
  readonly start: number;
}

/**
 * Compiles rules to a pushdown automaton over bytes. Whatever it reads can be continued to a whole text: what leads nowhere
 * is left out, and what would nest deeper than MOST_FRAMES is not started. Throws OptionError for rules without a text,
 * for recursion on the left, and for programs that are too large.
 */
export function compileRules(rules: Rules): Program {
  const depths = depthsOf(rules);
  const [depth] = depths as [number];
  if (depth === Infinity) throw new OptionError(mismatch(rules.names[0]!, "what some text is", "what none is"));
  // The first rule is called, too.
  if (depth >= MOST_FRAMES) throw new OptionError(mismatch(rules.names[0]!, `less than ${MOST_FRAMES} levels`, depth));
  const nullables = nullablesOf(rules);
  const recursive = leftRecursive(rules, nullables);
  if (recursive >= 0) {
    throw new OptionError(mismatch(rules.names[recursive]!, "no reference to itself before any text", "one"));
  }
  return new Compiler(rules, depths, nullables).compile();
}

class Compiler {
  readonly #rules: Rules;
  readonly #depths: readonly number[];
  readonly #nullables: readonly boolean[];
  readonly #instructions: Instruction[] = [{ op: "return" }, { op: "again" }, { op: "accept" }];
  /** Where rules start, by number; those that were met and not compiled yet. */
  readonly #entries = new Map<number, number>();
  readonly #waiting: number[] = [];

  constructor(rules: Rules, depths: readonly number[], nullables: readonly boolean[]) {
    this.#rules = rules;
    this.#depths = depths;
    this.#nullables = nullables;
  }

  compile(): Program {
    const start = this.#emit({ kind: "rule", rule: 0 }, ACCEPT);
    for (let rule = this.#waiting.pop(); rule !== undefined; rule = this.#waiting.pop()) {
      this.#patch(this.#entries.get(rule)!, { to: [this.#emit(this.#rules.expressions[rule]!, RETURN)] });
    }
    return { instructions: this.#instructions, start };
  }

  #add(instruction: Instruction): number {
    if (this.#instructions.length < MOST_INSTRUCTIONS) return this.#instructions.push(instruction) - 1;
    throw new OptionError(mismatch(this.#rules.names[0]!, `at most ${MOST_INSTRUCTIONS} instructions`, "more"));
  }

  #patch(place: number, change: Partial<Instruction>): void {
    Object.assign(this.#instructions[place]!, change);
  }

  #entry(rule: number): number {
    const known = this.#entries.get(rule);
    if (known !== undefined) return known;
    const entry = this.#add({ op: "split", to: [] });
    this.#entries.set(rule, entry);
    this.#waiting.push(rule);
    return entry;
  }

  /** The place where an expression starts that goes on to `next`. */
  #emit(expression: Expression, next: number): number {
    switch (expression.kind) {
      case "set":
        return this.#set(expression.set, next);
      case "sequence":
        return expression.items.reduceRight((after, item) => this.#emit(item, after), next);
      case "choice":
        return this.#split(expression.items.map((item) => this.#perhaps(item, next)));
      case "repeat":
        return this.#repeat(expression, next);
      case "rule": {
        const to = this.#entry(expression.rule);
        // At the end of a rule nothing is left to come back to: lists by recursion do not nest.
        return next === RETURN ? to : this.#add({ op: "call", to, back: next });
      }
      case "machine":
        return this.#machine(expression, next);
    }
  }

  /** One of several ways, taken only if the stack has room for it; none if it leads nowhere. */
  #perhaps(expression: Expression, next: number): number | undefined {
    const frames = depthOf(expression, this.#depths, next === RETURN);
    if (frames === Infinity) return undefined;
    const to = this.#emit(expression, next);
    return frames > 0 ? this.#add({ op: "room", to, frames }) : to;
  }

  #split(ways: readonly (number | undefined)[]): number {
    const to = ways.filter((way) => way !== undefined);
    return to.length === 1 ? to[0]! : this.#add({ op: "split", to });
  }

  #repeat(repeated: Extract<Expression, { kind: "repeat" }>, next: number): number {
    const { item, most } = repeated;
    const depth = depthOf(item, this.#depths, false);
    if (depth === Infinity) return next;
    const isEmpty = isNullable(item, this.#nullables);
    const least = isEmpty ? 0 : repeated.least;
    if (!isCounted({ least, most })) {
      if (most === 1) return this.#split([least === 0 ? next : undefined, this.#perhaps(item, next)]);
      const loop = this.#add({ op: "split", to: [] });
      this.#patch(loop, { to: [next, this.#perhaps(item, loop)!] });
      return least === 0 ? loop : this.#emit(item, loop);
    }
    if (isEmpty) {
      throw new OptionError(mismatch(this.#rules.names[0]!, "no counted repetition of what may be empty", "one"));
    }
    const loop = this.#add({ op: "repeat", body: 0, exit: next, least, most, frames: 1 + depth });
    this.#patch(loop, { body: this.#emit(item, AGAIN) });
    return loop;
  }

  #machine({ states, write }: Extract<Expression, { kind: "machine" }>, next: number): number {
    const entries = states.map(() => this.#add({ op: "split", to: [] }));
    /** By target: what states have in common that lead there by the same characters. */
    const shared = states.map(() => new Map<CodePoints, number>());
    const move = (set: CodePoints, target: number): number => {
      const place = shared[target]!.get(set) ?? this.#emit(write(set), entries[target]!);
      shared[target]!.set(set, place);
      return place;
    };
    for (const [state, { accepts, moves }] of states.entries()) {
      const to = moves.map(([set, target]) => move(set, target));
      this.#patch(entries[state]!, { to: accepts ? [...to, next] : to });
    }
    return entries[0]!;
  }

  #set(set: CodePoints, next: number): number {
    const places: number[] = [];
    const edge = ([first, last, node]: ByteEdge) => [first, last, node < 0 ? next : places[node]!] as const;
    for (const edges of utf8Of(set)) places.push(this.#add({ op: "byte", edges: edges.map(edge) }));
    return places.at(-1)!;
  }
}

const RETURN = 0;
const AGAIN = 1;
const ACCEPT = 2;
