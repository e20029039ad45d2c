import { indexOf } from "./basics.ts";
import { equal } from "./compare.ts";
import { TemplateError } from "./errors.ts";
import { spend } from "./limits.ts";
import { type Args, Fn, Thing, Tuple, Undefined, type Value } from "./values.ts";

/** The `loop` of a `for`. Values are fetched lazily. */
export class Loop extends Thing {
  readonly type = "LoopContext";
  readonly #values: Iterator<Value>;
  /** From 0. */
  readonly #depth: number;
  /** Iterates over other values with the same body, if the loop is recursive. */
  readonly #again: ((values: Value, depth: number) => Value) | undefined;
  /** Fetched, but not yet returned. */
  #ahead: Value[] = [];
  #index = -1;
  #before: Value | undefined;
  #current: Value | undefined;
  #changed: Value | undefined;

  constructor(values: Iterable<Value>, depth: number, again: Loop["again"]) {
    super();
    this.#values = values[Symbol.iterator]();
    this.#depth = depth;
    this.#again = again;
  }

  protected get again() {
    return this.#again;
  }

  /** The next value; undefined at the end. */
  next(): Value | undefined {
    spend();
    const [value] = this.#fetch(1);
    if (value === undefined) return undefined;
    this.#ahead.shift();
    this.#index++;
    this.#before = this.#current;
    return (this.#current = value);
  }

  /** Looks ahead. */
  #fetch(count: number): readonly Value[] {
    while (this.#ahead.length < count) {
      const next = this.#values.next();
      if (next.done) break;
      this.#ahead.push(next.value);
      spend();
    }
    return this.#ahead;
  }

  override get length(): number {
    return this.#index + 1 + this.#fetch(Number.POSITIVE_INFINITY).length;
  }

  override get repr(): string {
    return `<LoopContext ${this.#index + 1}/${this.length}>`;
  }

  attribute(name: string): Value | undefined {
    switch (name) {
      case "index":
        return this.#index + 1;
      case "index0":
        return this.#index;
      case "revindex":
        return this.length - this.#index;
      case "revindex0":
        return this.length - this.#index - 1;
      case "first":
        return this.#index === 0;
      case "last":
        return this.#fetch(1).length === 0;
      case "length":
        return this.length;
      case "depth":
        return this.#depth + 1;
      case "depth0":
        return this.#depth;
      case "previtem":
        return this.#before ?? new Undefined("there is no previous item");
      case "nextitem":
        return this.#fetch(1)[0] ?? new Undefined("there is no next item");
      case "cycle":
        return new Fn(name, ({ list }) => {
          if (list.length === 0) throw new TemplateError("no items for cycling given");
          return list[indexOf(this.#index, "cycle()") % list.length]!;
        });
      case "changed":
        return new Fn(name, ({ list }) => this.#change(new Tuple(list)));
    }
    return undefined;
  }

  #change(values: Tuple): boolean {
    if (this.#changed !== undefined && equal(this.#changed, values)) return false;
    this.#changed = values;
    return true;
  }

  override call(args: Args): Value {
    if (!this.#again) throw new TemplateError("a loop needs the 'recursive' marker to be called");
    return this.#again(args.take("loop", ["iterable"], 1)[0]!, this.#depth + 1);
  }
}
