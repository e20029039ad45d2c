/** Formats of generated texts, from load to the last token, with a random model. */
import { afterAll, describe, expect, test } from "bun:test";
import Ajv from "ajv/dist/2020";
import { type Model, OptionError, type ResponseFormat } from "../../src/entry/index.ts";
import { removeTiny, tiny } from "./tiny.ts";

afterAll(removeTiny);

const TREE = {
  $defs: {
    node: {
      type: "object",
      properties: {
        a: { type: "integer", minimum: 0, maximum: 12 },
        b: { type: "array", items: { $ref: "#/$defs/node" }, maxItems: 2 },
      },
      required: ["a"],
    },
  },
  $ref: "#/$defs/node",
};
const SCHEMAS: readonly object[] = [
  {
    type: "object",
    properties: { a: { type: "integer" }, b: { type: "boolean" } },
    required: ["a", "b"],
    additionalProperties: false,
  },
  { type: "array", items: { type: "string", minLength: 1, maxLength: 3 }, minItems: 2, maxItems: 3 },
  { enum: ["a", "ab", 12, null, [1, 2], { a: true }] },
  {
    anyOf: [
      { type: "string", pattern: "^[abn]{2,5}$" },
      { type: "number", minimum: -0.25, exclusiveMaximum: 1 },
    ],
  },
  {
    type: "object",
    properties: { a: { const: "é" }, n: { type: "null" } },
    additionalProperties: { type: "string", maxLength: 4 },
    maxProperties: 3,
  },
  { type: "array", prefixItems: [{ type: "boolean" }, { type: "string", maxLength: 5 }], items: false },
  TREE,
];

const generate = (model: Model, responseFormat: ResponseFormat, seed: number, maxNewTokens = 300, ignoreEos = false) =>
  model.generate("a", { responseFormat, seed, maxNewTokens, ignoreEos, temperature: 1.5, topK: 0 });

