/** The package as others receive it, and the lines of README.md that they would run. */
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { command } from "../platforms/command.ts";
import { packPackage } from "../platforms/package.ts";
import { ROOT } from "../setup.ts";

/** Projects are made in here. */
export const WORK = mkdtempSync(join(tmpdir(), "lambent-package-"));

let packed: Promise<string> | undefined;

/** The tarball, packed once as `npm publish` would. */
export function tarball(): Promise<string> {
  packed ??= packPackage(WORK);
  return packed;
}

/** An empty folder. */
export function emptyFolder(name: string): string {
  const folder = join(WORK, name);
  mkdirSync(folder);
  return folder;
}

/** An empty project with the package, and `others`, installed in it, `files` beside it; its folder. */
export async function project(
  name: string,
  files: Readonly<Record<string, string>> = {},
  flags: readonly string[] = ["--omit=optional"],
  others: readonly string[] = [],
): Promise<string> {
  const folder = emptyFolder(name);
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }\n');
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
  const quiet = ["--no-audit", "--no-fund", "--prefer-offline"];
  await command(["npm", "install", ...quiet, ...flags, await tarball(), ...others], folder);
  return folder;
}

/** How many packages an installation has, and the bytes of their files. */
export function installed(folder: string): { readonly packages: number; readonly bytes: number } {
  const modules = join(folder, "node_modules");
  const { packages } = JSON.parse(readFileSync(join(modules, ".package-lock.json"), "utf8"));
  const files = Object.keys(packages).flatMap((name) => globSync(`${name}/**`, { cwd: folder }));
  const sizes = [...new Set(files)].map((file) => statSync(join(folder, file))).filter((file) => file.isFile());
  return { packages: Object.keys(packages).length, bytes: sizes.reduce((sum, { size }) => sum + size, 0) };
}

export function removeProjects(): void {
  rmSync(WORK, { recursive: true, force: true });
}

/** The first program of README.md's section on the library. */
export function readmeProgram(): string {
  const [, section = ""] = readFileSync(join(ROOT, "README.md"), "utf8").split("\n## As a library\n");
  const program = section.match(/```ts\n(.*?)```/s)?.[1];
  if (!program?.includes('from "lambent"'))
    throw new Error("README.md: expected a program in As a library, found none");
  return program;
}

/**
 * The same for workerd, where there are no files: a Worker that says what the lines print, with the model at the URL in its
 * query.
 */
export function readmeWorker(): string {
  const lines = readmeProgram().split("\n");
  const imports = lines.filter((line) => line.startsWith("import") && !line.includes("embedded"));
  const rest = lines.filter((line) => !line.startsWith("import"));
  return `${imports.join("\n")}
export default {
  async fetch(request) {
    const embedded = new URL(request.url).searchParams.get("model");
    const printed = [];
    const console = { log: (...values) => printed.push(values.join(" ")) };
    try {
      ${rest.join("\n      ")}
      return new Response(printed.join("\\n"));
    } catch (error) {
      return new Response(error.stack, { status: 500 });
    }
  },
};
`;
}
