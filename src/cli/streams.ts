import { show } from "../errors.ts";

import { decodeUtf8 } from "../formats/json.ts";

/** Writes to stdout and waits until it can take more; what an error means there is for its listener to say. */
export function write(text: string | Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    process.stdout.write(text, () => resolve());
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
