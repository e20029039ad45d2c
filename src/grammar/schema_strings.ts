import { mismatch, OptionError } from "../base/errors.ts";
import { ALL } from "./code_points.ts";
import { ANY_IN_JSON, anyText, type Expression, inJson, repeat, type Write } from "./expression.ts";
import { formatPattern } from "./formats.ts";
import { quoted } from "./json_text.ts";
import { common, lengthMachine, type Machine, machineOf, TooLarge } from "./machine.ts";
import { compileRegex } from "./regex.ts";
import { branchings } from "./schema_disjoint.ts";
import { flatten, type Node, refused } from "./schema_nodes.ts";
import { count, kindsOf, valuesOf } from "./schema_values.ts";

/** What is asked of a text: patterns, each as an expression over its characters, and the number of those. */
interface Asked {
  readonly patterns: readonly Expression[];
  readonly least: number;
  readonly most: number;
}

function asked(nodes: readonly Node[]): Asked {
  const patterns = nodes.flatMap(({ schema, path }) => {
    const format = schema.format === undefined ? undefined : formatPattern(schema.format as string);
    return [
      ...(schema.pattern === undefined ? [] : [compileRegex(schema.pattern as string, `schema ${path}/pattern`, true)]),
      ...(format === undefined ? [] : [compileRegex(format, `schema ${path}/format`, true)]),
    ];
  });
  const least = Math.max(...nodes.map(({ schema }) => count(schema.minLength, 0)));
  const most = Math.min(...nodes.map(({ schema }) => count(schema.maxLength, Infinity)));
  return { patterns, least, most };
}

/** A JSON string of which these nodes are asked. Throws OptionError if they are too much at once. */
export function stringOf(nodes: readonly Node[]): Expression {
  const { patterns, least, most } = asked(nodes);
  const [pattern, ...others] = patterns;
  if (!pattern) return quoted(repeat(ANY_IN_JSON, least, most));
  if (others.length === 0 && least <= 0 && most === Infinity) return quoted(written(pattern, inJson));
  return quoted({ kind: "machine", states: textMachine(nodes), write: inJson });
}

/** The texts of which these nodes are asked. */
export function textMachine(nodes: readonly Node[]): Machine {
  const { patterns, least, most } = asked(nodes);
  return enforced(nodes[0]!.path, () => {
    const machines = patterns.map(machineOf);
    if (least > 0 || most < Infinity || machines.length === 0)
      machines.push(lengthMachine(Math.max(0, least), most, ALL));
    return machines.reduce((all, machine) => common(all, machine));
  });
}

/** The names of which propertyNames asks this. */
export function nameMachine(root: unknown, asked: readonly Node[]): Machine {
  const nodes = flatten(root, asked);
  const [branching] = branchings(nodes);
  if (branching) throw refused(branching.path, "no alternatives for names", branching.branches.length);
  const values = valuesOf(root, nodes);
  const any = nodes.length === 0 ? [{ schema: {}, path: "#" }] : nodes;
  if (!values) return kindsOf(nodes).has("string") ? textMachine(any) : [];
  const texts = anyText(values.filter((value) => typeof value === "string"));
  return texts.kind === "machine" ? texts.states : [];
}

/** Makes a machine. Throws OptionError with a schema's path if that is too large. */
export function enforced(path: string, make: () => Machine): Machine {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof TooLarge)) throw error;
    throw new OptionError(mismatch(`schema ${path}`, "conditions on a text that are small enough together", "others"));
  }
}

/** An expression over characters, each of them written in another way. */
export function written(expression: Expression, write: Write): Expression {
  switch (expression.kind) {
    case "set":
      return write(expression.set);
    case "sequence":
    case "choice":
      return { ...expression, items: expression.items.map((item) => written(item, write)) };
    case "repeat":
      return { ...expression, item: written(expression.item, write) };
    default:
      return expression;
  }
}
