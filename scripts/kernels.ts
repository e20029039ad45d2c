/**
 * Compiles the kernels of assembly/ to build/, all targets of asconfig.json at once; nothing where they are newer than what
 * they are made of.
 */
import { globSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const { targets } = JSON.parse(readFileSync(join(root, "asconfig.json"), "utf8")) as {
  targets: Record<string, { outFile: string }>;
};
const sources = [
  "asconfig.json",
  "node_modules/assemblyscript/package.json",
  ...globSync("assembly/*.ts", { cwd: root }),
];
const changed = (file: string) => statSync(join(root, file), { throwIfNoEntry: false })?.mtimeMs ?? 0;
const newest = Math.max(...sources.map(changed));
const stale = Object.entries(targets).filter(([, { outFile }]) => changed(outFile) <= newest);
const compiler = join(root, "node_modules/assemblyscript/bin/asc.js");
const host = Bun.which("node") ?? process.execPath;
const compilers = stale.map(([target]) =>
  Bun.spawn([host, compiler, "assembly/index.ts", "--target", target], {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
  }),
);
const codes = await Promise.all(compilers.map(({ exited }) => exited));
if (codes.some((code) => code !== 0)) process.exit(1);
