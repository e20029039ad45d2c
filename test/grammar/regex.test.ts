/** Regular expressions and GBNF against the host's regular expressions; numbers against arithmetic. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { OptionError } from "../../src/base/errors.ts";
import { Automaton } from "../../src/grammar/automaton.ts";
import { compileGbnf } from "../../src/grammar/gbnf.ts";
import { compileRules } from "../../src/grammar/program.ts";
import { compileRegex } from "../../src/grammar/regex.ts";
import { accepts, randomNumbers, randomText, schemaAutomaton } from "./tiny.ts";

const regexAutomaton = (pattern: string, search = false) =>
  new Automaton(compileRules({ expressions: [compileRegex(pattern, "pattern", search)], names: ["pattern"] }));
const gbnf = (grammar: string) => new Automaton(compileRules(compileGbnf(grammar)));

const ALPHABET = ["a", "b", "c", "A", "1", " ", "\n", "-", "é", "Ω", "日", "😀", "\u2028", "_", "]"];
const text = fc.string({ unit: fc.constantFrom(...ALPHABET), maxLength: 7 });
const atom = fc.constantFrom(
  ...[
    "a",
    "b",
    "é",
    "😀",
    ".",
    "\\d",
    "\\D",
    "\\w",
    "\\W",
    "\\s",
    "\\S",
    "[a-c]",
    "[^a-c]",
    "[^]",
    "[\\]\\-_]",
    "[a\\d-]",
  ],
  ...[
    "\\p{L}",
    "\\P{Lu}",
    "\\u{1F600}",
    "\\ud83d\\ude00",
    "\\x61",
    "\\u65e5",
    "\\n",
    "\\-".slice(1),
    "[😀-😂é]",
    "[\\b\\s]",
    "\\cJ",
  ],
);
const { pattern } = fc.letrec<{ pattern: string; item: string }>((tie) => ({
  item: fc.oneof(
    { maxDepth: 3 },
    atom,
    fc.tuple(fc.constantFrom("(?:", "(", "(?<name>"), tie("pattern")).map(([open, inside]) => `${open}${inside})`),
  ),
  pattern: fc
    .array(
      fc.array(fc.tuple(tie("item"), fc.constantFrom("", "", "*", "+", "?", "{2}", "{1,3}", "{2,}", "*?")), {
        maxLength: 4,
      }),
      { minLength: 1, maxLength: 2 },
    )
    .map((ways) => ways.map((items) => items.map((item) => item.join("")).join("")).join("|")),
}));

/** Patterns that this host takes. Names of groups may not repeat. */
const isPattern = (pattern: string) => {
  try {
    return new RegExp(pattern, "u") instanceof RegExp;
  } catch {
    return false;
  }
};
/** Whether it is refused for counting what may be empty, the one thing in these patterns that is. */
function compiled(pattern: string, search: boolean): Automaton | undefined {
  try {
    return regexAutomaton(pattern, search);
  } catch (error) {
    expect((error as Error).message).toMatch(
      /^pattern: expected (no counted repetition of what may be empty|what some text is)/,
    );
    return undefined;
  }
}

test("a text is accepted exactly if the host's regular expression matches it", () => {
  fc.assert(
    fc.property(pattern.filter(isPattern), fc.array(text, { minLength: 1, maxLength: 12 }), (pattern, texts) => {
      const whole = compiled(pattern, false);
      const within = compiled(pattern, true);
      for (const text of texts) {
        if (whole)
          expect([pattern, text, accepts(whole, text)]).toEqual([
            pattern,
            text,
            new RegExp(`^(?:${pattern})$`, "u").test(text),
          ]);
        if (within)
          expect([pattern, text, accepts(within, text)]).toEqual([pattern, text, new RegExp(pattern, "u").test(text)]);
      }
      const random = randomNumbers(texts.length);
      const written = whole && randomText(whole, random, 200);
      if (written !== undefined)
        expect([pattern, written]).toEqual([pattern, new RegExp(`^(?:${pattern})$`, "u").exec(written)?.[0] ?? "none"]);
    }),
    { numRuns: 250 },
  );
}, 60_000);

test.each(["^a|b$", "^(?:a|b)$", "(^a|b)c", "a(b$|c$)", "^$", "^", "$", "^a$|^b", "((^a))"])(
  "anchors of %s",
  (pattern) => {
    const automaton = regexAutomaton(pattern, true);
    for (const text of ["", "a", "b", "ab", "ba", "abc", "bc", "ac", "xab", "xa", "cab\n", "acx"]) {
      expect([text, accepts(automaton, text)]).toEqual([text, new RegExp(pattern, "u").test(text)]);
    }
  },
);

