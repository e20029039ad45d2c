import { setOf } from "./code_points.ts";
import { type Expression, oneOf } from "./expression.ts";
import { ANY_INTEGER, ANY_NUMBER } from "./json_text.ts";
import { common, type Machine, MOST_STATES, machineOf, TooLarge } from "./machine.ts";
import { type Bounds, integersWithin, numbersWithin } from "./numbers.ts";
import { type Node, refused } from "./schema_nodes.ts";
import { enforced } from "./schema_strings.ts";
import { count } from "./schema_values.ts";

/** Formats of whole numbers. */
const WHOLE = ["int32", "int64"];
const INT32: Bounds = { least: -(2 ** 31), most: 2 ** 31 - 1, above: false, below: false };

/** A number of which these nodes are asked. Throws OptionError for bounds and steps of too many digits. */
export function numberOf(nodes: readonly Node[], path: string, isInteger: boolean): Expression {
  const steps = nodes.flatMap(({ schema, path }) => {
    return schema.multipleOf === undefined ? [] : [{ step: schema.multipleOf as number, path: `${path}/multipleOf` }];
  });
  for (const { step, path } of steps) if (!Number.isInteger(step)) throw refused(path, "a whole number", step);
  const step = steps.reduce((all, { step }) => (all * step) / greatestDivisor(all, step), 1);
  const bounds = boundsOf(nodes, step > 1);
  const isWhole = isInteger || steps.length > 0 || nodes.some(({ schema }) => WHOLE.includes(schema.format as string));
  const isFree = bounds.least === -Infinity && bounds.most === Infinity;
  const within = isWhole ? integersWithin : numbersWithin;
  const plain = isFree ? (isWhole ? ANY_INTEGER : ANY_NUMBER) : within(bounds);
  if (!plain) throw refused(path, "bounds of fewer digits", [bounds.least, bounds.most]);
  if (step === 1) return plain;
  const states = enforced(steps[0]!.path, () => common(machineOf(plain), multiples(step)));
  return { kind: "machine", states, write: oneOf };
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}

/** `exact`: numbers of so many digits that none is rounded. */
function boundsOf(nodes: readonly Node[], exact: boolean): Bounds {
  const most = exact ? 10 ** 15 - 1 : Infinity;
  let bounds: Bounds = { least: -most, most, above: false, below: false };
  for (const { schema } of nodes) {
    const [least, above] = [count(schema.minimum, -Infinity), count(schema.exclusiveMinimum, -Infinity)];
    const [most, below] = [count(schema.maximum, Infinity), count(schema.exclusiveMaximum, Infinity)];
    if (least > bounds.least) bounds = { ...bounds, least, above: false };
    if (above >= bounds.least && above > -Infinity) bounds = { ...bounds, least: above, above: true };
    if (most < bounds.most) bounds = { ...bounds, most, below: false };
    if (below <= bounds.most && below < Infinity) bounds = { ...bounds, most: below, below: true };
    if (schema.format === "int32") {
      if (bounds.least < INT32.least) bounds = { ...bounds, least: INT32.least, above: false };
      if (bounds.most > INT32.most) bounds = { ...bounds, most: INT32.most, below: false };
    }
  }
  return bounds;
}

/** The multiples of a step: a state for each remainder. Throws TooLarge. */
function multiples(step: number): Machine {
  if (step > MOST_STATES) throw new TooLarge();
  return Array.from({ length: step }, (_, rest) => {
    const moves = Array.from({ length: 10 }, (_, digit) => {
      return [setOf([[0x30 + digit, 0x30 + digit]]), (10 * rest + digit) % step] as const;
    });
    const sign = rest === 0 ? [[setOf([[0x2d, 0x2d]]), 0] as const] : [];
    return { accepts: rest === 0, moves: [...moves, ...sign] };
  });
}
