import { ALL } from "./code_points.ts";
import {
  anyText,
  choice,
  EMPTY,
  type Expression,
  inJson,
  literal,
  NEVER,
  oneOf,
  repeat,
  sequence,
} from "./expression.ts";
import { COMMA, closing, member, opening, quoted } from "./json_text.ts";
import { common, type Machine, machineOf } from "./machine.ts";
import { compileRegex } from "./regex.ts";
import type { RuleBook } from "./rule_book.ts";
import { type Node, named, refused, single } from "./schema_nodes.ts";
import { enforced, nameMachine } from "./schema_strings.ts";
import { accepts, count, memberNodes, requiredOf, writesOthers } from "./schema_values.ts";

/** The most members of an object that may be left out. */
const MOST_OPTIONAL = 256;

/** What a schema compiler lends to the parts of it. */
export interface Compiling {
  readonly root: unknown;
  readonly book: RuleBook;
  /** A value of which all of these are asked. */
  value(nodes: readonly Node[], path: string): Expression;
}

/** A member that objects may have. */
interface Member {
  readonly expression: Expression;
  readonly isRequired: boolean;
}

/**
 * An object of which these nodes are asked: members in the order in which they are declared, then others. Each member is
 * a rule for the rest of the object, so that nothing is there twice.
 */
export function objectOf(nodes: readonly Node[], path: string, compiling: Compiling): Expression {
  const { book } = compiling;
  const members = membersOf(nodes, path, compiling);
  const others = otherMembers(nodes, path, compiling);
  const { least, most } = counts(nodes, path, members, others.length > 0);
  const end = closing("}");
  const other = choice(...others);
  const more = (count: number) => repeat(sequence(COMMA, other), 0, count);
  const left = most - members.length;
  /** Rules for what follows before the first member and behind one. */
  let behind = book.define(path, sequence(left > 0 ? more(left) : EMPTY, end));
  const first = left > 0 ? sequence(other, more(left - 1), end) : NEVER;
  let before = book.define(path, least > 0 ? first : choice(end, first));
  for (const { expression, isRequired } of members.toReversed()) {
    const skipped = { behind: isRequired ? NEVER : behind, before: isRequired ? NEVER : before };
    const next = behind;
    behind = book.define(path, choice(sequence(COMMA, expression, next), skipped.behind));
    before = book.define(path, choice(sequence(expression, next), skipped.before));
  }
  return sequence(opening("{"), before);
}

/** The members that are named, required ones without a declaration last. */
function membersOf(nodes: readonly Node[], path: string, compiling: Compiling): Member[] {
  const required = requiredOf(nodes);
  const declared = nodes.flatMap((node) => [...named(node, "properties").keys()]);
  return [...new Set([...declared, ...required])].map((name) => {
    const isRequired = required.includes(name);
    const names = nodes.flatMap((node) => single(node, "propertyNames") ?? []);
    const isNamed = names.every((node) => accepts(compiling.root, node, name));
    const parts = nodes.flatMap((node) => memberNodes(node, name));
    const value = compiling.value(parts, parts[0]?.path ?? `${path}/properties/${name}`);
    return { expression: isNamed ? member(quoted(literal(name, inJson)), value) : NEVER, isRequired };
  });
}

/** The members that are not named: those whose names match patternProperties, and those of additionalProperties. */
function otherMembers(nodes: readonly Node[], path: string, compiling: Compiling): Expression[] {
  if (!writesOthers(nodes)) return [];
  const patterns = nodes.flatMap((node) =>
    [...named(node, "patternProperties")].map(([pattern, part]) => ({ pattern, part, node })),
  );
  const [only, another] = patterns;
  if (another) throw refused(another.part.path, "one pattern of properties at most", another.pattern);
  const names = new Set(nodes.flatMap((node) => [...named(node, "properties").keys(), ...requiredOf([node])]));
  const asked = nodes.flatMap((node) => single(node, "propertyNames") ?? []);
  const rest = nodes.flatMap((node) => single(node, "additionalProperties") ?? []);
  const entry = (make: () => Machine, parts: readonly Node[]) => {
    const key = quoted({ kind: "machine", states: enforced(path, make), write: inJson });
    return member(key, compiling.value(parts, parts[0]?.path ?? `${path}/additionalProperties`));
  };
  const free = () => {
    const all = machineOf(repeat(oneOf(ALL), 0, Infinity));
    const allowed = asked.length > 0 ? common(all, nameMachine(compiling.root, asked)) : all;
    const known = anyText(names);
    return known.kind === "machine" ? common(allowed, known.states, true) : allowed;
  };
  if (!only) return [entry(free, rest)];
  const pattern = () => machineOf(compileRegex(only.pattern, `schema ${only.part.path}`, true));
  const others = nodes.filter((node) => node !== only.node);
  const beside = others.flatMap((node) => single(node, "additionalProperties") ?? []);
  const matching = entry(() => common(free(), pattern()), [only.part, ...beside]);
  return rest.length > 0 ? [matching, entry(() => common(free(), pattern(), true), rest)] : [matching];
}

/** How many members there are. Throws OptionError for counts that would have to be compared while they are written. */
function counts(nodes: readonly Node[], path: string, members: readonly Member[], isOpen: boolean) {
  const least = Math.max(...nodes.map(({ schema }) => count(schema.minProperties, 0)));
  const most = Math.min(...nodes.map(({ schema }) => count(schema.maxProperties, Infinity)));
  const required = members.filter(({ isRequired }) => isRequired).length;
  if (least > Math.max(required, 1)) {
    throw refused(`${path}/minProperties`, `at most ${Math.max(required, 1)}, as a member may be there twice`, least);
  }
  if (members.length - required > MOST_OPTIONAL) {
    throw refused(`${path}/properties`, `at most ${MOST_OPTIONAL} that are not required`, members.length - required);
  }
  if (most < members.length)
    throw refused(`${path}/maxProperties`, `at least the ${members.length} that are named`, most);
  return { least: required > 0 ? 0 : least, most: isOpen ? most : members.length };
}
