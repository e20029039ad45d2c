/** Schemas with their places, and which keywords of them are known. */
import { mismatch, OptionError } from "../base/errors.ts";
import { FORMATS } from "./formats.ts";

/** Keywords by name. */
export type Keywords = Readonly<Record<string, unknown>>;

/** A schema in a document. */
export interface Node {
  readonly schema: Keywords;
  /** Such as "#/properties/name". */
  readonly path: string;
}

/** What no automaton of tokens does, or none here. */
const REFUSED = [
  "not",
  "if",
  "then",
  "else",
  "contains",
  "minContains",
  "maxContains",
  "dependencies",
  "dependentRequired",
  "dependentSchemas",
  "unevaluatedItems",
  "unevaluatedProperties",
  "$dynamicRef",
  "$recursiveRef",
  "contentEncoding",
  "contentMediaType",
  "contentSchema",
];

const isCount = (value: unknown) => Number.isInteger(value) && (value as number) >= 0;
const isNumber = (value: unknown) => typeof value === "number" && Number.isFinite(value);
const isText = (value: unknown) => typeof value === "string";
const isTexts = (value: unknown) => Array.isArray(value) && value.every(isText);
const TYPES = ["null", "boolean", "object", "array", "number", "integer", "string"];

/** What the values of keywords are that are not schemas. */
const VALUES: Readonly<Record<string, readonly [good: (value: unknown) => boolean, expected: string]>> = {
  type: [(value) => [value].flat().every((type) => TYPES.includes(type as string)), `of ${TYPES.join(", ")}`],
  enum: [Array.isArray, "a list of values"],
  required: [isTexts, "a list of names"],
  pattern: [isText, "a regular expression"],
  format: [(value) => FORMATS.includes(value as string), `one of ${FORMATS.join(", ")}`],
  $ref: [isText, "a reference"],
  minimum: [isNumber, "a number"],
  maximum: [isNumber, "a number"],
  exclusiveMinimum: [isNumber, "a number"],
  exclusiveMaximum: [isNumber, "a number"],
  multipleOf: [(value) => isNumber(value) && (value as number) > 0, "a number above 0"],
  minLength: [isCount, "a whole number"],
  maxLength: [isCount, "a whole number"],
  minItems: [isCount, "a whole number"],
  maxItems: [isCount, "a whole number"],
  minProperties: [isCount, "a whole number"],
  maxProperties: [isCount, "a whole number"],
  uniqueItems: [(value) => value === false, "false: that items differ is not enforced"],
};

/** Throws OptionError with the path of the first keyword that is malformed or that cannot be enforced. */
export function checkKeywords({ schema, path }: Node): void {
  for (const [keyword, value] of Object.entries(schema)) {
    if (REFUSED.includes(keyword)) throw refused(`${path}/${keyword}`, "no such keyword: it is not enforced", value);
    const check = Object.hasOwn(VALUES, keyword) ? VALUES[keyword] : undefined;
    if (check && !check[0](value)) throw refused(`${path}/${keyword}`, check[1], value);
  }
}

/** The error for a part of a schema. */
export function refused(path: string, expected: string, found: unknown): OptionError {
  return new OptionError(mismatch(`schema ${path}`, expected, found));
}

/** A value as a schema. */
export function nodeOf(schema: unknown, path: string): Node {
  if (schema === true) return { schema: ANYTHING, path };
  if (schema === false) return { schema: NOTHING, path };
  if (typeof schema === "object" && schema !== null && !Array.isArray(schema))
    return { schema: schema as Keywords, path };
  throw refused(path, "a schema", schema);
}

/** What `true` and `false` stand for: any value, and none. */
const ANYTHING: Keywords = {};
const NOTHING: Keywords = { enum: [] };

/** The schemas in a list, such as those of allOf. */
export function listed({ schema, path }: Node, keyword: string): Node[] {
  const value = schema[keyword];
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.length === 0) throw refused(`${path}/${keyword}`, "a list of schemas", value);
  return value.map((item, i) => nodeOf(item, `${path}/${keyword}/${i}`));
}

/** The schemas by name, such as those of properties. */
export function named({ schema, path }: Node, keyword: string): Map<string, Node> {
  const value = schema[keyword];
  if (value === undefined) return new Map();
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw refused(`${path}/${keyword}`, "schemas by name", value);
  }
  return new Map(
    Object.entries(value).map(([name, item]) => [name, nodeOf(item, `${path}/${keyword}/${escaped(name)}`)]),
  );
}

/** The schema of a keyword; undefined if there is none. */
export function single({ schema, path }: Node, keyword: string): Node | undefined {
  return schema[keyword] === undefined ? undefined : nodeOf(schema[keyword], `${path}/${keyword}`);
}

function escaped(name: string): string {
  return name.replaceAll("~", "~0").replaceAll("/", "~1");
}

/** The node that a node's $ref means. Throws OptionError if there is none in this document. */
export function resolve(root: unknown, { schema, path }: Node): Node {
  const reference = schema.$ref as string;
  const fail = (expected: string) => refused(`${path}/$ref`, expected, reference);
  if (!/^#(?:\/|$)/.test(reference)) throw fail("a pointer into this schema, such as #/$defs/name");
  const walk = (pointer: string): unknown => {
    let value: unknown = root;
    for (const part of pointer.split("/").slice(1)) {
      const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
      if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) throw fail("one that is there");
      // Below an $id of its own, references are relative to that.
      if (value !== root && (value as Keywords).$id !== undefined) throw fail("none through a schema with an $id");
      value = (value as Keywords)[name];
    }
    return value;
  };
  walk(`${path}/$ref`);
  let pointer: string;
  try {
    pointer = decodeURIComponent(reference);
  } catch {
    throw fail("a pointer in URI encoding");
  }
  return nodeOf(walk(pointer), pointer);
}

const copies = new WeakMap<Keywords, Map<string, Keywords>>();

/** A node without some keywords; always the same one. */
export function without({ schema, path }: Node, ...keywords: readonly string[]): Node {
  const present = keywords.filter((keyword) => schema[keyword] !== undefined);
  if (present.length === 0) return { schema, path };
  const known = copies.get(schema) ?? new Map<string, Keywords>();
  copies.set(schema, known);
  const key = present.join();
  const rest = known.get(key) ?? Object.fromEntries(Object.entries(schema).filter(([name]) => !present.includes(name)));
  known.set(key, rest);
  return { schema: rest, path };
}

/**
 * All that is asked of a value beside what `anyOf` and `oneOf` leave open: references and `allOf` are put in their place.
 * Throws OptionError for what cannot be enforced.
 */
export function flatten(root: unknown, nodes: readonly Node[]): Node[] {
  const found = new Map<Keywords, Node>();
  const visit = (node: Node, within: readonly Keywords[]): void => {
    if (within.includes(node.schema)) throw refused(node.path, "no reference to itself before any text", "one");
    if (found.has(node.schema)) return;
    checkKeywords(node);
    found.set(node.schema, without(node, "$ref", "allOf"));
    const inside = [...within, node.schema];
    if (node.schema.$ref !== undefined) visit(resolve(root, node), inside);
    for (const part of listed(node, "allOf")) visit(part, inside);
  };
  for (const node of nodes) visit(node, []);
  const unique = new Map([...found.values()].map((node) => [node.schema, node]));
  return [...unique.values()].filter(({ schema }) => Object.keys(schema).length > 0);
}
