/** The tools of this folder's package.json, beside those of test/platforms, and commands that may fail. */
import { join } from "node:path";
import { denoPath, installTools, nodePath, HERE as PLATFORMS } from "../platforms/tools.ts";

const PATIENCE_MS = 120_000;

/** Both folders' tools, unless they are there. */
export async function installAllTools(): Promise<void> {
  await installTools();
  await installTools(import.meta.dir);
}

export const bun = process.execPath;
export const node22 = () => nodePath(22);
export const node24 = () => nodePath(24);
export const deno = denoPath;
export const workerd = () => {
  const machine = `${process.platform}-${process.arch === "x64" ? "64" : process.arch}`;
  return join(PLATFORMS, `node_modules/@cloudflare/workerd-${machine}/bin/workerd`);
};

/** What starts a tool that is written for Node. */
export function tool(path: string): string[] {
  return [node22(), join(import.meta.dir, "node_modules", path)];
}

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs a command to its end, with empty standard input by default. */
export async function run(
  words: readonly string[],
  cwd: string,
  options: { readonly env?: Readonly<Record<string, string>>; readonly stdin?: string } = {},
): Promise<Ran> {
  const child = Bun.spawn([...words], {
    ...{ cwd, env: { ...process.env, ...options.env }, timeout: PATIENCE_MS, killSignal: "SIGKILL" },
    ...{ stdin: new TextEncoder().encode(options.stdin ?? ""), stdout: "pipe", stderr: "pipe" },
  });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  await child.exited;
  return { code: child.exitCode, out, err };
}