describe.each([false, true])("in a worker: %p", (worker) => {
  test("every text that ends is valid JSON of its schema", async () => {
    using model = await tiny({ worker });
    for (const schema of SCHEMAS) {
      const validate = new Ajv({ strict: false }).compile(schema);
      let ended = 0;
      for (let seed = 0; seed < 12; seed++) {
        const generation = generate(model, { type: "json_schema", schema }, seed);
        const text = await generation.text();
        const { finishReason, newTokens } = await generation.result;
        if (finishReason !== "stop") {
          expect([finishReason, newTokens]).toEqual(["length", 300]);
          continue;
        }
        ended++;
        expect([text, validate(JSON.parse(text))]).toEqual([text, true]);
      }
      expect([JSON.stringify(schema), ended > 3]).toEqual([JSON.stringify(schema), true]);
    }
  }, 60_000);

  test("objects, patterns and grammars", async () => {
    using model = await tiny({ worker });
    const pattern = "(?:ab|[0-9]{2,3})+\\n?é";
    const grammar = 'root ::= "[" (item ("," item)*)? "]"\nitem ::= [ab]{1,4} | "(" root ")" | "\\u00e9"'.replace(
      /"[()]"/g,
      '"."',
    );
    for (let seed = 0; seed < 8; seed++) {
      const object = await generate(model, { type: "json_object" }, seed).text();
      if (object.endsWith("}")) expect(typeof JSON.parse(object)).toBe("object");
      const matched = generate(model, { type: "regex", pattern }, seed);
      const text = await matched.text();
      if ((await matched.result).finishReason === "stop") expect(text).toMatch(new RegExp(`^(?:${pattern})$`, "u"));
      const parsed = generate(model, { type: "grammar", grammar }, seed);
      const words = await parsed.text();
      if ((await parsed.result).finishReason === "stop") expect(words).toMatch(/^\[[ab.,é[\]]*\]$/);
    }
  }, 60_000);

  test("a text is of any of several formats, and ends with it whatever ignoreEos says", async () => {
    using model = await tiny({ worker });
    const list = 'root ::= "[" root* "]"';
    const formats: ResponseFormat[] = [
      { type: "regex", pattern: "s+t" },
      { type: "grammar", grammar: list },
      { type: "json_schema", schema: { $ref: "#/$defs/a", $defs: { a: { enum: ["n", 5] } } } },
      { type: "grammar", grammar: 'root ::= "-" inner\ninner ::= "." | root "."' },
    ];
    const found = new Set<string>();
    for (let seed = 0; seed < 40; seed++) {
      const generation = generate(model, { type: "any_of", formats }, seed, 300, true);
      const text = await generation.text();
      if ((await generation.result).finishReason !== "stop") continue;
      expect(text).toMatch(/^(?:s+t|[[\]]+|\s*(?:"n"|5)\s*|-+\.+)$/);
      found.add(text.trim()[0]!);
    }
    expect([...found].sort()).toEqual(['"', "-", "5", "[", "s"]);
  }, 60_000);

  test("what cannot be enforced is refused before a token is chosen, with its path", async () => {
    using model = await tiny({ worker });
    const message = async (responseFormat: unknown, more: object = {}) => {
      const generation = model.generate("a", { responseFormat: responseFormat as ResponseFormat, ...more });
      const error: unknown = await generation.text().catch((error) => error);
      expect(error).toBeInstanceOf(OptionError);
      return (error as Error).message;
    };
    const schema = { type: "object", properties: { a: { type: "array", uniqueItems: true } } };
    expect(await message({ type: "json_schema", schema })).toBe(
      "schema #/properties/a/uniqueItems: expected false: that items differ is not enforced, found true",
    );
    expect(await message({ type: "xml" })).toBe(
      "responseFormat.type: expected one of json_schema, json_object, regex, grammar, any_of, found xml",
    );
    expect(await message("json")).toBe("responseFormat: expected an object with a type, found json");
    expect(await message({ type: "any_of", formats: [] })).toBe(
      "responseFormat.formats: expected a list of formats, found []",
    );
    expect(await message({ type: "any_of", formats: [{ type: "regex", pattern: "a" }, { type: "xml" }] })).toStartWith(
      "responseFormat.type: expected one of",
    );
    using session = await model.session();
    await session.append("a");
    await expect(session.next({ responseFormat: { type: "json_object" } })).rejects.toThrow(
      "responseFormat: expected none",
    );
  });

  test("a text that was cut off goes on, from a snapshot too, and a new prompt starts another", async () => {
    using model = await tiny({ worker });
    const responseFormat: ResponseFormat = { type: "json_schema", schema: TREE };
    const options = { responseFormat, maxNewTokens: 5, temperature: 1.5, topK: 0 } as const;
    const validate = new Ajv({ strict: false }).compile(TREE);
    let compared = 0;
    for (let seed = 0; seed < 10; seed++) {
      using session = await model.session({ seed });
      const first = session.generate("a", options);
      let text = await first.text();
      if ((await first.result).finishReason !== "length") continue;
      compared++;
      const snapshot = await session.snapshot();
      expect(await session.snapshot()).toEqual(snapshot);
      using other = await model.restore(snapshot);
      const rest = session.generate(undefined, { ...options, maxNewTokens: 300 });
      text += await rest.text();
      expect(await other.generate(undefined, { ...options, maxNewTokens: 300 }).text()).toBe(
        text.slice(text.length - (await rest.text()).length),
      );
      if ((await rest.result).finishReason !== "stop") continue;
      expect([text, validate(JSON.parse(text))]).toEqual([text, true]);
      using third = await model.restore(snapshot);
      const again = third.generate("b", { ...options, maxNewTokens: 300 });
      const whole = await again.text();
      if ((await again.result).finishReason === "stop")
        expect([whole, validate(JSON.parse(whole))]).toEqual([whole, true]);
    }
    expect(compared).toBeGreaterThan(3);
  }, 60_000);
});
