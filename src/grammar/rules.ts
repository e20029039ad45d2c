/** What is known of rules before they are compiled. */
import { type Expression, isNever, type Rules } from "./expression.ts";

/** Frames that the shallowest text of each rule needs on a stack; Infinity: it has no text. */
export function depthsOf({ expressions }: Rules): number[] {
  const depths = expressions.map(() => Infinity);
  for (let changed = true; changed; ) {
    changed = false;
    // Rules refer to later ones more often than to earlier ones.
    for (let rule = expressions.length - 1; rule >= 0; rule--) {
      const depth = depthOf(expressions[rule]!, depths, true);
      if (depth >= depths[rule]!) continue;
      depths[rule] = depth;
      changed = true;
    }
  }
  return depths;
}

/** The same of an expression over rules of these depths. `last`: at the end of a rule, where a rule needs no frame. */
export function depthOf(expression: Expression, depths: readonly number[], last: boolean): number {
  switch (expression.kind) {
    case "set":
      return expression.set.length > 0 ? 0 : Infinity;
    case "sequence": {
      const { items } = expression;
      return items.reduce((most, item, i) => Math.max(most, depthOf(item, depths, last && i === items.length - 1)), 0);
    }
    case "choice":
      return expression.items.reduce((least, item) => Math.min(least, depthOf(item, depths, last)), Infinity);
    case "repeat": {
      if (expression.least === 0) return 0;
      const depth = depthOf(expression.item, depths, last && expression.most === 1);
      return isCounted(expression) ? 1 + depth : depth;
    }
    case "rule":
      return depths[expression.rule]! + (last ? 0 : 1);
    case "machine":
      return expression.states.length > 0 ? 0 : Infinity;
  }
}

/** Whether an automaton has to count the items of a repetition. */
export function isCounted({ least, most }: { readonly least: number; readonly most: number }): boolean {
  return most === Infinity ? least > 1 : most > 1;
}

/** Whether each rule has the empty text. */
export function nullablesOf({ expressions }: Rules): boolean[] {
  const nullables = expressions.map(() => false);
  for (let changed = true; changed; ) {
    changed = false;
    for (const [rule, expression] of expressions.entries()) {
      if (nullables[rule] || !isNullable(expression, nullables)) continue;
      nullables[rule] = changed = true;
    }
  }
  return nullables;
}

/** The same of an expression over such rules. */
export function isNullable(expression: Expression, nullables: readonly boolean[]): boolean {
  switch (expression.kind) {
    case "set":
      return false;
    case "sequence":
      return expression.items.every((item) => isNullable(item, nullables));
    case "choice":
      return expression.items.some((item) => isNullable(item, nullables));
    case "repeat":
      return expression.least === 0 || isNullable(expression.item, nullables);
    case "rule":
      return nullables[expression.rule]!;
    case "machine":
      return expression.states[0]?.accepts ?? false;
  }
}

/** A rule that refers to itself before it has read anything; −1 if there is none. */
export function leftRecursive({ expressions }: Rules, nullables: readonly boolean[]): number {
  const firsts = expressions.map((expression) => [...new Set(startsOf(expression, nullables))]);
  const done = new Uint8Array(expressions.length);
  for (const root of expressions.keys()) {
    // Each entry: a rule under way, and how many of those that it starts with were looked at.
    const path: [rule: number, next: number][] = done[root] ? [] : [[root, 0]];
    while (path.length > 0) {
      const top = path.at(-1)!;
      const [rule, next] = top;
      done[rule] = 1;
      const first = firsts[rule]![next];
      if (first === undefined) {
        done[rule] = 2;
        path.pop();
        continue;
      }
      top[1]++;
      if (done[first] === 1) return first;
      if (done[first] === 0) path.push([first, 0]);
    }
  }
  return -1;
}

/** The rules that an expression may start with. */
function startsOf(expression: Expression, nullables: readonly boolean[]): number[] {
  switch (expression.kind) {
    case "set":
    case "machine":
      return [];
    case "rule":
      return [expression.rule];
    case "choice":
      return expression.items.flatMap((item) => startsOf(item, nullables));
    case "repeat":
      return startsOf(expression.item, nullables);
    case "sequence": {
      const last = expression.items.findIndex((item) => !isNullable(item, nullables));
      const starts = last < 0 ? expression.items : expression.items.slice(0, last + 1);
      return isNever(expression) ? [] : starts.flatMap((item) => startsOf(item, nullables));
    }
  }
}
