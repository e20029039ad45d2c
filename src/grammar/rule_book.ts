import { mismatch, OptionError } from "../base/errors.ts";
import { type Expression, NEVER, type Rules } from "./expression.ts";

/** The most rules of a definition. */
const MOST_RULES = 20_000;

/** Rules in the making. */
export class RuleBook implements Rules {
  readonly expressions: Expression[] = [];
  readonly names: string[] = [];

  /** A rule that is yet to be set. Throws OptionError if there are too many. */
  add(name: string): number {
    if (this.names.length === MOST_RULES) throw new OptionError(mismatch(name, `at most ${MOST_RULES} parts`, "more"));
    this.names.push(name);
    return this.expressions.push(NEVER) - 1;
  }

  set(rule: number, expression: Expression): void {
    this.expressions[rule] = expression;
  }

  /** A rule that is this expression. */
  define(name: string, expression: Expression): Expression {
    const rule = this.add(name);
    this.set(rule, expression);
    return ruleOf(rule);
  }
}

/** What a rule is. */
export function ruleOf(rule: number): Expression {
  return { kind: "rule", rule };
}
