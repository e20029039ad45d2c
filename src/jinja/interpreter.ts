/** Executes statements, giving text. */
import { iterate } from "./basics.ts";
import { TemplateError } from "./errors.ts";
import { Evaluator, type Library } from "./evaluate.ts";
import { checkText, spend } from "./limits.ts";
import { Loop } from "./loop.ts";
import type { Expression, Signature, Statement, Target } from "./nodes.ts";
import { Scope } from "./scope.ts";
import { str } from "./text.ts";
import { Namespace } from "./things.ts";
import { type Args, Dict, Fn, Tuple, Undefined, type Value } from "./values.ts";

type Body = readonly Statement[];
/** How a body was left before its end. */
type Exit = "break" | "continue" | undefined;

class Output {
  readonly #parts: string[] = [];
  #length = 0;

  write(text: string): void {
    this.#parts.push(text);
    checkText((this.#length += text.length));
  }

  get text(): string {
    return this.#parts.join("");
  }
}

/** Executes the statements of a template. */
export class Interpreter {
  readonly #evaluator: Evaluator;

  constructor(library: Library) {
    this.#evaluator = new Evaluator(library);
  }

  /** @throws TemplateError with the line */
  run(body: Body, variables: Map<string, Value>): string {
    try {
      return this.#text(body, new Scope(new Scope(undefined, variables)));
    } catch (error) {
      if (error instanceof TemplateError) error.line ??= this.#evaluator.line;
      throw error;
    }
  }

  #text(body: Body, scope: Scope): string {
    const out = new Output();
    this.#run(body, scope, out);
    return out.text;
  }

  #run(body: Body, scope: Scope, out: Output): Exit {
    for (const statement of body) {
      const exit = this.#statement(statement, scope, out);
      if (exit) return exit;
    }
    return undefined;
  }

