/** Texts of schemas against ajv, and what is refused. */
import { describe, expect, test } from "bun:test";
import Ajv from "ajv/dist/2020";
import addFormats from "ajv-formats";
import fc from "fast-check";
import { OptionError } from "../../src/base/errors.ts";
import { FORMATS } from "../../src/grammar/formats.ts";
import { accepts, randomNumbers, randomText, schemaAutomaton } from "./tiny.ts";

/** What ajv says. It looks up own properties only where it is told so. */
function validator(schema: object): (value: unknown) => boolean {
  const ajv = new Ajv({ strict: false, ownProperties: true });
  addFormats(ajv);
  for (const format of ["binary", "password"]) ajv.addFormat(format, true);
  const validate = ajv.compile(schema);
  return (value) => validate(value) as boolean;
}

/** Throws unless random texts of a schema are valid; returns how many ended. */
function checkTexts(schema: object, seed: number, count: number): number {
  const automaton = schemaAutomaton(schema);
  const validate = validator(schema);
  const random = randomNumbers(seed);
  let ended = 0;
  for (let i = 0; i < count; i++) {
    const text = randomText(automaton, random);
    if (text === undefined) continue;
    ended++;
    expect([JSON.stringify(schema), text, validate(JSON.parse(text))]).toEqual([JSON.stringify(schema), text, true]);
  }
  return ended;
}

const text = fc.constantFrom("", "a", "ab", "é", '"', "\\n", "\n", "name", "a/b~c", "😀", "__proto__");
// Ajv calls what an object has by these names.
const json = fc
  .jsonValue({ maxDepth: 2, depthSize: "small" })
  .filter((value) => !/"(valueOf|toString)":/.test(JSON.stringify(value)));
const count = fc.nat(4);
const bound = fc.oneof(
  fc.integer({ min: -1200, max: 1200 }),
  fc.integer({ min: -300, max: 300 }).map((n) => n / 100),
);
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 });
const compact = (value: object) => Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined));

const { schema: anySchema } = fc.letrec<{ schema: object | boolean; object: object }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.constantFrom<object | boolean>(true, { type: "null" }, { type: "boolean" }, { type: ["integer", "null"] }),
    fc.array(json, { minLength: 1, maxLength: 4 }).map((values) => ({ enum: values })),
    fc
      .record({
        minLength: maybe(count),
        maxLength: maybe(fc.integer({ min: 4, max: 9 })),
        pattern: maybe(fc.constantFrom("^[a-c]+$", "b", "^a|b$", "\\d{2}")),
      })
      .map((keywords) => ({ type: "string", ...compact(keywords) })),
    fc.constantFrom(...FORMATS).map((format) => ({ type: "string", format })),
    fc
      .record({ minimum: maybe(bound), exclusiveMinimum: maybe(bound), multipleOf: maybe(fc.constantFrom(1, 2, 5, 7)) })
      .map((keywords) => ({ type: "number", ...compact(keywords) })),
    fc
      .record({ maximum: maybe(bound), exclusiveMaximum: maybe(bound) })
      .map((keywords) => ({ type: "integer", ...compact(keywords) })),
    fc
      .record({
        items: maybe(tie("schema")),
        minItems: maybe(count),
        maxItems: maybe(fc.integer({ min: 4, max: 6 })),
        prefixItems: maybe(fc.array(tie("schema"), { minLength: 1, maxLength: 2 })),
      })
      .map((keywords) => ({ type: "array", ...compact(keywords) })),
    fc
      .record({
        // Ajv leaves out a property of the name __proto__.
        properties: maybe(
          fc.dictionary(
            text.filter((name) => name !== "__proto__"),
            tie("schema"),
            { maxKeys: 3 },
          ),
        ),
        required: maybe(fc.uniqueArray(text, { maxLength: 2 })),
        additionalProperties: maybe(tie("schema")),
        patternProperties: maybe(fc.record({ "^a": tie("schema") })),
        propertyNames: maybe(fc.constantFrom({ maxLength: 5 }, { pattern: "^[a-z]" }, { enum: ["a", "name"] })),
        minProperties: maybe(fc.nat(1)),
        maxProperties: maybe(fc.integer({ min: 3, max: 5 })),
      })
      .map((keywords) => ({ type: "object", ...compact(keywords) })),
    fc.array(tie("schema"), { minLength: 1, maxLength: 3 }).map((branches) => ({ anyOf: branches })),
    fc.array(tie("schema"), { minLength: 2, maxLength: 3 }).map((branches) => ({ oneOf: branches })),
    fc.array(tie("schema"), { minLength: 1, maxLength: 2 }).map((parts) => ({ allOf: parts })),
    fc
      .tuple(tie("schema"), tie("schema"))
      .map(([one, other]) => ({ ...Object(one === true ? {} : one), anyOf: [other, { type: "object" }] })),
  ),
  object: fc.constant({}),
}));

