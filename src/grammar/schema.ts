import { anyText, choice, type Expression, literal, type Rules } from "./expression.ts";
import { anyValue } from "./json_text.ts";
import { RuleBook, ruleOf } from "./rule_book.ts";
import { arrayOf } from "./schema_arrays.ts";
import { branchings, excludes } from "./schema_disjoint.ts";
import { flatten, type Keywords, type Node, nodeOf, refused } from "./schema_nodes.ts";
import { numberOf } from "./schema_numbers.ts";
import { type Compiling, objectOf } from "./schema_objects.ts";
import { stringOf } from "./schema_strings.ts";
import { valuesOf, writtenKinds } from "./schema_values.ts";

/**
 * JSON texts that are valid by a JSON Schema (2020-12; draft 7 where it differs in arrays only): not all of them, but every
 * one that is written is. Objects have their members in the order of `properties`, and others only where
 * additionalProperties or patternProperties says so or nothing is said of members; a tuple is whole; a schema without a
 * type means the types that its keywords are about. Throws OptionError with the path of what cannot be enforced.
 */
export function compileSchema(schema: unknown): Rules {
  return new SchemaCompiler(schema).compile();
}

/** The most alternatives at one place. */
const MOST_WAYS = 256;

class SchemaCompiler implements Compiling {
  readonly root: unknown;
  readonly book = new RuleBook();
  /** Numbers of schemas, and the rules of what is asked together. */
  readonly #numbers = new Map<Keywords, number>();
  readonly #known = new Map<string, number>();
  readonly #waiting: (() => void)[] = [];
  #any: Expression | undefined;

  constructor(root: unknown) {
    this.root = root;
  }

  compile(): Rules {
    this.#rule([nodeOf(this.root, "#")], "#");
    for (let next = this.#waiting.pop(); next; next = this.#waiting.pop()) next();
    return this.book;
  }

  value(nodes: readonly Node[], path: string): Expression {
    const asked = flatten(this.root, nodes);
    if (asked.length > 0) return this.#rule(asked, path);
    this.#any ??= anyValue(this.book);
    return this.#any;
  }

  /** The rule of nodes that are asked together; it is filled in later. */
  #rule(nodes: readonly Node[], path: string): Expression {
    const numbers = nodes.map(({ schema }) => {
      const number = this.#numbers.get(schema) ?? this.#numbers.size;
      this.#numbers.set(schema, number);
      return number;
    });
    const key = numbers.sort((a, b) => a - b).join();
    const known = this.#known.get(key);
    if (known !== undefined) return ruleOf(known);
    const rule = this.book.add(`schema ${path}`);
    this.#known.set(key, rule);
    this.#waiting.push(() => this.book.set(rule, this.#build(nodes, path)));
    return ruleOf(rule);
  }

  #build(asked: readonly Node[], path: string): Expression {
    const nodes = flatten(this.root, asked);
    if (nodes.length === 0) return this.value([], path);
    const [branching] = branchings(nodes);
    if (branching) return this.#branch(branching);
    const values = valuesOf(this.root, nodes);
    if (values) return anyText(values.map((value) => JSON.stringify(value)));
    const kinds = writtenKinds(nodes);
    const ways: Expression[] = [];
    if (kinds.has("object")) ways.push(objectOf(nodes, path, this));
    if (kinds.has("array")) ways.push(arrayOf(nodes, path, this));
    if (kinds.has("string")) ways.push(stringOf(nodes));
    if (kinds.has("fraction") || kinds.has("integer")) ways.push(numberOf(nodes, path, !kinds.has("fraction")));
    if (kinds.has("boolean")) ways.push(literal("true"), literal("false"));
    if (kinds.has("null")) ways.push(literal("null"));
    return choice(...ways);
  }

  #branch({ keyword, path, branches, rest }: ReturnType<typeof branchings>[number]): Expression {
    if (branches.length > MOST_WAYS) throw refused(path, `at most ${MOST_WAYS} alternatives`, branches.length);
    for (const one of keyword === "oneOf" ? branches : []) {
      for (const other of branches) {
        if (one === other || excludes(this.root, [...rest, one], [other])) continue;
        throw refused(
          path,
          "alternatives that exclude one another by kind, value or a required member",
          `${one.path} and ${other.path}`,
        );
      }
    }
    return choice(...branches.map((branch) => this.value([...rest, branch], branch.path)));
  }
}
