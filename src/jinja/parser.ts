import { TemplateError } from "./errors.ts";
import { ExpressionParser } from "./expressions.ts";
import { tokenize } from "./lexer.ts";
import type { Expression, Signature, Statement } from "./nodes.ts";
import type { Known } from "./operands.ts";
import { Stream } from "./stream.ts";

type Body = readonly Statement[];
type Parameters = Pick<Signature, "parameters" | "defaults">;

/** Tags that need other templates, or that change how text is escaped. */
const UNSUPPORTED = ["include", "import", "from", "extends", "block", "autoescape"];

/**
 * The statements of a template.
 * @throws TemplateError with the line
 */
export function parse(template: string, known: Known): Body {
  const parser = new Parser(new ExpressionParser(new Stream(tokenize(template)), known));
  return parser.template();
}

class Parser {
  readonly #expressions: ExpressionParser;
  readonly #stream: Stream;
  /** Loops around this statement, inside of the same macro. */
  #loops = 0;

  constructor(expressions: ExpressionParser) {
    this.#expressions = expressions;
    this.#stream = expressions.stream;
  }

  template(): Body {
    const body = this.#statements([]);
    const [unknown] = this.#expressions.unknown;
    if (unknown) throw new TemplateError(unknown.message, unknown.line);
    return body;
  }

  /**
   * Parses up to one of the `ends`, or the end of the template if there are none. The current token is then the end's
   * name.
   */
  #statements(ends: readonly string[]): Body {
    const stream = this.#stream;
    const body: Statement[] = [];
    for (;;) {
      const { type, value, line } = stream.next();
      if (type === "data") body.push({ type: "data", text: value, line });
      else if (type === "begin" && value === "{{") {
        body.push({ type: "print", value: this.#expressions.tuple(), line });
        stream.expect("end");
      } else if (type === "begin") {
        if (stream.is("name", ...ends) && ends.length) return body;
        body.push(...this.#statement(line));
        stream.expect("end");
      } else {
        if (ends.length) stream.fail(`expected ${ends.map((end) => `'${end}'`).join(" or ")}`);
        return body;
      }
    }
  }

  /** After a tag's name and arguments: parses its body and consumes its end. Returns which end it was. */
  #body(...ends: readonly string[]): { body: Body; end: string } {
    this.#stream.skip("operator", ":");
    this.#stream.expect("end");
    const body = this.#statements(ends);
    return { body, end: this.#stream.next().value };
  }

  /** The same, in a scope of its own. */
  #inner(...ends: readonly string[]): { body: Body; end: string } {
    return this.#hard(() => this.#body(...ends));
  }

  #hard<T>(read: () => T): T {
    const { soft } = this.#expressions;
    this.#expressions.soft = false;
    const result = read();
    this.#expressions.soft = soft;
    return result;
  }

