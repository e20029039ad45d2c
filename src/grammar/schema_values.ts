/** Values against schemas, by the keywords that are enforced. */
import { formatPattern } from "./formats.ts";
import { flatten, type Keywords, listed, type Node, named, single } from "./schema_nodes.ts";

/** The kinds of values; "fraction": a number that is not whole. */
export const KINDS = ["object", "array", "string", "integer", "fraction", "boolean", "null"] as const;
/** One of KINDS. */
export type Kind = (typeof KINDS)[number];

/** The kinds of a `type`. */
const KINDS_OF: Readonly<Record<string, readonly Kind[]>> = { number: ["integer", "fraction"] };

/** Keywords that are about values of one kind. */
const ABOUT: Readonly<Record<string, readonly Kind[]>> = Object.fromEntries(
  (
    [
      [["object"], ["properties", "required", "additionalProperties", "patternProperties", "propertyNames"]],
      [["object"], ["minProperties", "maxProperties"]],
      [["array"], ["items", "prefixItems", "additionalItems", "minItems", "maxItems"]],
      [["string"], ["minLength", "maxLength", "pattern", "format"]],
      [
        ["integer", "fraction"],
        ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"],
      ],
    ] as const
  ).flatMap(([kinds, keywords]) => keywords.map((keyword) => [keyword, kinds])),
);

/** The kinds that the types of all these nodes leave. */
export function kindsOf(nodes: readonly Node[]): Set<Kind> {
  const left = new Set<Kind>(KINDS);
  for (const { schema } of nodes) {
    if (schema.type === undefined) continue;
    const types = [schema.type as string | string[]].flat();
    const kinds = types.flatMap((type) => KINDS_OF[type] ?? [type as Kind]);
    for (const kind of left) if (!kinds.includes(kind)) left.delete(kind);
  }
  return left;
}

/** The kinds that are written: where no type is given, those that the other keywords are about. */
export function writtenKinds(nodes: readonly Node[]): Set<Kind> {
  const kinds = kindsOf(nodes);
  if (nodes.some(({ schema }) => schema.type !== undefined)) return kinds;
  const meant = nodes.flatMap(({ schema }) => Object.keys(schema).flatMap((keyword) => ABOUT[keyword] ?? []));
  return meant.length > 0 ? new Set(KINDS.filter((kind) => meant.includes(kind))) : kinds;
}

/** The values that enum and const of all these nodes leave; undefined if they have none. */
export function valuesOf(root: unknown, nodes: readonly Node[]): unknown[] | undefined {
  const lists = nodes.flatMap(({ schema }) => [
    ...(schema.enum === undefined ? [] : [schema.enum as unknown[]]),
    ...(schema.const === undefined ? [] : [[schema.const]]),
  ]);
  const [first] = lists;
  if (!first) return undefined;
  const unique = [...new Map(first.map((value) => [canonical(value), value])).values()];
  return unique.filter((value) => nodes.every((node) => accepts(root, node, value)));
}

/** Whether a value is valid. */
export function accepts(root: unknown, node: Node, value: unknown): boolean {
  return flatten(root, [node]).every((part) => acceptsAlone(root, part, value));
}

function acceptsAlone(root: unknown, node: Node, value: unknown): boolean {
  const { schema } = node;
  const same = (other: unknown) => canonical(other) === canonical(value);
  if (schema.enum !== undefined && !(schema.enum as unknown[]).some(same)) return false;
  if (schema.const !== undefined && !same(schema.const)) return false;
  if (!kindsOf([node]).has(kindOf(value))) return false;
  const valid = (part: Node) => accepts(root, part, value);
  if (schema.anyOf !== undefined && !listed(node, "anyOf").some(valid)) return false;
  if (schema.oneOf !== undefined && listed(node, "oneOf").filter(valid).length !== 1) return false;
  if (typeof value === "number") return acceptsNumber(schema, value);
  if (typeof value === "string") return acceptsText(schema, value);
  if (Array.isArray(value)) {
    const { prefix, items } = elementsOf(node);
    const within = value.length >= count(schema.minItems, 0) && value.length <= count(schema.maxItems, Infinity);
    return within && value.every((item, i) => accepts(root, prefix[i] ?? items ?? { schema: {}, path: "" }, item));
  }
  return typeof value !== "object" || value === null || acceptsObject(root, node, value as Keywords);
}

function acceptsNumber(schema: Keywords, value: number): boolean {
  const { minimum = -Infinity, maximum = Infinity, multipleOf: step = value || 1 } = schema as Record<string, number>;
  const { exclusiveMinimum = -Infinity, exclusiveMaximum = Infinity } = schema as Record<string, number>;
  const within = value >= minimum && value <= maximum && value > exclusiveMinimum && value < exclusiveMaximum;
  return within && Number.isInteger(value / step);
}

function acceptsText(schema: Keywords, value: string): boolean {
  const length = [...value].length;
  if (length < count(schema.minLength, 0) || length > count(schema.maxLength, Infinity)) return false;
  const format = schema.format === undefined ? undefined : formatPattern(schema.format as string);
  return [schema.pattern as string | undefined, format].every(
    (pattern) => !pattern || new RegExp(pattern, "u").test(value),
  );
}

function acceptsObject(root: unknown, node: Node, value: Keywords): boolean {
  const { schema } = node;
  const entries = Object.entries(value);
  if (entries.length < count(schema.minProperties, 0)) return false;
  if (entries.length > count(schema.maxProperties, Infinity)) return false;
  if (((schema.required as string[] | undefined) ?? []).some((name) => !Object.hasOwn(value, name))) return false;
  const names = single(node, "propertyNames");
  return entries.every(([name, item]) => {
    if (names && !accepts(root, names, name)) return false;
    return memberNodes(node, name).every((part) => accepts(root, part, item));
  });
}

/** What a node asks of a member. */
export function memberNodes(node: Node, name: string): Node[] {
  const own = named(node, "properties").get(name);
  const patterns = [...named(node, "patternProperties")].filter(([pattern]) => new RegExp(pattern, "u").test(name));
  const declared = [...(own ? [own] : []), ...patterns.map(([, part]) => part)];
  const rest = single(node, "additionalProperties");
  return declared.length > 0 || !rest ? declared : [rest];
}

/** The members that an object must have. */
export function requiredOf(nodes: readonly Node[]): string[] {
  return [...new Set(nodes.flatMap(({ schema }) => (schema.required as string[] | undefined) ?? []))];
}

/**
 * Whether members are written that no node names: where additionalProperties or patternProperties says what they are, or
 * nothing at all is said of members.
 */
export function writesOthers(nodes: readonly Node[]): boolean {
  const has = (keyword: string) => nodes.some(({ schema }) => schema[keyword] !== undefined);
  if (nodes.some(({ schema }) => schema.additionalProperties === false) && !has("patternProperties")) return false;
  return has("additionalProperties") || has("patternProperties") || !(has("properties") || has("required"));
}

/** What a node asks of the elements of an array: of the first ones, and of the others. Also as draft 7 has it. */
export function elementsOf(node: Node): { readonly prefix: readonly Node[]; readonly items: Node | undefined } {
  if (!Array.isArray(node.schema.items)) return { prefix: listed(node, "prefixItems"), items: single(node, "items") };
  return { prefix: listed(node, "items"), items: single(node, "additionalItems") };
}

/** A count, or what stands for none. */
export function count(value: unknown, none: number): number {
  return (value as number | undefined) ?? none;
}

/** The kind of a value. */
export function kindOf(value: unknown): Kind {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "fraction";
  return typeof value as Kind;
}

/** A value as text that equal values share. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => {
    if (typeof inner !== "object" || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
