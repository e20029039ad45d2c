/** Commands that run to their end. */
import { basename } from "node:path";

const PATIENCE_MS = 300_000;

/** Runs a command; returns its standard output. Throws with what it said if it fails. */
export async function command(
  words: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const child = Bun.spawn([...words], {
    ...{ cwd, env: { ...process.env, ...env }, timeout: PATIENCE_MS, killSignal: "SIGKILL" },
    ...{ stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  });
  const [output, errors] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  await child.exited;
  if (child.exitCode === 0) return output;
  const end = child.signalCode ?? `exit ${child.exitCode}`;
  throw new Error(
    `${basename(words[0] as string)} ${words.slice(1).join(" ")}: ${end}: ${lastLines(errors || output)}`,
  );
}

/** The end of what a process has said, on one line. */
export function lastLines(text: string): string {
  const lines = text.split("\n").map((line) => line.trim());
  return lines.filter(Boolean).slice(-8).join(" | ").slice(-1200);
}
