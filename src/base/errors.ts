/**
 * Errors that a user can act on. Each is one line that names the thing, what was expected and what was found;
 * the command line prints it behind `error: ` and nothing else.
 */
export class LambentError extends Error {
  override readonly name: string = "LambentError";

  /** However long a name in a damaged file is and whatever is in it, the message is one line that can be read. */
  constructor(message: string, options?: ErrorOptions) {
    super(line(message, 800), options);
  }
}

/** A file (checkpoint, config, tokenizer, snapshot) is missing, damaged or of a kind that is not supported. */
export class ModelError extends LambentError {
  override readonly name = "ModelError";
}

/** An option or argument of a caller is wrong. */
export class OptionError extends LambentError {
  override readonly name = "OptionError";
}

/** The text of a mismatch, the one grammar that all errors share: `thing: expected X, found Y`. */
export function mismatch(thing: string, expected: string, found: unknown): string {
  return `${thing}: expected ${expected}, found ${show(found)}`;
}

/** A value as an error shows it: short, on one line, without control characters. */
export function show(value: unknown): string {
  if (typeof value === "string") return line(value, 120);
  // Of these JSON knows only some.
  if (typeof value !== "object" || value === null) return line(String(value), 120);
  try {
    return line(JSON.stringify(value), 120);
  } catch {
    return "an object";
  }
}

function line(text: string, most: number): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed
  const clean = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ");
  return clean.length > most ? `${clean.slice(0, most - 3).toWellFormed()}...` : clean;
}
