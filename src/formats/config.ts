import { ModelError, mismatch, show } from "../base/errors.ts";
import { COMMON, isHarmless } from "./config_keys.ts";
import { isRecord } from "./json.ts";

/**
 * How a model file reads the value of one config key. `value` is undefined where the key is absent or null; `name` is
 * its name in errors. A reader returns undefined for a value that changes nothing.
 */
export type Key<T> = (value: unknown, name: string) => T;

/** The keys that a kind of config has, used or not. */
export type Schema = Readonly<Record<string, Key<unknown>>>;
/** The values of a config, by the keys of its schema. */
export type Values<S extends Schema> = { readonly [K in keyof S]: ReturnType<S[K]> } & WithoutEffect;

/** Keys that were accepted without effect; those that every Hugging Face config has are not listed. */
export interface WithoutEffect {
  readonly withoutEffect: readonly string[];
}

/** Matches every name: no undeclared key may be ignored. */
const ANYTHING = /(?:)/;

/**
 * Reads `raw` by its schema. An undeclared key may change what the model computes and is refused by name, unless it
 * cannot; see isHarmless, which explains `parts`.
 */
export function readConfig<S extends Schema>(
  raw: Readonly<Record<string, unknown>>,
  name: string,
  schema: S,
  parts = ANYTHING,
): Values<S> {
  const withoutEffect: string[] = [];
  for (const [key, value] of Object.entries(raw)) {
    if (Object.hasOwn(schema, key)) continue;
    if (!isHarmless(key, value, parts))
      throw new ModelError(mismatch(`${name}: ${show(key)}`, "a key that this kind of model has", value));
    if (!COMMON.has(key)) withoutEffect.push(key);
  }
  const values = Object.entries(schema).map(([key, read]) => {
    const given = (Object.hasOwn(raw, key) ? raw[key] : undefined) ?? undefined;
    const value = read(given, `${name}: ${key}`);
    if (given !== undefined && value === undefined) withoutEffect.push(key);
    if (isRecord(value) && Array.isArray(value.withoutEffect))
      withoutEffect.push(...value.withoutEffect.map((inner) => `${key}.${inner}`));
    return [key, value];
  });
  return { ...Object.fromEntries(values), withoutEffect } as Values<S>;
}

/**
 * A config under the names that its schema declares: `aliases` are other names of keys, as in attribute_map of
 * transformers' config classes, where the alias takes precedence.
 */
export function withoutAliases(
  raw: Readonly<Record<string, unknown>>,
  aliases: Readonly<Record<string, string>>,
): Record<string, unknown> {
  const named: Record<string, unknown> = { ...raw };
  for (const [alias, key] of Object.entries(aliases)) {
    if ((raw[alias] ?? undefined) !== undefined) named[key] = raw[alias];
    delete named[alias];
  }
  return named;
}

/** The keys of a config that may change what the model computes, sorted: a model's hash starts with them. */
export function canonicalConfig(raw: Readonly<Record<string, unknown>>): string {
  const keys = Object.keys(raw).filter((key) => key === "model_type" || !(COMMON.has(key) || raw[key] === null));
  return JSON.stringify(keys.sort().map((key) => [key, raw[key]]));
}

function fail(name: string, expected: string, value: unknown): never {
  throw new ModelError(mismatch(name, expected, value === undefined ? "nothing" : value));
}

/** An integer from 1 (or `min`) to `max`; required, unless there is a `fallback`. */
export function integer(max: number, fallback?: number, min = 1): Key<number> {
  return (value, name) => {
    const number = value ?? fallback;
    if (typeof number === "number" && Number.isInteger(number) && number >= min && number <= max) return number;
    return fail(name, `a whole number from ${min} to ${max}`, value);
  };
}

/** An integer as `integer` reads it; undefined if absent. */
export function optionalInteger(max: number): Key<number | undefined> {
  return (value, name) => (value === undefined ? undefined : integer(max)(value, name));
}

/** A finite number above `above`, 0 by default. */
export function number(fallback?: number, above = 0): Key<number> {
  return (value, name) => {
    const found = value ?? fallback;
    if (typeof found === "number" && found > above && found < 1e30 && (found === 0 || Math.abs(found) >= 1e-30))
      return found;
    return fail(name, `a number above ${above}`, value);
  };
}

/** A finite number above `above`, 0 by default; undefined if absent. */
export function optionalNumber(above = 0): Key<number | undefined> {
  return (value, name) => (value === undefined ? undefined : number(undefined, above)(value, name));
}

/** A list of numbers above 0; undefined if absent. */
export const numbers: Key<readonly number[] | undefined> = (value, name) => {
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) return fail(name, "a list of numbers", value);
  return value.map((entry, i) => number()(entry ?? undefined, `${name}[${i}]`));
};

/** true or false; `fallback` if absent. */
export function boolean(fallback: boolean): Key<boolean> {
  return (value, name) => {
    const found = value ?? fallback;
    return typeof found === "boolean" ? found : fail(name, "true or false", value);
  };
}

/** One of the supported words; the first is the default. */
export function oneOf<T extends string>(...words: [T, ...T[]]): Key<T> {
  return (value, name) => {
    const found = value === undefined ? words[0] : words.find((word) => word === value);
    return found ?? fail(name, words.map((word) => JSON.stringify(word)).join(" or "), value);
  };
}

/** A key with these supported values only, which change nothing. */
export function only(...values: (string | number | boolean)[]): Key<undefined> {
  return (value, name) => {
    if (value === undefined || values.includes(value as string)) return undefined;
    return fail(name, values.map((item) => JSON.stringify(item)).join(" or "), value);
  };
}

/** Must be absent or null. */
export const absent: Key<undefined> = (value, name) =>
  value === undefined ? undefined : fail(name, "no value", value);

/** A key without effect on inference. */
export const noEffect: Key<undefined> = () => undefined;

/** An object with its own schema; undefined if absent. */
export function object<S extends Schema>(schema: S): Key<Values<S> | undefined> {
  return (value, name) => {
    if (value === undefined) return undefined;
    return isRecord(value) ? readConfig(value, name, schema) : fail(name, "an object", value);
  };
}

/** A list whose entries are all the same one of `items`, such as layer_types. */
export function listOf(...items: string[]): Key<undefined> {
  return (value, name) => {
    if (value === undefined) return undefined;
    if (Array.isArray(value) && items.some((item) => value.every((entry) => entry === item))) return undefined;
    return fail(name, `a list of ${items.map((item) => JSON.stringify(item)).join(" alone or of ")} alone`, value);
  };
}

/** A list of `length` words, each one of these, such as layer_types with windows; undefined if absent. */
export function wordsOf<T extends string>(length: number, ...words: T[]): Key<readonly T[] | undefined> {
  return (value, name) => {
    if (value === undefined) return undefined;
    const good = Array.isArray(value) && value.length === length && value.every((word) => words.includes(word));
    if (good) return value as T[];
    return fail(name, `a list of ${length} times ${words.map((word) => JSON.stringify(word)).join(" or ")}`, value);
  };
}

/** Refuses a config unless `divisor` divides `value`. */
export function divides(name: string, value: number, divisorName: string, divisor: number): void {
  if (value % divisor !== 0) throw new ModelError(mismatch(name, `a multiple of ${divisorName} (${divisor})`, value));
}

/** Refuses a value that differs, beyond rounding, from what is computed. */
export function computed(name: string, given: number | undefined, value: number): void {
  if (given === undefined || Math.abs(given - value) <= 1e-6 * Math.abs(value)) return;
  throw new ModelError(mismatch(name, `${value}, which is what is computed`, given));
}
