/** JSON-Schema-Test-Suite, where its folder is: what is not refused accepts no invalid value, and writes valid ones only. */
import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import Ajv7 from "ajv";
import Ajv from "ajv/dist/2020";
import addFormats from "ajv-formats";
import { OptionError } from "../../src/base/errors.ts";
import type { Automaton } from "../../src/grammar/automaton.ts";
import { SHARED } from "../setup.ts";
import { accepts, randomNumbers, randomText, schemaAutomaton } from "./tiny.ts";

interface Group {
  readonly description: string;
  readonly schema: object | boolean;
  readonly tests: readonly { readonly data: unknown; readonly valid: boolean; readonly description: string }[];
}

const SUITE = process.env.JSON_SCHEMA_TEST_SUITE ?? join(SHARED, "JSON-Schema-Test-Suite");

/** undefined: it is refused. */
function automatonOf(schema: unknown): Automaton | undefined {
  try {
    return schemaAutomaton(schema);
  } catch (error) {
    expect(error).toBeInstanceOf(OptionError);
    expect((error as Error).message).toStartWith("schema #");
    return undefined;
  }
}

test.each([
  ["draft2020-12", Ajv],
  ["draft7", Ajv7],
] as const)(
  "%s",
  (draft, Validator) => {
    const folder = join(SUITE, "tests", draft);
    if (!existsSync(folder))
      return console.warn("skipped: JSON_SCHEMA_TEST_SUITE names no clone of JSON-Schema-Test-Suite");
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".json"));
    let compiled = 0;
    for (const file of files) {
      for (const { description, schema, tests } of JSON.parse(readFileSync(join(folder, file), "utf8")) as Group[]) {
        const automaton = automatonOf(schema);
        if (!automaton) continue;
        compiled++;
        for (const { data, valid, description: name } of tests) {
          if (!valid)
            expect([file, description, name, accepts(automaton, JSON.stringify(data))]).toEqual([
              file,
              description,
              name,
              false,
            ]);
        }
        const ajv = new Validator({ strict: false, ownProperties: true });
        addFormats(ajv);
        // Meta-schemas of the suite's own are not there.
        const validate = ajv.compile(
          typeof schema === "object"
            ? Object.fromEntries(Object.entries(schema).filter(([name]) => name !== "$schema"))
            : schema,
        );
        const random = randomNumbers(1);
        for (let i = 0; i < 10; i++) {
          const text = randomText(automaton, random);
          if (text !== undefined)
            expect([file, description, text, validate(JSON.parse(text))]).toEqual([file, description, text, true]);
        }
      }
    }
    expect(compiled).toBeGreaterThan(190);
  },
  120_000,
);
