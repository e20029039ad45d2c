/** Expressions to values. */
import { describe, isTrue, iterate, typeName } from "./basics.ts";
import { compareValues, contains, equal } from "./compare.ts";
import { TemplateError } from "./errors.ts";
import { checkText, spend, spendItems } from "./limits.ts";
import { getAttribute, getItem, getSlice } from "./lookup.ts";
import type { Arguments, Comparison, Expression } from "./nodes.ts";
import { negative, numberOf } from "./numbers.ts";
import { binary } from "./operators.ts";
import type { Scope } from "./scope.ts";
import { str } from "./text.ts";
import { Args, Dict, Fn, NONE, Thing, Tuple, Undefined, type Value } from "./values.ts";

/** A filter: the value before `|`, and the arguments. */
export type Filter = (value: Value, args: Args, library: Library) => Value;
/** A test: the value before `is`, and the arguments. */
export type Test = (value: Value, args: Args, library: Library) => boolean;

/** Filters and tests by name. */
export interface Library {
  readonly filters: ReadonlyMap<string, Filter>;
  readonly tests: ReadonlyMap<string, Test>;
}

/** Evaluates expressions over the variables of a scope. */
export class Evaluator {
  readonly #library: Library;
  /** Of what was evaluated last. */
  line = 1;

  constructor(library: Library) {
    this.#library = library;
  }

  evaluate(node: Expression, scope: Scope): Value {
    spend();
    this.line = node.line;
    switch (node.type) {
      case "constant":
        return node.value;
      case "name":
        return scope.get(node.name) ?? new Undefined(`'${node.name}' is undefined`);
      case "attribute":
        return getAttribute(this.evaluate(node.of, scope), node.name);
      case "item":
        return getItem(this.evaluate(node.of, scope), this.evaluate(node.key, scope));
      case "slice":
        return this.#slice(node, scope);
      case "list":
        return node.items.map((item) => this.evaluate(item, scope));
      case "tuple":
        return new Tuple(node.items.map((item) => this.evaluate(item, scope)));
      case "dict":
        return new Dict(node.pairs.map((pair) => [this.evaluate(pair[0], scope), this.evaluate(pair[1], scope)]));
      case "call":
        return this.call(this.evaluate(node.callee, scope), this.args(node.args, scope), node.line);
      case "filter":
        return this.filter(node, this.evaluate(node.of!, scope), scope);
      default:
        return this.#operation(node, scope);
    }
  }

  isTrue(node: Expression, scope: Scope): boolean {
    return isTrue(this.evaluate(node, scope));
  }

  #slice(node: Expression & { type: "slice" }, scope: Scope): Value {
    const of = this.evaluate(node.of, scope);
    const [start, stop, step] = node.bounds.map((bound) => (bound ? this.evaluate(bound, scope) : NONE));
    return getSlice(of, { start: start ?? NONE, stop: stop ?? NONE, step: step ?? NONE });
  }

  #operation(node: Expression, scope: Scope): Value {
    switch (node.type) {
      case "test":
        return this.#test(node, scope);
      case "not":
        return !this.isTrue(node.of, scope);
      case "negative":
      case "positive":
        return signed(node.type, this.evaluate(node.of, scope));
      case "binary":
        return binary(node.operator, this.evaluate(node.left, scope), this.evaluate(node.right, scope));
      case "and":
      case "or": {
        const left = this.evaluate(node.left, scope);
        return isTrue(left) === (node.type === "and") ? this.evaluate(node.right, scope) : left;
      }
      case "concat":
        return this.#concat(node.items, scope);
      case "compare":
        return this.#compare(node, scope);
      case "choice":
        if (this.isTrue(node.test, scope)) return this.evaluate(node.chosen, scope);
        if (node.otherwise) return this.evaluate(node.otherwise, scope);
        return new Undefined("the inline if-expression evaluated to false and no else section was defined");
    }
    throw new TemplateError(`unexpected ${node.type}`);
  }

  #concat(items: readonly Expression[], scope: Scope): string {
    let text = "";
    for (const item of items) text += str(this.evaluate(item, scope));
    checkText(text.length);
    return text;
  }

  #compare(node: Expression & { type: "compare" }, scope: Scope): boolean {
    let left = this.evaluate(node.first, scope);
    for (const [operator, operand] of node.rest) {
      const right = this.evaluate(operand, scope);
      if (!compare(operator, left, right)) return false;
      left = right;
    }
    return true;
  }

  args(args: Arguments, scope: Scope): Args {
    const list = args.list.map((item) => this.evaluate(item, scope));
    const named = new Map(args.named.map(([name, item]) => [name, this.evaluate(item, scope)]));
    if (args.more) list.push(...iterate(this.evaluate(args.more, scope)));
    if (args.moreNamed) {
      const more = this.evaluate(args.moreNamed, scope);
      if (!(more instanceof Dict))
        throw new TemplateError(`the argument after ** must be a mapping, not ${typeName(more)}`);
      for (const [name, value] of more.entries()) named.set(str(name), value);
    }
    spendItems(list.length);
    return new Args(list, named);
  }

  call(callee: Value, args: Args, line: number): Value {
    this.line = line;
    if (callee instanceof Fn || callee instanceof Thing) return callee.call(args);
    if (callee instanceof Undefined) callee.fail();
    throw new TemplateError(`${describe(callee)} is not callable`);
  }

  filter(node: Expression & { type: "filter" }, value: Value, scope: Scope): Value {
    const filter = this.#library.filters.get(node.name);
    const args = this.args(node.args, scope);
    this.line = node.line;
    if (!filter) throw new TemplateError(`no filter named '${node.name}'`);
    return filter(value, args, this.#library);
  }

  #test(node: Expression & { type: "test" }, scope: Scope): boolean {
    const value = this.evaluate(node.of, scope);
    const args = this.args(node.args, scope);
    const test = this.#library.tests.get(node.name);
    if (!test) throw new TemplateError(`no test named '${node.name}'`);
    return test(value, args, this.#library);
  }
}

function signed(sign: "negative" | "positive", value: Value): Value {
  if (value instanceof Undefined) value.fail();
  if (sign === "negative") return negative(value);
  const number = numberOf(value);
  if (number === undefined) throw new TemplateError(`bad operand type for unary +: '${typeName(value)}'`);
  return number;
}

/** A comparison of two values by Python's rules. */
export function compare(operator: Comparison, left: Value, right: Value): boolean {
  switch (operator) {
    case "==":
      return equal(left, right);
    case "!=":
      return !equal(left, right);
    case "in":
      return contains(right, left);
    case "not in":
      return !contains(right, left);
    case "<":
      return compareValues(left, right, operator) < 0;
    case "<=":
      return compareValues(left, right, operator) <= 0;
    case ">":
      return compareValues(left, right, operator) > 0;
    case ">=":
      return compareValues(left, right, operator) >= 0;
  }
}