  #statement(node: Statement, scope: Scope, out: Output): Exit {
    spend();
    switch (node.type) {
      case "data":
        out.write(node.text);
        return undefined;
      case "print":
        out.write(str(this.#evaluator.evaluate(node.value, scope)));
        return undefined;
      case "set":
        this.#assign(node.target, this.#evaluator.evaluate(node.value, scope), scope);
        return undefined;
      case "if": {
        const branch = node.branches.find(({ test }) => this.#evaluator.isTrue(test, scope));
        return this.#run(branch?.body ?? node.otherwise, scope, out);
      }
      case "for": {
        const values = this.#evaluator.evaluate(node.values, scope);
        this.#loop(node, values, scope, out, 0);
        return undefined;
      }
      case "break":
      case "continue":
        return node.type;
      default:
        this.#block(node, scope, out);
        return undefined;
    }
  }

  /** Executes statements in a scope of their own. */
  #block(node: Statement, scope: Scope, out: Output): void {
    switch (node.type) {
      case "macro":
        scope.set(node.macro.name, this.#macro(node.macro, scope));
        return;
      case "call block": {
        const callee = this.#evaluator.evaluate(node.call.callee, scope);
        const args = this.#evaluator.args(node.call.args, scope);
        args.named.set("caller", this.#macro(node.macro, scope));
        out.write(str(this.#evaluator.call(callee, args, node.line)));
        return;
      }
      case "set block": {
        const inner = new Scope(scope);
        const text = this.#text(node.body, inner);
        this.#assign(node.target, this.#filtered(node.filter, text, inner), scope);
        return;
      }
      case "filter block": {
        const inner = new Scope(scope);
        out.write(str(this.#filtered(node.filter, this.#text(node.body, inner), inner)));
        return;
      }
      case "with": {
        const inner = new Scope(scope);
        for (const [target, value] of node.names) this.#assign(target, this.#evaluator.evaluate(value, scope), inner);
        this.#run(node.body, inner, out);
        return;
      }
      case "scope":
        this.#run(node.body, new Scope(scope), out);
    }
  }

  /** Filters of a block over its text. */
  #filtered(filter: Expression | undefined, text: string, scope: Scope): Value {
    if (filter?.type !== "filter") return text;
    return this.#evaluator.filter(filter, this.#filtered(filter.of, text, scope), scope);
  }

  #assign(target: Target, value: Value, scope: Scope): void {
    if (target.type === "name") {
      scope.set(target.name, value);
      return;
    }
    if (target.type === "attribute") {
      const namespace = scope.get(target.name);
      if (!(namespace instanceof Namespace)) throw new TemplateError("cannot assign attribute on non-namespace object");
      namespace.set(target.attribute, value);
      return;
    }
    const values = [...iterate(value)];
    if (values.length !== target.items.length) {
      throw new TemplateError(`cannot unpack ${values.length} values into ${target.items.length} names`);
    }
    for (const [i, item] of target.items.entries()) this.#assign(item, values[i]!, scope);
  }

  #loop(node: Statement & { type: "for" }, values: Value, scope: Scope, out: Output, depth: number): void {
    const again = (inner: Value, deeper: number) => {
      const text = new Output();
      this.#loop(node, inner, scope, text, deeper);
      return text.text;
    };
    const loop = new Loop(this.#chosen(node, values, scope), depth, node.recursive ? again : undefined);
    let completed = false;
    for (let value = loop.next(); value !== undefined; value = loop.next()) {
      const inner = new Scope(scope);
      inner.set("loop", loop);
      this.#assign(node.target, value, inner);
      const exit = this.#run(node.body, inner, out);
      if (exit === "break") break;
      completed ||= exit === undefined;
    }
    // Jinja's else is for loops of which no turn came to its end: also those that always broke off or went on.
    if (!completed) this.#run(node.otherwise, new Scope(scope), out);
  }

  /** The values of a `for` that pass its `if`. */
  #chosen(node: Statement & { type: "for" }, values: Value, scope: Scope): Iterable<Value> {
    const { test } = node;
    const all = iterate(values);
    return test ? this.#tested(node, test, all, scope) : all;
  }

  *#tested(node: Statement & { type: "for" }, test: Expression, values: Iterable<Value>, scope: Scope) {
    for (const value of values) {
      spend();
      const inner = new Scope(scope);
      this.#assign(node.target, value, inner);
      if (this.#evaluator.isTrue(test, inner)) yield value;
    }
  }

  #macro(macro: Signature, scope: Scope): Fn {
    return new Fn(macro.name, (args) => {
      const inner = new Scope(scope);
      this.#bind(macro, args, inner);
      return this.#text(macro.body, inner);
    });
  }

  /** Binds arguments to a macro's parameters, as Jinja does. */
  #bind(macro: Signature, args: Args, scope: Scope): void {
    const { name, parameters, defaults, reads } = macro;
    const named = new Map(args.named);
    for (const [i, parameter] of parameters.entries()) {
      let value = args.list[i];
      if (value === undefined) {
        value = named.get(parameter);
        named.delete(parameter);
      }
      const missing = defaults[i - (parameters.length - defaults.length)];
      value ??= missing && this.#evaluator.evaluate(missing, scope);
      scope.set(parameter, value ?? new Undefined(`parameter '${parameter}' was not provided`));
    }
    if (reads.has("caller")) {
      if (!parameters.includes("caller"))
        scope.set("caller", named.get("caller") ?? new Undefined("No caller defined"));
      named.delete("caller");
    }
    if (reads.has("kwargs")) scope.set("kwargs", new Dict(named));
    else if (named.size) throw new TemplateError(`macro '${name}' takes no keyword argument '${[...named.keys()][0]}'`);
    const more = args.list.slice(parameters.length);
    if (reads.has("varargs")) scope.set("varargs", new Tuple(more));
    else if (more.length) {
      throw new TemplateError(`macro '${name}' takes not more than ${parameters.length} argument(s)`);
    }
  }
}
