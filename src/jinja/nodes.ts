import type { Arithmetic } from "./numbers.ts";
import type { Value } from "./values.ts";

/** A comparison operator. */
export type Comparison = "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in";

/** What is handed over in a call. */
export interface Arguments {
  readonly list: readonly Expression[];
  readonly named: readonly (readonly [string, Expression])[];
  /** `*args` and `**kwargs`. */
  readonly more: Expression | undefined;
  readonly moreNamed: Expression | undefined;
}

/** An expression, and its line, from 1. */
export type Expression = { readonly line: number } & (
  | { readonly type: "constant"; readonly value: Value }
  | { readonly type: "name"; readonly name: string }
  | { readonly type: "list" | "tuple"; readonly items: readonly Expression[] }
  | { readonly type: "dict"; readonly pairs: readonly (readonly [Expression, Expression])[] }
  | { readonly type: "attribute"; readonly of: Expression; readonly name: string }
  | { readonly type: "item"; readonly of: Expression; readonly key: Expression }
  | { readonly type: "slice"; readonly of: Expression; readonly bounds: readonly (Expression | undefined)[] }
  | { readonly type: "call"; readonly callee: Expression; readonly args: Arguments }
  | FilterUse
  | { readonly type: "test"; readonly of: Expression; readonly name: string; readonly args: Arguments }
  | { readonly type: "not" | "negative" | "positive"; readonly of: Expression }
  | { readonly type: "binary"; readonly operator: Arithmetic; readonly left: Expression; readonly right: Expression }
  | { readonly type: "and" | "or"; readonly left: Expression; readonly right: Expression }
  | { readonly type: "concat"; readonly items: readonly Expression[] }
  | {
      readonly type: "compare";
      readonly first: Expression;
      readonly rest: readonly (readonly [Comparison, Expression])[];
    }
  | {
      readonly type: "choice";
      readonly test: Expression;
      readonly chosen: Expression;
      readonly otherwise: Expression | undefined;
    }
);

/** `of` is undefined at the start of the filters of a block. */
export interface FilterUse {
  readonly type: "filter";
  readonly of: Expression | undefined;
  readonly name: string;
  readonly args: Arguments;
}

/** What an assignment assigns to. */
export type Target =
  | { readonly type: "name"; readonly name: string }
  | { readonly type: "tuple"; readonly items: readonly Target[] }
  | { readonly type: "attribute"; readonly name: string; readonly attribute: string };

/** A macro, or the body of a call block. */
export interface Signature {
  readonly name: string;
  readonly parameters: readonly string[];
  /** Of the last parameters. */
  readonly defaults: readonly Expression[];
  /** Which of caller, varargs and kwargs the body reads: only then may they be given. */
  readonly reads: ReadonlySet<string>;
  readonly body: readonly Statement[];
}

/** A statement, and its line, from 1. */
export type Statement = { readonly line: number } & (
  | { readonly type: "data"; readonly text: string }
  | { readonly type: "print"; readonly value: Expression }
  | { readonly type: "set"; readonly target: Target; readonly value: Expression }
  | {
      readonly type: "set block";
      readonly target: Target;
      readonly filter: Expression | undefined;
      readonly body: readonly Statement[];
    }
  | {
      readonly type: "if";
      readonly branches: readonly { readonly test: Expression; readonly body: readonly Statement[] }[];
      readonly otherwise: readonly Statement[];
    }
  | ({ readonly type: "for" } & Loop)
  | { readonly type: "macro"; readonly macro: Signature }
  | { readonly type: "call block"; readonly call: Expression & { type: "call" }; readonly macro: Signature }
  | { readonly type: "filter block"; readonly filter: Expression; readonly body: readonly Statement[] }
  | {
      readonly type: "with";
      readonly names: readonly (readonly [Target, Expression])[];
      readonly body: readonly Statement[];
    }
  | { readonly type: "scope"; readonly body: readonly Statement[] }
  | { readonly type: "break" | "continue" }
);

/** A `for` statement. */
export interface Loop {
  readonly target: Target;
  readonly values: Expression;
  readonly test: Expression | undefined;
  readonly recursive: boolean;
  readonly body: readonly Statement[];
  readonly otherwise: readonly Statement[];
}
