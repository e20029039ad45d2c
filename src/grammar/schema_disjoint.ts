import { flatten, listed, type Node, without } from "./schema_nodes.ts";
import { accepts, kindsOf, memberNodes, requiredOf, valuesOf, writesOthers, writtenKinds } from "./schema_values.ts";

/** How deep members are compared. */
const MOST_LEVELS = 8;

/**
 * Whether no value that is written for the first is valid by the second: by kind, by their values, or by a member that
 * tells them apart. false also where that cannot be seen.
 */
export function excludes(
  root: unknown,
  written: readonly Node[],
  other: readonly Node[],
  levels = MOST_LEVELS,
): boolean {
  const first = flatten(root, written);
  // Formats are written more narrowly than they are.
  const second = flatten(root, other).map((node) => without(node, "format"));
  const kinds = [...writtenKinds(first)].filter((kind) => kindsOf(second).has(kind));
  if (kinds.length === 0) return true;
  const isOf = (nodes: readonly Node[]) => (value: unknown) => nodes.every((node) => accepts(root, node, value));
  const values = valuesOf(root, first);
  if (values) return !values.some(isOf(second));
  const others = valuesOf(root, second);
  if (others) return !others.some(isOf(first));
  if (levels === 0) return false;
  const below = (a: readonly Node[], b: readonly Node[]) => excludes(root, a, b, levels - 1);
  for (const { branches, rest } of branchings(first)) {
    if (branches.every((branch) => below([...rest, branch], second))) return true;
  }
  if (branchings(second).some(({ branches }) => branches.every((branch) => below(first, [branch])))) return true;
  return kinds.join() === "object" && differs(first, second, below);
}

/** Whether objects differ in a member that one of them must have. */
function differs(
  first: readonly Node[],
  second: readonly Node[],
  below: (a: readonly Node[], b: readonly Node[]) => boolean,
): boolean {
  const closed = !writesOthers(first);
  const has = (name: string) =>
    requiredOf(first).includes(name) || first.some((node) => memberNodes(node, name).length > 0);
  if (closed && requiredOf(second).some((name) => !has(name))) return true;
  return [...requiredOf(first), ...requiredOf(second)].some((name) => {
    const [mine, theirs] = [first, second].map((nodes) => nodes.flatMap((node) => memberNodes(node, name)));
    return below(mine!, theirs!);
  });
}

/** The alternatives among nodes, and what is asked beside them. */
export function branchings(nodes: readonly Node[]) {
  return nodes.flatMap((node) =>
    (["anyOf", "oneOf"] as const).flatMap((keyword) => {
      if (node.schema[keyword] === undefined) return [];
      const rest = nodes.map((other) => (other === node ? without(node, keyword) : other));
      return [{ keyword, path: `${node.path}/${keyword}`, branches: listed(node, keyword), rest }];
    }),
  );
}
