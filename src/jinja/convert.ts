import { OptionError } from "../base/errors.ts";
import { intOf } from "./numbers.ts";
import { Dict, Float, NONE, type Value } from "./values.ts";

/** Deeper data must be cyclic. */
const MAX_DEPTH = 200;

/**
 * JavaScript's data as a template sees it, copied: null is None, objects and Maps are dicts, whole numbers ints
 * (so 1.0, which JavaScript does not tell from 1, is 1) and others floats. What is no data becomes a word, such as
 * "<Uint8Array>": templates only ask whether an image is there. A key whose value is undefined is left out.
 *
 * @throws OptionError if data is nested in itself
 */
export function toValue(data: unknown, depth = 0): Value {
  if (data === null || data === undefined) return NONE;
  if (typeof data === "string" || typeof data === "boolean" || typeof data === "bigint") return data;
  if (typeof data === "number") return isWhole(data) ? intOf(BigInt(data)) : new Float(data);
  if (depth > MAX_DEPTH)
    throw new OptionError(`data for a chat template: expected at most ${MAX_DEPTH} levels, found more`);
  if (Array.isArray(data)) return Array.from(data, (item) => toValue(item, depth + 1));
  const tag = Object.prototype.toString.call(data).slice(8, -1);
  if (tag === "Map") return dict(data as Map<unknown, unknown>, depth);
  if (tag === "Object") return dict(Object.entries(data as object), depth);
  return `<${tag}>`;
}

/** As JSON would write it, without a point or an exponent. */
const isWhole = (value: number) => Number.isInteger(value) && Math.abs(value) < 1e21 && !Object.is(value, -0);

function dict(entries: Iterable<readonly [unknown, unknown]>, depth: number): Dict {
  const result = new Dict();
  for (const [key, value] of entries) {
    if (value !== undefined) result.set(toValue(key, depth + 1), toValue(value, depth + 1));
  }
  return result;
}
