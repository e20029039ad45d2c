import { toValue } from "../../src/jinja/convert.ts";
import { RaisedError, TemplateError } from "../../src/jinja/errors.ts";
import { Template } from "../../src/jinja/template.ts";
import { str } from "../../src/jinja/text.ts";
import { Fn, type Value } from "../../src/jinja/values.ts";
import { strftime } from "../../src/tokenizer/strftime.ts";

export interface Rendering {
  readonly text?: string;
  readonly error?: string;
}

const NOW = new Date(2024, 6, 4, 9, 5, 6, 120);

/** With the two functions that transformers adds. */
export function render(template: string, variables: Record<string, unknown>): Rendering {
  const functions: [string, Value][] = [
    ["strftime_now", new Fn("strftime_now", ({ list }) => strftime(NOW, str(list[0]!)))],
    [
      "raise_exception",
      new Fn("raise_exception", ({ list }) => {
        throw new RaisedError(str(list[0]!));
      }),
    ],
  ];
  const values = Object.entries(variables).map(([name, value]) => [name, toValue(value)] as const);
  try {
    return { text: new Template(template).render(new Map([...functions, ...values])) };
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    return { error: error.message };
  }
}
