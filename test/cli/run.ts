/** Runs the real command line as a child process. */
import { expect } from "bun:test";
import { join } from "node:path";
import { ROOT } from "../setup.ts";

/** With evaluations, as in a clone. */
const MAIN = join(ROOT, "research/cli/main.ts");
/** Nothing here is meant to reach a network. */
const ENVIRONMENT = { ...process.env, HF_HUB_OFFLINE: "1", HF_HOME: "/nonexistent/lambent-test" };

export interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const running = new Set<Bun.Subprocess>();

/** Ends what a failed test left running. */
export async function endChildren(): Promise<void> {
  for (const child of running) child.kill("SIGKILL");
  await Promise.all([...running].map((child) => child.exited));
}

/** Starts the command line; `stdin` stays open where it is "pipe". */
export function start<Input extends "pipe" | "ignore" | Uint8Array>(args: readonly string[], stdin: Input) {
  const command = [process.execPath, MAIN, ...args];
  const child = Bun.spawn(command, { stdin, stdout: "pipe", stderr: "pipe", env: ENVIRONMENT, cwd: ROOT });
  running.add(child);
  child.exited.finally(() => running.delete(child));
  return child;
}

/** Runs it to its end. */
export async function lambent(args: readonly string[], stdin?: string | Uint8Array): Promise<Run> {
  const input = stdin === undefined ? "ignore" : typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin;
  const child = start(args, input);
  const text = (stream: ReadableStream) => new Response(stream).text();
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), child.exited]);
  return { code, out, err };
}

/** The same, expected to be good. */
export async function good(args: readonly string[], stdin?: string | Uint8Array): Promise<Run> {
  const run = await lambent(args, stdin);
  expect(run).toMatchObject({ code: 0 });
  return run;
}

/** What `--stats json` prints: the last line of standard error. */
export function statsOf({ err }: { readonly err: string }): Record<string, unknown> {
  expect(err).toEndWith("}\n");
  return JSON.parse(err.trimEnd().split("\n").at(-1) as string);
}

/** The chunks of a stream as text, until `enough` of all of it. */
export async function readUntil(
  reader: { read(): Promise<{ done: boolean; value?: Uint8Array | undefined }> },
  enough: (text: string) => boolean,
): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  while (!enough(text)) {
    const { done, value } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
  }
  return text;
}
