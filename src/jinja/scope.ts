import type { Value } from "./values.ts";

/** Variables by name; a scope sees the enclosing ones and changes only its own. */
export class Scope {
  readonly #variables: Map<string, Value>;
  readonly #outer: Scope | undefined;

  constructor(outer?: Scope, variables = new Map<string, Value>()) {
    this.#outer = outer;
    this.#variables = variables;
  }

  get(name: string): Value | undefined {
    return this.#variables.get(name) ?? this.#outer?.get(name);
  }

  set(name: string, value: Value): void {
    this.#variables.set(name, value);
  }
}