/** Of the names that may be, none is left for the pattern. */
const NO_OTHER_NAME = {
  type: "object",
  properties: { a: true, name: true },
  patternProperties: { "^a": true },
  propertyNames: { enum: ["a", "name"] },
};

test("texts of random schemas are valid, unless the schema is refused by its path", () => {
  let compiled = 0;
  fc.assert(
    fc.property(anySchema, fc.nat(), (schema, seed) => {
      const root = Object(schema === true ? {} : schema) as object;
      try {
        schemaAutomaton(root);
      } catch (error) {
        expect(error).toBeInstanceOf(OptionError);
        expect((error as Error).message).toStartWith("schema #");
        return;
      }
      compiled++;
      checkTexts(root, seed, 6);
    }),
    { numRuns: 200, examples: [[NO_OTHER_NAME, 0]] },
  );
  expect(compiled).toBeGreaterThan(100);
}, 120_000);

test.each(FORMATS)("texts of the format %s", (format) => {
  const type = ["int32", "int64", "float", "double"].includes(format) ? "number" : "string";
  expect(checkTexts({ type, format }, 7, 60)).toBeGreaterThan(20);
  // A host name has more states than are compared with lengths.
  if (type === "string" && format !== "hostname") {
    expect(checkTexts({ type, format, maxLength: 40 }, 8, 20)).toBeGreaterThan(5);
  }
});

const TREE = {
  $defs: { node: { type: "object", properties: { value: {}, next: { $ref: "#/$defs/node" } }, required: ["value"] } },
  $ref: "#/$defs/node",
};

test.each([
  [TREE, { value: 1 }, { value: null, next: { value: [], next: { value: "x" } } }],
  [{ $defs: { "a/b~%": { type: "null" } }, $ref: "#/$defs/a~1b~0%25" }, null],
  [
    {
      oneOf: [
        { type: "object", properties: { kind: { const: "a" }, x: {} }, required: ["kind"] },
        { type: "object", properties: { kind: { const: "b" } }, required: ["kind"] },
      ],
    },
    { kind: "a", x: 1 },
    { kind: "b" },
  ],
  [{ type: ["string", "null"], minLength: 2 }, null, "ab"],
  [{ type: "object", properties: { a: {} }, additionalProperties: false }, {}, { a: { a: [1, "b", { c: null }] } }],
  [
    {
      allOf: [
        { properties: { a: { minimum: 3 } } },
        { properties: { a: { type: "integer", maximum: 4 } }, required: ["a"] },
      ],
    },
    { a: 3 },
    { a: 4 },
  ],
  [{ prefixItems: [{ type: "integer" }, { type: "boolean" }], items: { type: "null" } }, [1, true], [1, true, null]],
  [{ type: "string", pattern: "^.{2}$", maxLength: 2 }, "😀é", '"\\'],
  [{ type: "number", multipleOf: 6, minimum: -12, maximum: 30 }, -12, 0, 30],
  [{ const: { b: [1, "é"], a: null } }, { b: [1, "é"], a: null }],
] as const)("%j has values that it should have", (schema, ...values) => {
  const automaton = schemaAutomaton(schema);
  for (const value of values) expect([value, accepts(automaton, JSON.stringify(value))]).toEqual([value, true]);
  for (const value of values) expect(accepts(automaton, `${JSON.stringify(value)} `)).toBe(false);
  checkTexts(schema, 3, 30);
});

