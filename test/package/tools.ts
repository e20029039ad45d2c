/** The runtimes and tools of this folder's package.json, installed when they are first needed, and commands. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join } from "node:path";

const HERE = import.meta.dir;
const MODULES = join(HERE, "node_modules");
const PATIENCE_MS = 120_000;

/** Installs the tools as package-lock.json says, unless they are there. */
export async function installTools(): Promise<void> {
  const wanted = readFileSync(join(HERE, "package-lock.json"), "utf8");
  const mark = join(MODULES, ".installed-lock.json");
  if (existsSync(mark) && readFileSync(mark, "utf8") === wanted) return;
  await command(["npm", "ci", "--no-audit", "--no-fund"], HERE);
  writeFileSync(mark, wanted);
}

/** A tool's module, as whoever asks declares it: types are not there before it is installed. */
export function importTool<T>(name: string): T {
  return createRequire(join(HERE, "tools.ts"))(name) as T;
}

const platform = `${process.platform}-${process.arch}`;
export const node22 = join(MODULES, `node22-${platform}/bin/node`);
export const node24 = join(MODULES, `node24-${platform}/bin/node`);
/** Of Deno's packages only that for Linux on x64 is locked. */
export const deno = join(MODULES, `@deno/${platform}-glibc/deno`);
export const bun = process.execPath;
export const workerd = join(
  MODULES,
  `@cloudflare/workerd-${process.platform}-${process.arch === "x64" ? "64" : process.arch}/bin/workerd`,
);
export const chromium = ["chromium", "chromium-browser", "google-chrome"].map((name) => Bun.which(name)).find(Boolean);

/** What starts a tool that is written for Node. */
export function tool(path: string): string[] {
  return [node22, join(MODULES, path)];
}

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs a command to its end, with nothing on standard input unless told. */
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

/** The same, expected to be good: what it printed. */
export async function command(
  words: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { code, out, err } = await run(words, cwd, { env });
  if (code === 0) return out;
  throw new Error(`${basename(words[0] as string)} ${words.slice(1).join(" ")}: exit ${code}:\n${err}\n${out}`);
}
