import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { basename, join } from "node:path";

/** What peers need, kept out of the product: their packages at pinned versions, a Node.js, and files for a while. */
export function cacheFolder(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "lambent-bench");
}

/** A folder in the cache, removed with `using`. */
export function temporaryFolder(): Disposable & { readonly path: string } {
  mkdirSync(cacheFolder(), { recursive: true });
  const path = mkdtempSync(join(cacheFolder(), "temporary-"));
  return { path, ...cleanUp(() => rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })) };
}

/** Something to be undone with `using`, or when this process ends before. */
export function cleanUp(undo: () => void): Disposable {
  process.once("exit", undo);
  return {
    [Symbol.dispose]() {
      process.off("exit", undo);
      undo();
    },
  };
}

const OS = process.platform === "win32" ? "win" : process.platform;
/** The Node.js in which peers run. */
const NODE = { package: `node-${OS}-${process.arch}`, version: "24.21.0" };
const INSTALL_MS = 600_000;

/** Installs packages at exact versions into a folder of their own, once, without their scripts. Returns the folder. */
export async function install(name: string, packages: Readonly<Record<string, string>>): Promise<string> {
  const folder = join(cacheFolder(), name);
  const manifest = `${JSON.stringify({ name, private: true, dependencies: packages }, null, 2)}\n`;
  const file = join(folder, "package.json");
  const done = join(folder, "installed.json");
  if (existsSync(done) && readFileSync(done, "utf8") === manifest) return folder;
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, manifest);
  await run([process.execPath, "install", "--ignore-scripts", "--omit=optional"], folder, INSTALL_MS);
  writeFileSync(done, manifest);
  return folder;
}

/** Runs a module of this folder as if it lay in `folder`, in Node.js. Returns what it printed last, as JSON. */
export async function runNode<T>(folder: string, script: string, args: readonly string[], timeout: number): Promise<T> {
  const node = await install("node", { [NODE.package]: NODE.version });
  const executable = join(node, "node_modules", NODE.package, "bin", OS === "win" ? "node.exe" : "node");
  const copy = join(folder, basename(script));
  copyFileSync(join(import.meta.dirname, script), copy);
  const output = await run([executable, copy, ...args], folder, timeout);
  return JSON.parse(output.trimEnd().split("\n").at(-1) as string) as T;
}

/** Runs a command to its end, at most `timeout` ms. Returns its standard output. */
export async function run(
  command: readonly string[],
  cwd: string,
  timeout: number,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const child = Bun.spawn([...command], {
    ...{ cwd, timeout, killSignal: "SIGKILL", env: { ...process.env, ...env } },
    ...{ stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  });
  using _ = cleanUp(() => child.kill("SIGKILL"));
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (child.exitCode === 0) return output;
  const end = child.signalCode ? `killed by ${child.signalCode} (limit ${timeout / 1000} s)` : `exit ${child.exitCode}`;
  throw new Error(`${basename(command[0] as string)}: ${end}: ${lastLines(errors || output)}`);
}

function lastLines(text: string): string {
  const lines = text.split("\n").filter((line) => line.trim() && !/^\s|^file:|^Node\.js v/.test(line));
  return lines.slice(-6).join(" | ").slice(-600);
}
