import { type Expression, repeat, sequence } from "./expression.ts";
import { COMMA, enclosed, listOf } from "./json_text.ts";
import type { Node } from "./schema_nodes.ts";
import type { Compiling } from "./schema_objects.ts";
import { count, elementsOf } from "./schema_values.ts";

/** An array of which these nodes are asked. A tuple is whole: with all of its elements, and others only if they are declared. */
export function arrayOf(nodes: readonly Node[], path: string, compiling: Compiling): Expression {
  const elements = nodes.map(elementsOf);
  const length = Math.max(...elements.map(({ prefix }) => prefix.length));
  const least = Math.max(...nodes.map(({ schema }) => count(schema.minItems, 0)));
  const most = Math.min(...nodes.map(({ schema }) => count(schema.maxItems, Infinity)));
  const value = (parts: readonly (Node | undefined)[]) => {
    const asked = parts.filter((part) => part !== undefined);
    return compiling.value(asked, asked[0]?.path ?? `${path}/items`);
  };
  const item = value(elements.map(({ items }) => items));
  if (length === 0) return enclosed("[", listOf(item, least, most), "]");
  const tuple = Array.from({ length: Math.min(length, most) }, (_, i) => {
    return value(elements.map(({ prefix, items }) => prefix[i] ?? items));
  });
  const isOpen = elements.some(({ items }) => items !== undefined);
  const more = repeat(
    sequence(COMMA, item),
    Math.max(0, least - length),
    isOpen ? Math.max(0, most - length) : Math.max(0, least - length),
  );
  const inside = tuple.flatMap((element, i) => (i > 0 ? [COMMA, element] : [element]));
  return enclosed("[", sequence(...inside, more), "]");
}
