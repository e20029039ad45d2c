import type { Comparison, Expression, Target } from "./nodes.ts";
import type { Arithmetic } from "./numbers.ts";
import { CONSTANTS, OperandParser } from "./operands.ts";

const COMPARISONS = ["==", "!=", "<", "<=", ">", ">="] as const;

/** Parses Jinja's expressions, by precedence: weakest first. */
export class ExpressionParser extends OperandParser {
  /** One expression or, with commas, a tuple. `choice`: `a if b else c` may stand here; `stop`: a name that ends it. */
  tuple({ choice = true, stop = "", empty = false } = {}): Expression {
    const { line } = this.stream.current;
    const items: Expression[] = [];
    let comma = false;
    while (!this.#tupleEnds(stop)) {
      items.push(choice ? this.expression() : this.#or());
      if (!(comma = this.stream.skip("operator", ","))) break;
    }
    if (items.length === 1 && !comma) return items[0]!;
    if (items.length === 0 && !empty) this.stream.fail("expected an expression");
    return { type: "tuple", items, line };
  }

  #tupleEnds(stop: string): boolean {
    const { stream } = this;
    return stream.is("end") || stream.is("operator", ")") || (stop !== "" && stream.is("name", stop));
  }

  expression(): Expression {
    const known = this.unknown.length;
    const { line } = this.stream.current;
    let result = this.#or();
    while (this.stream.skip("name", "if")) {
      const test = this.#or();
      const otherwise = this.stream.skip("name", "else") ? this.expression() : undefined;
      result = { type: "choice", test, chosen: result, otherwise, line };
      this.unknown.length = known;
    }
    return result;
  }

  /** The condition of an `if` or `elif`. */
  condition(): Expression {
    return this.tuple({ choice: false });
  }

  /** The values that a `for` iterates over. */
  loopValues(): Expression {
    return this.tuple({ choice: false, stop: "recursive" });
  }

  /** Names, tuples of them and, where allowed, `namespace.attribute`. */
  target({ stop = "", attributes = false } = {}): Target {
    const items: Target[] = [];
    let comma = false;
    while (items.length === 0 || !this.#tupleEnds(stop)) {
      if (this.stream.is("operator", "=")) break;
      items.push(this.#oneTarget(attributes));
      if (!(comma = this.stream.skip("operator", ","))) break;
    }
    if (!items[0]) this.stream.fail("expected a name");
    return comma || items.length > 1 ? { type: "tuple", items } : items[0];
  }

  #oneTarget(attributes: boolean): Target {
    const { stream } = this;
    if (stream.skip("operator", "(")) {
      const inner = this.target({ attributes });
      stream.expect("operator", ")");
      return inner;
    }
    const { value: name, line } = stream.expect("name");
    if (name in CONSTANTS) stream.fail(`can't assign to '${name}'`, line);
    if (!attributes || !stream.skip("operator", ".")) return { type: "name", name };
    return { type: "attribute", name, attribute: stream.expect("name").value };
  }

  #or(): Expression {
    let left = this.#and();
    while (this.stream.is("name", "or")) {
      const { line } = this.stream.next();
      left = { type: "or", left, right: this.#and(), line };
    }
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.stream.is("name", "and")) {
      const { line } = this.stream.next();
      left = { type: "and", left, right: this.#not(), line };
    }
    return left;
  }

  #not(): Expression {
    if (!this.stream.is("name", "not")) return this.#compare();
    const { line } = this.stream.next();
    return { type: "not", of: this.#not(), line };
  }

  #compare(): Expression {
    const { line } = this.stream.current;
    const first = this.#sum();
    const rest: [Comparison, Expression][] = [];
    for (let operator = this.#comparison(); operator; operator = this.#comparison()) rest.push([operator, this.#sum()]);
    return rest.length ? { type: "compare", first, rest, line } : first;
  }

  #comparison(): Comparison | undefined {
    const { stream } = this;
    if (stream.is("operator", ...COMPARISONS)) return stream.next().value as Comparison;
    if (stream.skip("name", "in")) return "in";
    if (!stream.is("name", "not") || stream.following.value !== "in") return undefined;
    stream.next();
    stream.next();
    return "not in";
  }

  #sum(): Expression {
    return this.#binary(["+", "-"], () => this.#concat());
  }

  #concat(): Expression {
    const { line } = this.stream.current;
    const items = [this.#product()];
    while (this.stream.skip("operator", "~")) items.push(this.#product());
    return items.length > 1 ? { type: "concat", items, line } : items[0]!;
  }

  #product(): Expression {
    return this.#binary(["*", "/", "//", "%"], () => this.#binary(["**"], () => this.#unary(true)));
  }

  #binary(operators: readonly Arithmetic[], operand: () => Expression): Expression {
    let left = operand();
    while (this.stream.is("operator", ...operators)) {
      const { value, line } = this.stream.next();
      left = { type: "binary", operator: value as Arithmetic, left, right: operand(), line };
    }
    return left;
  }

  #unary(filters: boolean): Expression {
    const { line } = this.stream.current;
    let node: Expression;
    if (this.stream.skip("operator", "-")) node = { type: "negative", of: this.#unary(false), line };
    else if (this.stream.skip("operator", "+")) node = { type: "positive", of: this.#unary(false), line };
    else node = this.primary();
    node = this.postfix(node);
    return filters ? this.filtersAndTests(node) : node;
  }
}
