import { mismatch, OptionError } from "../base/errors.ts";
import { Automaton } from "./automaton.ts";
import { anyRules, type Rules } from "./expression.ts";
import { compileGbnf } from "./gbnf.ts";
import { Grammar, type TokenVocabulary } from "./grammar.ts";
import { compileRules } from "./program.ts";
import { compileRegex } from "./regex.ts";
import { compileSchema } from "./schema.ts";

export type { Grammar, TokenVocabulary } from "./grammar.ts";
export type { GrammarState } from "./stored.ts";
export { TokenTrie } from "./trie.ts";

/** What a generated text is to be: plain data. */
export type ResponseFormat =
  /** JSON that is valid by a JSON Schema: see compileSchema. */
  | { readonly type: "json_schema"; readonly schema: unknown }
  /** Any JSON object. */
  | { readonly type: "json_object" }
  /** A whole match of an ECMAScript regular expression, flag u: see compileRegex. */
  | { readonly type: "regex"; readonly pattern: string }
  /** A text of the rule `root` of a GBNF grammar: see compileGbnf. */
  | { readonly type: "grammar"; readonly grammar: string }
  /** A text of any of these formats. */
  | { readonly type: "any_of"; readonly formats: readonly ResponseFormat[] };

const TYPES = ["json_schema", "json_object", "regex", "grammar", "any_of"];

/**
 * Compiles a definition for a vocabulary. Throws OptionError, with the path of the schema or the place in the grammar, for
 * whatever cannot be enforced.
 */
export function compileGrammar(definition: ResponseFormat, vocabulary: TokenVocabulary): Grammar {
  return new Grammar(compileRules(rulesOf(definition)), vocabulary, JSON.stringify(definition));
}

/** Throws what compileGrammar would throw for any vocabulary. */
export function checkFormat(definition: ResponseFormat): void {
  new Automaton(compileRules(rulesOf(definition))).start();
}

function rulesOf(definition: ResponseFormat): Rules {
  switch (definition?.type) {
    case "json_schema":
      return compileSchema(definition.schema);
    case "json_object":
      return compileSchema({ type: "object" });
    case "regex": {
      if (typeof definition.pattern !== "string") throw wrong("pattern", "a regular expression", definition.pattern);
      return {
        expressions: [compileRegex(definition.pattern, "responseFormat.pattern", false)],
        names: ["responseFormat.pattern"],
      };
    }
    case "grammar":
      if (typeof definition.grammar !== "string") throw wrong("grammar", "a grammar", definition.grammar);
      return compileGbnf(definition.grammar);
    case "any_of":
      if (!Array.isArray(definition.formats) || definition.formats.length === 0)
        throw wrong("formats", "a list of formats", definition.formats);
      return anyRules(Array.from(definition.formats, rulesOf));
    default:
      throw wrong("type", `one of ${TYPES.join(", ")}`, (definition as { type?: unknown } | undefined)?.type);
  }
}

function wrong(name: string, expected: string, found: unknown): OptionError {
  return new OptionError(mismatch(`responseFormat.${name}`, expected, found));
}
