import { TemplateError } from "./errors.ts";

/** An integer, exact: a bigint where a double cannot represent it. */
export type Int = number | bigint;

/** Python's None; `undefined` stands for "no value" everywhere here. */
export class None {
  readonly type = "NoneType";
}

/** The only None. */
export const NONE = new None();

/** Python's values. A number is an int, a float is boxed: 1 and 1.0 are not written alike. */
export type Value =
  | None
  | boolean
  | Int
  | Float
  | string
  | Markup
  | Value[]
  | Tuple
  | Dict
  | View
  | Range
  | Iter
  | Undefined
  | Fn
  | Thing;

/** A Python float. */
export class Float {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

/** Text that is HTML already (`|e`, `|safe`): what is appended to it is escaped. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** A Python tuple. */
export class Tuple {
  readonly items: Value[];
  /** Of the first items, where they have some (groupby). */
  readonly names: readonly string[];

  constructor(items: Value[], names: readonly string[] = []) {
    this.items = items;
    this.names = names;
  }
}

/** A variable, attribute or item that is not there: empty as text, false, and an error in any other use. */
export class Undefined {
  /** The error. */
  readonly hint: string;

  constructor(hint: string) {
    this.hint = hint;
  }

  fail(): never {
    throw new TemplateError(this.hint);
  }
}

/** A Python range. */
export class Range {
  readonly start: number;
  readonly stop: number;
  readonly step: number;
  readonly length: number;

  constructor(start: number, stop: number, step: number) {
    this.start = start;
    this.stop = stop;
    this.step = step;
    this.length = Math.max(0, Math.ceil((stop - start) / step));
  }

  *[Symbol.iterator](): Generator<Value> {
    for (let i = 0; i < this.length; i++) yield this.start + i * this.step;
  }
}

/** A generator: it can be iterated once, and leaving a loop does not end it. */
export class Iter {
  readonly #values: Iterator<Value>;

  constructor(values: Iterable<Value>) {
    this.#values = values[Symbol.iterator]();
  }

  [Symbol.iterator](): Iterator<Value> {
    return { next: () => this.#values.next() };
  }
}

/** The arguments of a call. */
export class Args {
  readonly list: Value[];
  readonly named: Map<string, Value>;

  constructor(list: Value[] = [], named = new Map<string, Value>()) {
    this.list = list;
    this.named = named;
  }

  /** The arguments by the names of the callee's parameters, of which the first `required` must be given. */
  take(callee: string, names: readonly string[], required = 0): (Value | undefined)[] {
    if (this.list.length > names.length) {
      throw new TemplateError(`${callee}() takes at most ${names.length} arguments, found ${this.list.length}`);
    }
    const taken: (Value | undefined)[] = names.map((_, i) => this.list[i]);
    for (const [name, value] of this.named) {
      const i = names.indexOf(name);
      if (i < 0) throw new TemplateError(`${callee}() got an unexpected keyword argument '${name}'`);
      if (taken[i] !== undefined) throw new TemplateError(`${callee}() got multiple values for argument '${name}'`);
      taken[i] = value;
    }
    const missing = names.findIndex((_, i) => i < required && taken[i] === undefined);
    if (missing >= 0) throw new TemplateError(`${callee}() missing the argument '${names[missing]}'`);
    return taken;
  }
}

/** Something to call. */
export class Fn {
  readonly name: string;
  readonly call: (args: Args) => Value;

  constructor(name: string, call: (args: Args) => Value) {
    this.name = name;
    this.call = call;
  }
}

/** Jinja's own objects (namespaces, loops, cyclers …): they have attributes, some of which can be called. */
export abstract class Thing {
  /** Python's name of the type. */
  abstract readonly type: string;
  abstract attribute(name: string): Value | undefined;

  call(_args: Args): Value {
    throw new TemplateError(`'${this.type}' object is not callable`);
  }

  get length(): number | undefined {
    return undefined;
  }

  get repr(): string | undefined {
    return undefined;
  }
}

const UNDEFINED_KEY = Symbol("undefined");

/** What two keys share that are equal in Python, such as 1, 1.0 and True. */
function keyOf(key: Value): unknown {
  if (typeof key === "string") return key.startsWith("\0") ? `\0${key}` : key;
  if (typeof key === "boolean") return Number(key);
  if (key instanceof Float) return key.value;
  if (key instanceof Markup) return keyOf(key.text);
  if (key instanceof Undefined) return UNDEFINED_KEY;
  if (key instanceof Tuple) {
    const parts = key.items.map(keyOf).map((part) => [typeof part, String(part)]);
    return `\0(${JSON.stringify(parts)}`;
  }
  if (Array.isArray(key)) throw new TemplateError("unhashable type: 'list'");
  if (key instanceof Dict) throw new TemplateError("unhashable type: 'dict'");
  if (key instanceof View && key.kind !== "values") throw new TemplateError(`unhashable type: 'dict_${key.kind}'`);
  return key;
}

/** A Python dict: keys in order of insertion, equal ones (1, 1.0, True) shared. */
export class Dict {
  readonly #entries = new Map<unknown, [Value, Value]>();

  constructor(entries: Iterable<readonly [Value, Value]> = []) {
    for (const [key, value] of entries) this.set(key, value);
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: Value): Value | undefined {
    return this.#entries.get(keyOf(key))?.[1];
  }

  /** A key that is there already stays where and as it is. */
  set(key: Value, value: Value): void {
    const hash = keyOf(key);
    const entry = this.#entries.get(hash);
    if (entry) entry[1] = value;
    else this.#entries.set(hash, [key, value]);
  }

  *keys(): Generator<Value> {
    for (const [key] of this.#entries.values()) yield key;
  }

  *values(): Generator<Value> {
    for (const [, value] of this.#entries.values()) yield value;
  }

  entries(): Iterable<readonly [Value, Value]> {
    return this.#entries.values();
  }
}

/** dict.keys(), .values() or .items(). */
export class View {
  readonly dict: Dict;
  readonly kind: "keys" | "values" | "items";

  constructor(dict: Dict, kind: View["kind"]) {
    this.dict = dict;
    this.kind = kind;
  }

  *[Symbol.iterator](): Generator<Value> {
    if (this.kind === "keys") yield* this.dict.keys();
    else if (this.kind === "values") yield* this.dict.values();
    else for (const [key, value] of this.dict.entries()) yield new Tuple([key, value]);
  }
}
