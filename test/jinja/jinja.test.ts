import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { TemplateError } from "../../src/jinja/errors.ts";
import { Template } from "../../src/jinja/template.ts";
import { ROOT } from "../setup.ts";
import { CONSTRUCTS, VARIABLES } from "./constructs.ts";
import { type Rendering, render } from "./render.ts";

/** What Jinja2 made of the constructs: `bun test/wild/jinja.ts --write`. */
const GOLDEN: Rendering[] = JSON.parse(readFileSync(join(ROOT, "test/golden/fixtures/jinja.json"), "utf8"));

const text = (template: string, variables: Record<string, unknown> = VARIABLES) => {
  const { text, error } = render(template, variables);
  if (text === undefined) throw new Error(error);
  return text;
};
const error = (template: string, variables: Record<string, unknown> = VARIABLES) => render(template, variables).error;

test("every construct renders as in Jinja2, or is refused as there", () => {
  expect(CONSTRUCTS.length).toBe(GOLDEN.length);
  const different = CONSTRUCTS.flatMap((template, i) => {
    const [found, expected] = [render(template, VARIABLES), GOLDEN[i]!];
    if (expected.error !== undefined && found.error !== undefined) return [];
    return found.text === expected.text ? [] : [{ template, expected, found }];
  });
  expect(different).toEqual([]);
});

describe("errors", () => {
  test.each([
    ["a\n{{ missing.x }}", 2, "'missing' is undefined"],
    ["{{ d.nothing.x }}", 1, "'dict object' has no attribute 'nothing'"],
    ["{% for x in l %}\n\n{{ x.y.z }}{% endfor %}", 3, "'int object' has no attribute 'y'"],
    ["a\n{% if yes %}", 2, "expected 'elif' or 'else' or 'endif', found the end of the template"],
    ["\n{% include 'x' %}", 2, "the tag 'include' is not supported in a chat template"],
    ["{% nothing %}", 1, "the tag 'nothing' is unknown"],
    ["{{ 1 | nothing }}", 1, "no filter named 'nothing'"],
    ["{{ l | random }}", 1, "the filter 'random' is not supported"],
    ["{{ s.encode() }}", 1, "str.encode is not supported: templates have no bytes"],
    ["{{ s.upper }}", 1, "a 'builtin_function_or_method' object has no text"],
  ])("%j: line %d: %s", (template, line, message) => {
    try {
      new Template(template).render(new Map());
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      if (template.includes("missing")) expect(error.line).toBe(line);
    }
    expect(error(template)).toContain(message);
  });
});

describe("no template hangs", () => {
  test.each([
    ["loops", "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"],
    ["a growing text", "{% set n = namespace(s='x') %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}"],
    ["a repeated text", "{{ 'x' * 10 ** 12 }}"],
    ["a growing list", "{% set n = namespace(l=[1]) %}{% for i in range(99) %}{% set n.l = n.l + n.l %}{% endfor %}"],
    [
      "a list in itself",
      "{% set n = namespace(l=1) %}{% for i in range(99) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l }}",
    ],
    [
      "the same, compared",
      "{% set n = namespace(a=1, b=1) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% set n.b = [n.b, n.b] %}{% endfor %}{{ n.a == n.b }}",
    ],
    [
      "the same, as JSON",
      "{% set n = namespace(l=1) %}{% for i in range(60) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l | tojson }}",
    ],
    ["a macro that calls itself", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"],
    ["large powers", "{{ 9 ** (9 ** 9) }}"],
    ["growing numbers", "{% set n = namespace(x=3) %}{% for i in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}"],
    ["wide formats", "{{ '%999999999999d' % 1 }}"],
    ["wide fields", "{{ '{:999999999999}'.format(1) }}"],
    ["wide columns", "{{ 'x'.center(999999999999) }}"],
    ["many replacements", "{{ ('x' * 10 ** 6).replace('x', 'x' * 10 ** 6) }}"],
    ["deep brackets", `{{ ${"(".repeat(50_000)}1${")".repeat(50_000)} }}`],
    ["deep blocks", "{% if 1 %}".repeat(50_000) + "{% endif %}".repeat(50_000)],
    ["steps over a long text", "{% set t = 'x' * 10 ** 8 %}{% for i in range(99999) %}{{ 'y' in t }}{% endfor %}"],
  ])("%s", (_, template) => {
    expect(error(template)).toBeString();
  });
});

test("a long chat takes steps in proportion", () => {
  const messages = Array.from({ length: 20_000 }, (_, i) => ({
    role: i % 2 ? "assistant" : "user",
    content: "x".repeat(500),
  }));
  const template =
    "{% for m in messages %}<|{{ m.role }}|>{% if m.content.startswith('y') %}y{% endif %}{{ m['content'].strip() + '\n' }}{% endfor %}";
  const all = text(template, { messages });
  expect(all.length).toBe(10_000 * (500 + 1 + 8) + 10_000 * (500 + 1 + 13));
});

describe("properties", () => {
  const json = fc.jsonValue({ maxDepth: 3 });

  test("tojson is read back by JSON.parse", () => {
    fc.assert(
      fc.property(
        json,
        fc.constantFrom("", "(indent=2)", "(ensure_ascii=true)", "(separators=(',', ':'))"),
        (value, args) => {
          expect(JSON.parse(text(`{{ value | tojson${args} }}`, { value }))).toEqual(value);
        },
      ),
    );
  });

  test("slices are Python's", () => {
    const bound = fc.option(fc.integer({ min: -12, max: 12 }), { nil: undefined });
    const step = fc.integer({ min: -3, max: 3 }).filter((by) => by !== 0);
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 9 }), bound, bound, step, (s, start, stop, by) => {
        const points = [...s];
        const n = points.length;
        const at = (index: number | undefined, missing: number) => {
          if (index === undefined) return missing;
          const from = index < 0 ? index + n : index;
          return by < 0 ? Math.max(-1, Math.min(n - 1, from)) : Math.max(0, Math.min(n, from));
        };
        let expected = "";
        const [first, end] = by < 0 ? [at(start, n - 1), at(stop, -1)] : [at(start, 0), at(stop, n)];
        for (let i = first; by < 0 ? i > end : i < end; i += by) expected += points[i];
        expect(text(`{{ s[${start ?? ""}:${stop ?? ""}:${by}] }}`, { s })).toBe(expected);
        expect(text(`{{ l[${start ?? ""}:${stop ?? ""}:${by}] | join }}`, { l: points })).toBe(expected);
      }),
    );
  });

  test("split and join, and whole-number division and rest, undo each other", () => {
    fc.assert(
      fc.property(
        fc.array(fc.string()),
        fc.integer(),
        fc.integer().filter((n) => n !== 0),
        (words, a, b) => {
          const parts = words.map((word) => word.replaceAll(",", ""));
          expect(text("{{ (words | join(',')).split(',') | tojson }}", { words: parts })).toBe(
            text("{{ words | tojson }}", { words: parts.length ? parts : [""] }),
          );
          expect(text("{{ a // b * b + a % b }}", { a, b })).toBe(String(a));
        },
      ),
    );
  });

  test("any text as a template renders or is refused with one error", () => {
    const piece = fc.constantFrom(
      "{{",
      "}}",
      "{%",
      "%}",
      "{#",
      "#}",
      "-",
      " ",
      "\n",
      "if",
      "for",
      "x",
      "in",
      "'",
      "(",
      ")",
      "|",
      "endif",
      "set",
      "=",
      "1",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        const { text, error } = render(pieces.join(""), VARIABLES);
        expect(text ?? error).toBeString();
      }),
      { numRuns: 2000 },
    );
  });
});
