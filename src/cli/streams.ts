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

/** The whole of standard input; undefined if it is a terminal, or nothing was given at all. */
export async function readStdin(): Promise<string | undefined> {
  if (process.stdin.isTTY) return undefined;
  let text = "";
  process.stdin.setEncoding("utf8");
  for await (const part of process.stdin) text += part;
  return text === "" ? undefined : text;
}
