/** The package as others receive it: built, packed, and installed into a project of its own. */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../setup.ts";
import { command } from "./command.ts";

/** Packs the package, which builds it, and installs the tarball into `project`. */
export async function installPackage(project: string): Promise<void> {
  const packed = join(project, "packed");
  mkdirSync(packed, { recursive: true });
  await command(["npm", "pack", "--pack-destination", packed], ROOT);
  const tarball = readdirSync(packed).find((file) => file.endsWith(".tgz")) as string;
  writeFileSync(join(project, "package.json"), '{ "name": "scratch", "private": true, "type": "module" }\n');
  const flags = ["--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"];
  await command(["npm", "install", ...flags, join(packed, tarball)], project);
}
