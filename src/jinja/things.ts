/** Jinja's own objects: namespaces, cyclers, joiners. */
import { TemplateError } from "./errors.ts";
import { repr, str } from "./text.ts";
import { type Args, Dict, Fn, NONE, Thing, type Value } from "./values.ts";

/** What `{% set name.attribute = … %}` can change. */
export class Namespace extends Thing {
  readonly type = "Namespace";
  readonly #attributes = new Map<string, Value>();

  attribute(name: string): Value | undefined {
    return this.#attributes.get(name);
  }

  set(name: string, value: Value): void {
    if (name.startsWith("_")) {
      throw new TemplateError(`a namespace has no attributes that begin with an underscore: '${name}'`);
    }
    this.#attributes.set(name, value);
  }

  override get repr(): string {
    return `<Namespace ${repr(new Dict(this.#attributes))}>`;
  }
}

/** Returns its values in turn. */
export class Cycler extends Thing {
  readonly type = "Cycler";
  readonly #values: readonly Value[];
  #at = 0;

  constructor(values: readonly Value[]) {
    super();
    if (values.length === 0) throw new TemplateError("at least one item has to be provided");
    this.#values = values;
  }

  attribute(name: string): Value | undefined {
    if (name === "current") return this.#values[this.#at]!;
    if (name === "next") return new Fn(name, () => this.#next());
    if (name !== "reset") return undefined;
    return new Fn(name, () => {
      this.#at = 0;
      return NONE;
    });
  }

  #next(): Value {
    const value = this.#values[this.#at]!;
    this.#at = (this.#at + 1) % this.#values.length;
    return value;
  }
}

/** Returns nothing at its first call, a separator at all others. */
export class Joiner extends Thing {
  readonly type = "Joiner";
  readonly #separator: Value;
  #used = false;

  constructor(separator: Value) {
    super();
    this.#separator = separator;
  }

  attribute(): undefined {
    return undefined;
  }

  override call(_args: Args): Value {
    const separator = this.#used ? str(this.#separator) : "";
    this.#used = true;
    return separator;
  }
}