test("white space is where models put it, and bounded", () => {
  const automaton = schemaAutomaton({ type: "object" });
  const value = { a: [1, { b: [] }, {}], c: { d: null } };
  for (const indent of [0, 1, 2, 4, "\t"]) expect(accepts(automaton, JSON.stringify(value, null, indent))).toBe(true);
  expect(accepts(automaton, '{"a": 1, "b": [1, 2]}')).toBe(true);
  for (const text of [' {"a":1}', '{"a":  1}', '{"a":1}\n', '{"a" :1}', `{\n${" ".repeat(21)}"a":1}`]) {
    expect([text, accepts(automaton, text)]).toEqual([text, false]);
  }
});

test("values nest as deep as there is room, and what is started can be ended", () => {
  const automaton = schemaAutomaton({ type: "array", items: { $ref: "#" } });
  const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
  expect(accepts(automaton, nested(100))).toBe(true);
  expect(accepts(automaton, nested(140))).toBe(false);
  const required = schemaAutomaton({
    type: "object",
    properties: { a: { anyOf: [{ $ref: "#" }, { type: "null" }] } },
    required: ["a"],
  });
  const always = randomNumbers(1);
  for (let i = 0; i < 20; i++) randomText(required, () => 0.999 * always(), 20_000);
});

describe("refused, with the path", () => {
  test.each([
    [
      { properties: { a: { not: {} } } },
      "schema #/properties/a/not: expected no such keyword: it is not enforced, found {}",
    ],
    [
      { type: "array", uniqueItems: true },
      "schema #/uniqueItems: expected false: that items differ is not enforced, found true",
    ],
    [
      { type: "strnig" },
      "schema #/type: expected of null, boolean, object, array, number, integer, string, found strnig",
    ],
    [
      { $ref: "https://example.org/x" },
      "schema #/$ref: expected a pointer into this schema, such as #/$defs/name, found https://example.org/x",
    ],
    [{ $ref: "#/$defs/none" }, "schema #/$ref: expected one that is there, found #/$defs/none"],
    [{ $ref: "#" }, "schema #: expected no reference to itself before any text, found one"],
    [
      { anyOf: [{ $ref: "#" }, { type: "null" }] },
      "schema #: expected no reference to itself before any text, found one",
    ],
    [
      { oneOf: [{ type: "integer" }, { minimum: 2 }] },
      "schema #/oneOf: expected alternatives that exclude one another by kind, value or a required member, found #/oneOf/0 and #/oneOf/1",
    ],
    [{ type: "string", pattern: "a(?=b)" }, "schema #/pattern: expected no lookaround, found a(?=b)"],
    [{ type: "string", pattern: "(a)\\1" }, "schema #/pattern: expected no backreferences, found (a)\\1"],
    [{ type: "string", pattern: "a\\b" }, "schema #/pattern: expected no \\b and \\B, found a\\b"],
    [
      { type: "string", pattern: "a^b" },
      "schema #/pattern: expected ^ and $ at the ends of alternatives only, found one inside",
    ],
    [
      { type: "string", format: "iri" },
      `schema #/format: expected one of ${FORMATS.join(", ")}, found iri`.slice(0, 60),
    ],
    [{ enum: [] }, "schema #: expected what some text is, found what none is"],
    [
      { type: "object", properties: { a: { $ref: "#" } }, required: ["a"] },
      "schema #: expected what some text is, found what none is",
    ],
    [{ items: { multipleOf: 0.1 } }, "schema #/items/multipleOf: expected a whole number, found 0.1"],
    [{ minLength: -1 }, "schema #/minLength: expected a whole number, found -1"],
    [
      { type: "object", minProperties: 2 },
      "schema #/minProperties: expected at most 1, as a member may be there twice, found 2",
    ],
    [{ properties: 3 }, "schema #/properties: expected schemas by name, found 3"],
    [{ items: "x" }, "schema #/items: expected a schema, found x"],
    [
      { type: "string", pattern: "(?:a{40}b?){60}", maxLength: 4000 },
      "schema #: expected conditions on a text that are small enough together, found others",
    ],
    ["x", "schema #: expected a schema, found x"],
  ])("%j", (schema, message) => {
    let found = "";
    try {
      schemaAutomaton(schema);
    } catch (error) {
      expect(error).toBeInstanceOf(OptionError);
      found = (error as Error).message;
    }
    expect(found).toStartWith(message);
  });
});
