/** Writes to stdout and waits until it can take more. */
export function write(text: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => (error ? reject(error) : resolve()));
  });
}

/** A line on stderr. */
export function warn(text: string, prefix = "warning: "): void {
  process.stderr.write(`${prefix}${text}\n`);
}

/** Silence on standard input after which a waiting person is told what is waited for. */
const PATIENCE_MS = 1000;

/** The whole of standard input; undefined if it is a terminal, or nothing was given at all. */
export async function readStdin(): Promise<string | undefined> {
  if (process.stdin.isTTY) return undefined;
  const hint = setTimeout(() => warn("reading the prompt from standard input, up to its end", ""), PATIENCE_MS);
  let text = "";
  process.stdin.setEncoding("utf8");
  for await (const part of process.stdin) text += part;
  clearTimeout(hint);
  return text === "" ? undefined : text;
}