describe("GBNF", () => {
  const ARITHMETIC = `
root   ::= (expr "=" ws term "\\n")+   # one line for each
expr   ::= term ([-+*/] term)*
term   ::= ident | num |
           "(" ws expr ")" ws
ident  ::= [a-z] [a-z0-9_]* ws
num    ::= [0-9]+ ws
ws     ::= [ \\t]*
`;
  test("the grammar of llama.cpp's README", () => {
    const automaton = gbnf(ARITHMETIC);
    for (const text of ["a=1\n", "(x +2)*3= y\nz=z\n"]) expect(accepts(automaton, text)).toBe(true);
    for (const text of ["", "a=1", "(a=1\n", "A=1\n", "a==1\n"]) expect(accepts(automaton, text)).toBe(false);
  });

  test("classes, escapes and counts", () => {
    const automaton = gbnf('root ::= [^\\x41-\\x43\\]] "\\u00e9\\"" b{2} b{0,1} [a\\-]{2,} .?\nb ::= "b"');
    for (const text of ['xé"bba-', 'xé"bbbaaa日']) expect(accepts(automaton, text)).toBe(true);
    for (const text of ['Aé"bba-', ']é"bbaa', 'xé"baa', 'xé"bba']) expect(accepts(automaton, text)).toBe(false);
  });

  test("lists by recursion on the right do not nest; brackets do, as far as they can be closed", () => {
    const list = gbnf('root ::= "a" root | "b"');
    expect(accepts(list, `${"a".repeat(5000)}b`)).toBe(true);
    const nested = gbnf('root ::= "(" root ")" | "x"');
    expect(accepts(nested, `${"(".repeat(127)}x${")".repeat(127)}`)).toBe(true);
    expect(accepts(nested, `${"(".repeat(128)}x${")".repeat(128)}`)).toBe(false);
  });

  test.each([
    ["", "grammar, line 1, column 1: expected a rule root, found the end"],
    ['root ::= "a', 'grammar, line 1, column 12: expected ", found the end'],
    ["root ::= a b\na ::= [x]", "grammar, line 1, column 12: expected a rule b, found b"],
    ["root ::= root [a] | [b]\n", "grammar: root: expected no reference to itself before any text, found one"],
    ["root ::= [z-a]", "grammar, line 1, column 11: expected a range in ascending order, found z-a]"],
    ["root = [a]", "grammar, line 1, column 6: expected ::=, found = [a]"],
    ["root ::= ([a]", "grammar, line 1, column 14: expected ), found the end"],
    [
      "root ::= [a]\nroot ::= [b]",
      "grammar, line 2, column 1: expected a rule that is not there yet, found root ::= [b]",
    ],
    ['root ::= "a" root', "grammar: root: expected what some text is, found what none is"],
    ['root ::= ("a"?){2,3}', "grammar: root: expected no counted repetition of what may be empty, found one"],
  ])("%j is refused", (grammar, message) => {
    expect(() => gbnf(grammar)).toThrow(new OptionError(message));
  });

  test("no text crashes it", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...'root ::=[]"()|*+?{}1,2^-\\n.#a\n'), maxLength: 40 }),
        (grammar) => {
          try {
            gbnf(`root ::= ${grammar}`);
          } catch (error) {
            expect(error).toBeInstanceOf(OptionError);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });
});

test("numbers are accepted exactly within their bounds", () => {
  const hundredths = fc.integer({ min: -30_000, max: 30_000 }).map((n) => n / 100);
  const digits = (n: number) => fc.constantFrom(`${n}`, n.toFixed(2), n.toFixed(3), `${Math.trunc(n)}`);
  fc.assert(
    fc.property(
      hundredths,
      hundredths,
      fc.boolean(),
      fc.boolean(),
      fc.array(hundredths.chain(digits), { minLength: 5 }),
      (a, b, above, below, texts) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)];
        const schema = {
          [above ? "exclusiveMinimum" : "minimum"]: low,
          [below ? "exclusiveMaximum" : "maximum"]: high,
        };
        if (low === high && (above || below)) return;
        const automaton = schemaAutomaton({ type: "number", ...schema });
        for (const text of [...texts, `${low}`, "0", "0.5", "-0.5", `${high}`, `${low}00`, `${high + 0.001}`]) {
          if (/^-0*(\.0*)?$/.test(text) || /^-?\d+00$/.test(text)) continue;
          const value = Number(text);
          const within = (above ? value > low : value >= low) && (below ? value < high : value <= high);
          expect([schema, text, accepts(automaton, text)]).toEqual([schema, text, within]);
        }
      },
    ),
    { numRuns: 300 },
  );
});

test("whole numbers are accepted exactly within their bounds, and as multiples", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: -2000, max: 2000 }),
      fc.nat(3000),
      fc.integer({ min: 1, max: 12 }),
      (minimum, size, multipleOf) => {
        const maximum = minimum + size;
        const first = Math.ceil(minimum / multipleOf) * multipleOf;
        if (first > maximum) return;
        const automaton = schemaAutomaton({ type: "integer", minimum, maximum, multipleOf });
        for (
          let value = minimum - 15;
          value <= maximum + 15;
          value += value < minimum + 15 || value > maximum - 15 ? 1 : 7
        ) {
          const valid = value >= minimum && value <= maximum && value % multipleOf === 0;
          expect([value, accepts(automaton, `${value}`)]).toEqual([value, valid]);
        }
      },
    ),
    { numRuns: 60 },
  );
});
