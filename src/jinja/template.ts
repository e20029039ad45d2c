import { TemplateError } from "./errors.ts";
import { FILTERS } from "./filters.ts";
import { globals } from "./globals.ts";
import { Interpreter } from "./interpreter.ts";
import { begin } from "./limits.ts";
import type { Statement } from "./nodes.ts";
import { parse } from "./parser.ts";
import { TESTS } from "./tests.ts";
import { Dict, type Value } from "./values.ts";

const KNOWN = { filters: new Set(FILTERS.keys()), tests: new Set(TESTS.keys()) };

/**
 * A template of Jinja as transformers' apply_chat_template configures it: ImmutableSandboxedEnvironment, trim_blocks,
 * lstrip_blocks, loopcontrols, the tag `generation`, JSON without HTML escapes.
 *
 * Not supported, and refused by name: include, import, extends, block, autoescape; the filters random, urlize and
 * wordwrap; lipsum; bytes. Of one rendering, steps and lengths are limited, so that none hangs.
 */
export class Template {
  readonly #body: readonly Statement[];

  /** @throws TemplateError with the line, where the template is malformed */
  constructor(source: string) {
    this.#body = guarded(() => parse(source, KNOWN));
  }

  /** @throws TemplateError with the line */
  render(variables: ReadonlyMap<string, Value>): string {
    begin([...variables.values()].reduce((sum: number, value) => sum + count(value), 0));
    return guarded(() => {
      return new Interpreter({ filters: FILTERS, tests: TESTS }).run(this.#body, new Map([...globals(), ...variables]));
    });
  }
}

/** How many values there are in one. */
function count(value: Value): number {
  const inner = value instanceof Dict ? value.values() : Array.isArray(value) ? value : [];
  let sum = 1;
  for (const item of inner) sum += count(item);
  return sum;
}

/** Engines report a stack or a text that is too large as a RangeError. */
function guarded<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof TemplateError) throw error;
    const { name, message } = error as Error;
    if (name === "RangeError") throw new TemplateError(`nested too deeply, or too long (${message})`);
    throw error;
  }
}
