import { LambentError, mismatch, show } from "../base/errors.ts";
import { decodeUtf8 } from "../formats/json.ts";

/** Whether the output is read as it is written; results may be files. */
let readers = true;
/** The first output that could not be written to. */
let lost: LambentError | undefined;

/**
 * Watches the outputs: a command whose reader has closed the pipe ends, with exit code 0; for other errors see
 * `lostOutput`.
 */
export function watchOutputs(): void {
  process.stdout.on("error", (error) => {
    if (!hasLeft(error)) lose("standard output", error);
    else if (readers) process.exit(0);
  });
  process.stderr.on("error", (error) => {
    if (!hasLeft(error)) lose("standard error", error);
  });
}

/** Lets the command continue when its reader has closed the pipe. */
export function needNoReader(): void {
  readers = false;
}

/** The error of an output that could not be written to; some become known only when the process ends. */
export function lostOutput(): LambentError | undefined {
  return lost;
}

function hasLeft(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "EPIPE";
}

function lose(name: string, error: unknown): LambentError {
  const { code, message } = error as NodeJS.ErrnoException;
  lost ??= new LambentError(mismatch(name, "a writable file", code ?? message));
  return lost;
}

/**
 * Writes to stdout and waits until it can take more. Throws LambentError if it cannot be written to, unless the pipe
 * was closed.
 */
export function write(text: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const heard = (error?: unknown) => (error && !hasLeft(error) ? reject(lose("standard output", error)) : resolve());
    try {
      process.stdout.write(text, heard);
    } catch (error) {
      heard(error); // Deno throws it
    }
  });
}

/** Prints a line on stderr. */
export function warn(text: string, prefix = "warning: "): void {
  process.stderr.write(`${prefix}${text}\n`);
}

/** Warns of tensors that a model does not use: the first few by name. */
export function warnUnused(where: string, tensors: readonly string[]): void {
  for (const tensor of tensors.slice(0, 3)) warn(`${where}: tensor ${show(tensor)} is not used`);
  if (tensors.length > 3) warn(`${where}: ${tensors.length - 3} more tensors are not used`);
}

/** After this much silence on standard input, in ms, the user is told that it is being read. */
const PATIENCE_MS = 1000;

/** The whole of standard input; undefined if it is a terminal or empty. */
export async function readStdin(signal: AbortSignal): Promise<string | undefined> {
  if (process.stdin.isTTY) return undefined;
  const hint = setTimeout(() => warn("reading the prompt from standard input, up to its end", ""), PATIENCE_MS);
  const stop = () => process.stdin.destroy(signal.reason);
  signal.addEventListener("abort", stop);
  const parts: Uint8Array[] = [];
  try {
    for await (const part of process.stdin) parts.push(part);
  } finally {
    clearTimeout(hint);
    signal.removeEventListener("abort", stop);
  }
  signal.throwIfAborted();
  return decodeUtf8(Buffer.concat(parts), "standard input") || undefined;
}
