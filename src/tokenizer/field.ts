import { ModelError, mismatch, show } from "../base/errors.ts";
import { isRecord } from "../formats/json.ts";

/** Components may be nested; deeper nesting means a damaged or hostile file. */
const MAX_DEPTH = 16;

/**
 * A value of a parsed JSON file together with its path, so that readers can check it and name it in errors. Every
 * reader throws ModelError: `path: expected X, found Y`.
 */
export class Field {
  readonly value: unknown;
  readonly #parent: Field | undefined;
  readonly #name: string | number;
  readonly #depth: number;

  /** `name`: the file, or within `parent` the key or index. */
  constructor(value: unknown, name: string | number, parent?: Field) {
    this.value = value;
    this.#name = name;
    this.#parent = parent;
    this.#depth = parent ? parent.#depth + 1 : 0;
    if (this.#depth > MAX_DEPTH) parent!.fail(`at most ${MAX_DEPTH} levels of nesting`);
  }

  /** `file: a.b[3]["c d"]`, built only for errors: files have about 10^5 fields. */
  get path(): string {
    const name = this.#name;
    if (!this.#parent) return String(name);
    const above = this.#parent.path;
    if (typeof name === "number") return `${above}[${name}]`;
    if (!/^\w{1,60}$/.test(name)) return `${above}[${show(JSON.stringify(name))}]`;
    return `${above}${this.#parent.#parent ? "." : ": "}${name}`;
  }

  fail(expected: string): never {
    throw new ModelError(mismatch(this.path, expected, describe(this.value)));
  }

  /** Neither missing nor null. */
  get present(): boolean {
    return this.value !== undefined && this.value !== null;
  }

  object(): Readonly<Record<string, unknown>> {
    return isRecord(this.value) ? this.value : this.fail("an object");
  }

  /** The field `key` of this object; its value is undefined if it is missing. */
  get(key: string): Field {
    const object = this.object();
    return new Field(Object.hasOwn(object, key) ? object[key] : undefined, key, this);
  }

  array(): Field[] {
    return Array.from(this.items(), (item, i) => new Field(item, i, this));
  }

  /** The values of this array. */
  items(): readonly unknown[] {
    return Array.isArray(this.value) ? this.value : this.fail("an array");
  }

  string(): string {
    return typeof this.value === "string" ? this.value : this.fail("a string");
  }

  /** A string of exactly one code point. */
  character(): string {
    const text = this.string();
    return [...text].length === 1 ? text : this.fail("one character");
  }

  integer(max: number): number {
    return isWhole(this.value, max) ? this.value : this.fail(`an integer in 0..${max}`);
  }

  boolean(): boolean {
    return typeof this.value === "boolean" ? this.value : this.fail("true or false");
  }

  /** true or false; `missing` if the field is missing or null. */
  flag(missing: boolean): boolean {
    return this.present ? this.boolean() : missing;
  }

  /** The string; undefined if the field is missing or null. */
  text(): string | undefined {
    return this.present ? this.string() : undefined;
  }

  oneOf<T extends string>(known: readonly T[]): T {
    const found = known.find((name) => name === this.value);
    return found ?? this.fail(`one of ${known.join(", ")}`);
  }
}

/** Whether a value is an integer in 0..max. */
export function isWhole(value: unknown, max: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max;
}

/** What was found, abbreviated: whole vocabularies are not printed. */
function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  return typeof value === "string" ? show(JSON.stringify(value)) : show(String(value));
}