  #statement(line: number): Statement[] {
    const stream = this.#stream;
    const tag = stream.expect("name").value;
    switch (tag) {
      case "set":
        return [this.#set(line)];
      case "if":
        return [this.#if(line)];
      case "for":
        return [this.#for(line)];
      case "macro": {
        const name = stream.expect("name").value;
        return [{ type: "macro", macro: this.#macro(name, this.#parameters(), "endmacro"), line }];
      }
      case "call":
        return [this.#callBlock(line)];
      case "filter": {
        const filter = this.#expressions.filters(undefined, true)!;
        return [{ type: "filter block", filter, body: this.#inner("endfilter").body, line }];
      }
      case "with":
        return [this.#with(line)];
      case "print":
        return this.#print(line);
      // transformers: marks what the assistant wrote, and has a scope of its own.
      case "generation":
        return [{ type: "scope", body: this.#apart(() => this.#inner("endgeneration").body), line }];
      case "break":
      case "continue":
        if (!this.#loops) throw new TemplateError(`'${tag}' outside of a loop`, line);
        return [{ type: tag, line }];
    }
    const why = UNSUPPORTED.includes(tag) ? "not supported in a chat template" : "unknown";
    throw new TemplateError(`the tag '${tag}' is ${why}`, line);
  }

  /** Outside of the loops around. */
  #apart<T>(read: () => T): T {
    const loops = this.#loops;
    this.#loops = 0;
    const result = read();
    this.#loops = loops;
    return result;
  }

  #set(line: number): Statement {
    const target = this.#expressions.target({ attributes: true });
    if (this.#stream.skip("operator", "=")) return { type: "set", target, value: this.#expressions.tuple(), line };
    const filter = this.#expressions.filters(undefined);
    return { type: "set block", target, filter, body: this.#inner("endset").body, line };
  }

  #if(line: number): Statement {
    const { soft } = this.#expressions;
    this.#expressions.soft = true;
    const branches: { test: Expression; body: Body }[] = [];
    let otherwise: Body = [];
    for (let tag = "if"; tag !== "endif"; ) {
      if (tag === "else") {
        ({ body: otherwise, end: tag } = this.#body("endif"));
      } else {
        const test = this.#expressions.condition();
        const { body, end } = this.#body("elif", "else", "endif");
        branches.push({ test, body });
        tag = end;
      }
    }
    this.#expressions.soft = soft;
    return { type: "if", branches, otherwise, line };
  }

  #for(line: number): Statement {
    const stream = this.#stream;
    const target = this.#expressions.target({ stop: "in" });
    if (target.type === "name" && target.name === "loop") {
      throw new TemplateError("can't assign to special loop variable in for-loop target", line);
    }
    stream.expect("name", "in");
    const values = this.#expressions.loopValues();
    const test = stream.skip("name", "if") ? this.#hard(() => this.#expressions.expression()) : undefined;
    const recursive = stream.skip("name", "recursive");
    this.#loops++;
    const { body, end } = this.#inner("endfor", "else");
    this.#loops--;
    const otherwise = end === "else" ? this.#inner("endfor").body : [];
    return { type: "for", target, values, test, recursive, body, otherwise, line };
  }

  #macro(name: string, { parameters, defaults }: Parameters, end: string): Signature {
    const expressions = this.#expressions;
    const outer = expressions.reads;
    expressions.reads = new Set();
    const { body } = this.#apart(() => this.#inner(end));
    const { reads } = expressions;
    expressions.reads = new Set([...outer, ...reads]);
    return { name, parameters, defaults, reads, body };
  }

  #parameters(): Parameters {
    const stream = this.#stream;
    const parameters: string[] = [];
    const defaults: Expression[] = [];
    stream.expect("operator", "(");
    while (!stream.skip("operator", ")")) {
      if (parameters.length) stream.expect("operator", ",");
      parameters.push(stream.expect("name").value);
      if (stream.skip("operator", "=")) defaults.push(this.#hard(() => this.#expressions.expression()));
      else if (defaults.length) stream.fail("non-default argument follows default argument");
    }
    return { parameters, defaults };
  }

  #callBlock(line: number): Statement {
    const parameters = this.#stream.is("operator", "(") ? this.#parameters() : { parameters: [], defaults: [] };
    const call = this.#expressions.expression();
    if (call.type !== "call") throw new TemplateError("expected a call", line);
    return { type: "call block", call, macro: this.#macro("caller", parameters, "endcall"), line };
  }

  #with(line: number): Statement {
    const stream = this.#stream;
    const names: (readonly [ReturnType<ExpressionParser["target"]>, Expression])[] = [];
    while (!stream.is("end")) {
      if (names.length) stream.expect("operator", ",");
      const target = this.#expressions.target();
      stream.expect("operator", "=");
      names.push([target, this.#expressions.expression()]);
    }
    return { type: "with", names, body: this.#inner("endwith").body, line };
  }

  #print(line: number): Statement[] {
    const printed: Statement[] = [];
    while (!this.#stream.is("end")) {
      if (printed.length) this.#stream.expect("operator", ",");
      printed.push({ type: "print", value: this.#expressions.expression(), line });
    }
    return printed;
  }
}
