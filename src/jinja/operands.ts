import type { Arguments, Expression } from "./nodes.ts";
import { parseFloat_, parseInt_ } from "./numbers.ts";
import type { Stream } from "./stream.ts";
import { Float, NONE, type Value } from "./values.ts";

/** The names of the existing filters and tests. */
export interface Known {
  readonly filters: ReadonlySet<string>;
  readonly tests: ReadonlySet<string>;
}

/** Names of constants, in Jinja's spellings and Python's. */
export const CONSTANTS: Record<string, Value> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: NONE,
  None: NONE,
};
const NO_ARGUMENTS: Arguments = { list: [], named: [], more: undefined, moreNamed: undefined };

/** Parses operands: literals, names, calls, attributes, items, filters and tests. */
export abstract class OperandParser {
  readonly stream: Stream;
  /** Records caller, varargs and kwargs, if a macro's body reads them. */
  reads = new Set<string>();
  /** Inside an `if`, where Jinja resolves filters and tests only when it evaluates them. */
  soft = false;
  /** Uses of filters and tests that do not exist. */
  readonly unknown: { readonly message: string; readonly line: number }[] = [];
  readonly #known: Known;

  constructor(stream: Stream, known: Known) {
    this.stream = stream;
    this.#known = known;
  }

  abstract expression(): Expression;
  /** One expression or, with commas, a tuple; none at all where it may be empty. */
  abstract tuple(how?: { empty?: boolean }): Expression;

  protected primary(): Expression {
    const { stream } = this;
    const { type, value, line } = stream.current;
    if (type === "name") {
      stream.next();
      if (value in CONSTANTS) return { type: "constant", value: CONSTANTS[value]!, line };
      if (/^(caller|varargs|kwargs)$/.test(value)) this.reads.add(value);
      return { type: "name", name: value, line };
    }
    if (type === "string") {
      let text = "";
      while (stream.is("string")) text += stream.next().value;
      return { type: "constant", value: text, line };
    }
    if (type === "number") return { type: "constant", value: numberOf(stream.next().value), line };
    if (stream.skip("operator", "(")) {
      const inner = this.tuple({ empty: true });
      stream.expect("operator", ")");
      return inner;
    }
    if (stream.skip("operator", "[")) return { type: "list", items: this.#items("]", () => this.expression()), line };
    if (!stream.skip("operator", "{")) stream.fail("expected an expression");
    const pairs = this.#items("}", () => {
      const key = this.expression();
      stream.expect("operator", ":");
      return [key, this.expression()] as const;
    });
    return { type: "dict", pairs, line };
  }

  /** Parses up to a closing bracket; a trailing comma is allowed. */
  #items<T>(close: string, item: () => T): T[] {
    const items: T[] = [];
    while (!this.stream.skip("operator", close)) {
      if (items.length) this.stream.expect("operator", ",");
      if (this.stream.skip("operator", close)) break;
      items.push(item());
    }
    return items;
  }

  protected postfix(node: Expression): Expression {
    const { stream } = this;
    for (;;) {
      const { line } = stream.current;
      if (stream.skip("operator", ".")) node = this.#attribute(node, line);
      else if (stream.skip("operator", "[")) node = this.#subscript(node, line);
      else if (stream.is("operator", "(")) node = { type: "call", callee: node, args: this.#arguments(), line };
      else return node;
    }
  }

  #attribute(of: Expression, line: number): Expression {
    const { type, value } = this.stream.current;
    if (type === "name") return { type: "attribute", of, name: this.stream.next().value, line };
    if (type !== "number" || !/^\d+$/.test(value)) this.stream.fail("expected a name or a number");
    this.stream.next();
    return { type: "item", of, key: { type: "constant", value: Number(value), line }, line };
  }

  #subscript(of: Expression, line: number): Expression {
    const { stream } = this;
    const first = stream.is("operator", ":") ? undefined : this.expression();
    const bounds = [first];
    while (bounds.length < 3 && stream.skip("operator", ":")) {
      bounds.push(stream.is("operator", ":", "]") ? undefined : this.expression());
    }
    if (first && bounds.length === 1) {
      const items = [first];
      while (stream.skip("operator", ",")) items.push(this.expression());
      stream.expect("operator", "]");
      return { type: "item", of, key: items.length > 1 ? { type: "tuple", items, line } : first, line };
    }
    stream.expect("operator", "]");
    return { type: "slice", of, bounds, line };
  }

  #arguments(): Arguments {
    const { stream } = this;
    const list: Expression[] = [];
    const named: (readonly [string, Expression])[] = [];
    let more: Expression | undefined;
    let moreNamed: Expression | undefined;
    stream.expect("operator", "(");
    this.#items(")", () => {
      if (!more && !moreNamed && stream.skip("operator", "*")) more = this.expression();
      else if (!moreNamed && stream.skip("operator", "**")) moreNamed = this.expression();
      else if (
        !moreNamed &&
        stream.is("name") &&
        stream.following.type === "operator" &&
        stream.following.value === "="
      ) {
        const name = stream.next().value;
        stream.next();
        named.push([name, this.expression()]);
      } else if (more || moreNamed || named.length) stream.fail("expected a named argument");
      else list.push(this.expression());
    });
    return { list, named, more, moreNamed };
  }

  filtersAndTests(node: Expression): Expression {
    const { stream } = this;
    for (;;) {
      const { line } = stream.current;
      if (stream.is("operator", "|")) node = this.filters(node)!;
      else if (stream.skip("name", "is")) node = this.#test(node, line);
      else if (stream.is("operator", "(")) node = { type: "call", callee: node, args: this.#arguments(), line };
      else return node;
    }
  }

  /** `|a|b(1)`; `inline`: the first one has no bar. */
  filters(node: Expression | undefined, inline = false): Expression | undefined {
    while (inline || this.stream.skip("operator", "|")) {
      inline = false;
      const { line } = this.stream.current;
      const name = this.#dotted();
      this.#check(this.#known.filters, "filter", name, line);
      const args = this.stream.is("operator", "(") ? this.#arguments() : NO_ARGUMENTS;
      node = { type: "filter", of: node, name, args, line };
    }
    return node;
  }

  #dotted(): string {
    let name = this.stream.expect("name").value;
    while (this.stream.skip("operator", ".")) name += `.${this.stream.expect("name").value}`;
    return name;
  }

  #test(of: Expression, line: number): Expression {
    const { stream } = this;
    const negated = stream.skip("name", "not");
    const name = this.#dotted();
    this.#check(this.#known.tests, "test", name, line);
    let args = NO_ARGUMENTS;
    if (stream.is("operator", "(")) args = this.#arguments();
    else if (stream.is("name", "is")) stream.fail("expected no second test");
    else if (
      (stream.is("name") && !stream.is("name", "else", "or", "and")) ||
      stream.is("string") ||
      stream.is("number") ||
      stream.is("operator", "[", "{")
    ) {
      args = { ...NO_ARGUMENTS, list: [this.postfix(this.primary())] };
    }
    const test: Expression = { type: "test", of, name, args, line };
    return negated ? { type: "not", of: test, line } : test;
  }

  #check(names: ReadonlySet<string>, kind: string, name: string, line: number): void {
    if (!names.has(name) && !this.soft) this.unknown.push({ message: `no ${kind} named '${name}'`, line });
  }
}

function numberOf(text: string): Value {
  const plain = text.replaceAll("_", "");
  return parseInt_(plain, 0) ?? new Float(parseFloat_(plain)!);
}
