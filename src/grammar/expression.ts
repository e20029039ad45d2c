import { type CodePoints, charactersOf, complement, contains, intersection, setOf } from "./code_points.ts";

/** A language of texts. */
export type Expression =
  | { readonly kind: "set"; readonly set: CodePoints }
  | { readonly kind: "sequence"; readonly items: readonly Expression[] }
  | { readonly kind: "choice"; readonly items: readonly Expression[] }
  | { readonly kind: "repeat"; readonly item: Expression; readonly least: number; readonly most: number }
  /** What the rule of this number is. */
  | { readonly kind: "rule"; readonly rule: number }
  /** A finite automaton over characters that starts in state 0; each of them is written as `write` says. */
  | { readonly kind: "machine"; readonly states: readonly MachineState[]; readonly write: Write };

/** A state of a finite automaton over characters. Every state leads to one that accepts. */
export interface MachineState {
  readonly accepts: boolean;
  readonly moves: readonly (readonly [set: CodePoints, to: number])[];
}

/** How the characters of a set are written. */
export type Write = (set: CodePoints) => Expression;

/** Expressions by number, the first of them is where a text starts; their names in errors. */
export interface Rules {
  readonly expressions: readonly Expression[];
  readonly names: readonly string[];
}

/** The empty text. */
export const EMPTY: Expression = { kind: "sequence", items: [] };
/** No text. */
export const NEVER: Expression = { kind: "choice", items: [] };

/** A character of a set. */
export const oneOf: Write = (set) => ({ kind: "set", set });

/** One behind the other. */
export function sequence(...items: readonly Expression[]): Expression {
  const flat = items.flatMap((item) => (item.kind === "sequence" ? item.items : [item]));
  if (flat.some(isNever)) return NEVER;
  return flat.length === 1 ? flat[0]! : { kind: "sequence", items: flat };
}

/** Any of these. */
export function choice(...items: readonly Expression[]): Expression {
  const flat = items.flatMap((item) => (item.kind === "choice" ? item.items : [item]));
  return flat.length === 1 ? flat[0]! : { kind: "choice", items: flat };
}

/** An item so many times. */
export function repeat(item: Expression, least: number, most: number): Expression {
  if (most < least) return NEVER;
  if (most === 0) return EMPTY;
  return least === 1 && most === 1 ? item : { kind: "repeat", item, least, most };
}

/** Perhaps an item. */
export function optional(item: Expression): Expression {
  return repeat(item, 0, 1);
}

/** Exactly this text, each character written as `write` says. */
export function literal(text: string, write: Write = oneOf): Expression {
  return sequence(...[...text].map((character) => write(charactersOf(character))));
}

/** Any of these texts, as the tree of their characters: however many there are, one place of it is enough. */
export function anyText(texts: Iterable<string>): Expression {
  const states: { accepts: boolean; moves: [set: CodePoints, to: number][] }[] = [{ accepts: false, moves: [] }];
  const children = new Map<string, number>();
  for (const text of texts) {
    let state = 0;
    for (const character of text) {
      const key = `${state} ${character}`;
      const known = children.get(key);
      const next = known ?? states.push({ accepts: false, moves: [] }) - 1;
      if (known === undefined) states[state]!.moves.push([charactersOf(character), next]);
      children.set(key, next);
      state = next;
    }
    states[state]!.accepts = true;
  }
  return states.length === 1 && !states[0]!.accepts ? NEVER : { kind: "machine", states, write: oneOf };
}

/** Rules of the texts that are by any of these. */
export function anyRules(all: readonly Rules[]): Rules {
  const firsts: Expression[] = [];
  const moved: Expression[] = [];
  for (const { expressions } of all) {
    // Behind the choice, which is the first.
    const rule = 1 + moved.length;
    firsts.push({ kind: "rule", rule });
    for (const one of expressions) moved.push(renumbered(one, rule));
  }
  return {
    expressions: [choice(...firsts), ...moved],
    names: ["responseFormat", ...all.flatMap(({ names }) => names)],
  };
}

/** An expression whose rules have numbers that are larger by `more`. */
function renumbered(expression: Expression, more: number): Expression {
  switch (expression.kind) {
    case "rule":
      return { ...expression, rule: expression.rule + more };
    case "repeat":
      return { ...expression, item: renumbered(expression.item, more) };
    case "sequence":
    case "choice":
      return { ...expression, items: expression.items.map((item) => renumbered(item, more)) };
    default:
      return expression;
  }
}

/** Whether no text at all is meant. */
export function isNever(expression: Expression): boolean {
  return expression.kind === "choice" && expression.items.length === 0;
}

const ESCAPED: readonly (readonly [character: string, letter: string])[] = [
  ['"', '"'],
  ["\\", "\\"],
  ["\b", "b"],
  ["\f", "f"],
  ["\n", "n"],
  ["\r", "r"],
  ["\t", "t"],
];
const CONTROLS = setOf([[0, 0x1f]]);
const PLAIN = complement([...CONTROLS, ...charactersOf('"\\')].sort(([a], [b]) => a - b));

const inJsonOf = new WeakMap<CodePoints, Expression>();

/** A character of a set inside a JSON string, as JSON.stringify writes it: in one way only. */
export const inJson: Write = (set) => {
  const known = inJsonOf.get(set) ?? escaping(set);
  inJsonOf.set(set, known);
  return known;
};

function escaping(set: CodePoints): Expression {
  const items: Expression[] = [];
  const plain = intersection(set, PLAIN);
  if (plain.length > 0) items.push(oneOf(plain));
  for (const [character, letter] of ESCAPED) {
    if (contains(set, character.charCodeAt(0))) items.push(literal(`\\${letter}`));
  }
  for (const high of [0, 1]) {
    const codes = Array.from({ length: 16 }, (_, low) => 16 * high + low);
    const left = codes.filter((code) => contains(set, code) && !ESCAPED.some(([one]) => one.charCodeAt(0) === code));
    const digits = left.map((code) => (code % 16).toString(16)).join("");
    if (digits !== "") items.push(sequence(literal(`\\u00${high}`), oneOf(charactersOf(digits))));
  }
  return choice(...items);
}

const HEX = setOf([
  [0x30, 0x39],
  [0x41, 0x46],
  [0x61, 0x66],
]);

/** Any character inside a JSON string, in any of the ways in which it can be written; one escape is one character. */
export const ANY_IN_JSON: Expression = choice(
  oneOf(PLAIN),
  sequence(
    literal("\\"),
    choice(
      oneOf(charactersOf('"\\/bfnrt')),
      sequence(
        literal("u"),
        choice(
          sequence(oneOf(charactersOf("0123456789abcefABCEF")), repeat(oneOf(HEX), 3, 3)),
          sequence(oneOf(charactersOf("dD")), oneOf(charactersOf("01234567")), repeat(oneOf(HEX), 2, 2)),
        ),
      ),
    ),
  ),
);
