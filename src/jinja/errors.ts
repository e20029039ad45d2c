/** What is wrong with a template, or with what it does with its variables. */
export class TemplateError extends Error {
  /** The template's line, from 1, where it is known. */
  line: number | undefined;

  constructor(message: string, line?: number) {
    super(message);
    this.line = line;
  }
}

/** The template's own `raise_exception`. */
export class RaisedError extends TemplateError {}
