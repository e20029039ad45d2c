/**
 * Errors that a user can act on. Each is one line: about a value it names the thing, what was expected and what was
 * found (`mismatch`); about a life cycle it is a plain sentence. The command line prints it after `error: ` and nothing
 * else.
 */
export class LambentError extends Error {
  override readonly name: string = "LambentError";

  /** Names from a damaged file may be arbitrarily long and contain anything; the message stays one readable line. */
  constructor(message: string, options?: ErrorOptions) {
    super(line(message, 800), options);
  }
}

/** A file (checkpoint, config, tokenizer, snapshot) is missing, damaged or of an unsupported kind. */
export class ModelError extends LambentError {
  override readonly name = "ModelError";
}

/** An option or argument of a caller is wrong. */
export class OptionError extends LambentError {
  override readonly name = "OptionError";
}

/** The text of an error about a value, in the grammar that all of them share: `thing: expected X, found Y`. */
export function mismatch(thing: string, expected: string, found: unknown): string {
  return `${thing}: expected ${expected}, found ${show(found)}`;
}

/** A value as errors show it: short, on one line, without control characters. */
export function show(value: unknown): string {
  if (typeof value === "string") return line(value, 120);
  // JSON has no form for some of these.
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
