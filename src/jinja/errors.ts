/** What is wrong with a template, or with its use of variables. */
export class TemplateError extends Error {
  /** The template's line, from 1, if known. */
  line: number | undefined;

  constructor(message: string, line?: number) {
    super(message);
    this.line = line;
  }
}

/** The template's own `raise_exception`. */
export class RaisedError extends TemplateError {}
