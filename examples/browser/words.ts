/** Numbers and errors as text. */

/** A whole number with separators. */
export function count(value: number): string {
  return Math.round(value).toLocaleString("en");
}

/** Bytes, in units of 1000. */
export function size(bytes: number): string {
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(0)} kB`;
  return `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)} MB`;
}

/** The message of an error. */
export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : `${error}`;
}
