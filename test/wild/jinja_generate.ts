/** Templates made at random out of everything that constructs.ts has: what happens where two things meet. */
import { VARIABLES } from "../jinja/constructs.ts";

const ATOMS = [
  "0",
  "1",
  "-2",
  "7",
  "2.5",
  "1.0",
  "'a'",
  "'Ab c'",
  "''",
  "'é🎈'",
  "none",
  "true",
  "false",
  "[]",
  "{}",
  "(1, 2)",
];
const NAMES = [
  ...Object.keys(VARIABLES),
  "missing",
  "l[0]",
  "d.a",
  "nested[0].name",
  "nested[1].tags",
  "range(3)",
  "d.items()",
  "s[1:]",
  "l[::-1]",
  "odd[:-2]",
];
const FILTERS = [
  "upper",
  "lower",
  "title",
  "trim",
  "length",
  "first",
  "last",
  "list",
  "string",
  "int",
  "float",
  "join",
  "join('-')",
];
const MORE_FILTERS = [
  "sort",
  "unique|list",
  "reverse|list",
  "tojson",
  "default('d')",
  "default('d', true)",
  "abs",
  "sum",
  "max",
  "e",
];
const MOST_FILTERS = [
  ...FILTERS,
  ...MORE_FILTERS,
  "map('string')|list",
  "select|list",
  "batch(2)|list",
  "round",
  "items|list",
];
const TESTS = [
  "defined",
  "none",
  "string",
  "number",
  "integer",
  "float",
  "mapping",
  "sequence",
  "iterable",
  "odd",
  "true",
  "in l",
];
const OPERATORS = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", ">=", "and", "or", "in", "not in"];
const METHODS = [
  ".strip()",
  ".split()",
  ".upper()",
  ".get('a')",
  ".keys()|list",
  ".count('a')",
  ".title()",
  ".startswith('a')",
];
const SUFFIXES = ["[0]", "[-1]", ".a", "['b']", ".missing"];

/** Mulberry32: the same templates from the same seed. */
function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function generate(seed: number, count: number): string[] {
  const next = random(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)]!;
  const expression = (depth: number): string => {
    if (depth === 0) return next() < 0.4 ? pick(ATOMS) : pick(NAMES);
    const inner = () => expression(depth - 1);
    const kinds = [
      () => `${inner()} ${pick(OPERATORS)} ${inner()}`,
      () => `(${inner()}) ${pick(OPERATORS)} (${inner()})`,
      () => `(${inner()})|${pick(MOST_FILTERS)}`,
      () => `(${inner()}) is ${next() < 0.3 ? "not " : ""}${pick(TESTS)}`,
      () => `(${inner()})${pick(METHODS)}`,
      () => `(${inner()})${pick(SUFFIXES)}`,
      () => `[${inner()}, ${inner()}]`,
      () => `{'k': ${inner()}, 'b': ${inner()}}`,
      () => `(${inner()} if ${inner()} else ${inner()})`,
      () => `not ${inner()}`,
    ];
    return pick(kinds)();
  };
  const space = () => pick(["", " ", "\n", "  \n", "\n  ", " \n\n"]);
  const sign = () => pick(["", "", "", "-", "+"]);
  const minus = () => pick(["", "", "-"]);
  const tag = (text: string) => `${space()}{%${sign()} ${text} ${sign()}%}${space()}`;
  const statement = (depth: number): string => {
    const body = () => (depth === 0 ? print() : statement(depth - 1) + statement(depth - 1));
    const kinds = [
      () => tag(`if ${expression(1)}`) + body() + tag("else") + body() + tag("endif"),
      () => `${tag(`for x in ${expression(1)}`)}{{ x }}{{ loop.index }}${body()}${tag("endfor")}`,
      () => `${tag(`set v = ${expression(1)}`)}{{ v }}`,
      () => `${tag("set t")}${body()}${tag("endset")}{{ t }}`,
      () => `${tag("macro m(a, b=2)")}${body()}{{ a }}${tag("endmacro")}{{ m(${expression(1)}) }}`,
      () => `${space()}{#${sign()} c ${sign()}#}${space()}`,
      () => `${tag(`with n = ${expression(1)}`)}${body()}${tag("endwith")}`,
      print,
    ];
    return pick(kinds)();
  };
  const print = () => `${space()}{{${minus()} ${expression(1 + Math.floor(next() * 2))} ${minus()}}}${space()}`;
  return Array.from({ length: count }, (_, i) => (i % 3 ? print() : statement(2)));
}
