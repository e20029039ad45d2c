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

/** A command line in a pseudo terminal of 100 columns. */
export class Terminal {
  readonly child: Bun.Subprocess;
  #text = "";
  #heard: () => void = () => {};

  constructor(args: readonly string[]) {
    const decoder = new TextDecoder();
    const data = (_: unknown, bytes: Uint8Array) => {
      this.#text += decoder.decode(bytes, { stream: true });
      this.#heard();
    };
    this.child = Bun.spawn([process.execPath, MAIN, ...args], {
      env: { ...ENVIRONMENT, TERM: "xterm" },
      cwd: ROOT,
      terminal: { cols: 100, rows: 40, data },
    });
    running.add(this.child);
    this.child.exited.finally(() => {
      running.delete(this.child);
      this.#heard();
    });
  }

  type(keys: string): void {
    this.child.terminal?.write(keys);
  }

  /** What is written up to and with the next `end`, without escape sequences. */
  async until(end: string): Promise<string> {
    for (;;) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
      const clean = this.#text.replace(/\x1b\[[0-9;]*[A-Za-z]/g, "").replaceAll("\r", "");
      const at = clean.indexOf(end);
      if (at >= 0) {
        this.#text = clean.slice(at + end.length);
        return clean.slice(0, at + end.length);
      }
      if (this.child.exitCode !== null) throw new Error(`it ended before ${JSON.stringify(end)}: ${clean}`);
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
      });
    }
  }
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
