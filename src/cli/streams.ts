import { LambentError, mismatch, show } from "../base/errors.ts";
import { decodeUtf8 } from "../formats/json.ts";

/** Whether the output is for somebody to read along; results may be files. */
let readers = true;
/** The first that could not be written to. */
let lost: LambentError | undefined;

/** Hears what becomes of the outputs: a command whose reader has had enough ends, with 0; see `lostOutput` for other errors. */
export function watchOutputs(): void {
  process.stdout.on("error", (error) => {
    if (!hasLeft(error)) lose("standard output", error);
    else if (readers) process.exit(0);
  });
  process.stderr.on("error", (error) => {
    if (!hasLeft(error)) lose("standard error", error);
  });
}

/** The command goes on when its reader has left. */
export function needNoReader(): void {
  readers = false;
}

/** The error of an output that could not be written to; some are only known when the process ends. */
export function lostOutput(): LambentError | undefined {
  return lost;
}

function hasLeft(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "EPIPE";
}

function lose(name: string, error: unknown): LambentError {
  const { code, message } = error as NodeJS.ErrnoException;
  lost ??= new LambentError(mismatch(name, "a place that can be written", code ?? message));
  return lost;
}

/** Writes to stdout and waits until it can take more. Throws LambentError if it takes no more, but for want of a reader. */
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

/** A line on stderr. */
export function warn(text: string, prefix = "warning: "): void {
  process.stderr.write(`${prefix}${text}\n`);
}

/** Tensors that a model does not use: the first few by name. */
export function warnUnused(where: string, tensors: readonly string[]): void {
  for (const tensor of tensors.slice(0, 3)) warn(`${where}: tensor ${show(tensor)} is not used`);
  if (tensors.length > 3) warn(`${where}: ${tensors.length - 3} more tensors are not used`);
}

/** Silence on standard input after which a waiting person is told what is waited for. */
const PATIENCE_MS = 1000;

/** The whole of standard input; undefined if it is a terminal, or nothing was given at all. */
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
