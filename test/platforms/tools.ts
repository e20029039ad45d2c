/** The runtimes and tools of this folder's package.json, installed when they are first needed, and what they are called. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { command } from "./command.ts";

export const HERE = import.meta.dir;
const MODULES = join(HERE, "node_modules");
/** Deno's binary package of this machine; of those for Linux only x64 is locked. */
const DENO = `@deno/${process.platform}-${process.arch}-glibc`;
const BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** Installs the tools of a folder as its package-lock.json says, unless they are there. */
export async function installTools(folder = HERE): Promise<void> {
  const wanted = readFileSync(join(folder, "package-lock.json"), "utf8");
  const mark = join(folder, "node_modules/.installed-lock.json");
  if (existsSync(mark) && readFileSync(mark, "utf8") === wanted) return;
  await command(["npm", "ci", "--no-audit", "--no-fund"], folder);
  writeFileSync(mark, wanted);
}

/** Version of an installed tool. */
export function toolVersion(name: string): string {
  return JSON.parse(readFileSync(join(MODULES, name, "package.json"), "utf8")).version;
}

/** An installed tool's module; typed by the caller, because its types do not exist before it is installed. */
export function importTool<T>(name: string): T {
  return createRequire(join(HERE, "main.ts"))(name) as T;
}

/** Node.js of a major version. Throws if it is not published for this machine. */
export function nodePath(major: 22 | 24): string {
  return there(join(MODULES, `node${major}-${process.platform}-${process.arch}/bin/node`), `Node ${major}`);
}

export function denoPath(): string {
  return process.env.DENO ?? there(join(MODULES, DENO, "deno"), "Deno (or DENO)");
}

/** The machine's Chromium: CHROMIUM, or the first that the PATH has. */
function chromiumPath(): string {
  const { CHROMIUM } = process.env;
  if (CHROMIUM) return there(CHROMIUM, "Chromium");
  const found = BROWSERS.map((name) => Bun.which(name)).find((path) => path !== null);
  if (found) return found;
  throw new Error(`Chromium: expected CHROMIUM, or one of ${BROWSERS.join(", ")} on the PATH, found none`);
}

/** The machine's Chromium, headless; typed by the caller. */
export function launchChromium<Browser>(): Promise<Browser> {
  const { chromium } = importTool<{ chromium: { launch(options: object): Promise<Browser> } }>("playwright-core");
  return chromium.launch({ executablePath: chromiumPath() });
}

function there(path: string, name: string): string {
  if (existsSync(path)) return path;
  throw new Error(`${name}: expected it at ${path}, found none`);
}
