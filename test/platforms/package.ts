/** The package as others receive it: built, packed, and installed into a project of its own. */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../setup.ts";
import { command } from "./command.ts";

/** Packs the package, which builds it, into `folder`; the tarball's path. */
export async function packPackage(folder: string): Promise<string> {
  mkdirSync(folder, { recursive: true });
  await command(["npm", "pack", "--pack-destination", folder], ROOT);
  return join(folder, readdirSync(folder).find((file) => file.endsWith(".tgz")) as string);
}

/** Packs the package, and installs the tarball into `project`. */
export async function installPackage(project: string): Promise<void> {
  const tarball = await packPackage(join(project, "packed"));
  writeFileSync(join(project, "package.json"), '{ "name": "scratch", "private": true, "type": "module" }\n');
  const flags = ["--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"];
  await command(["npm", "install", ...flags, tarball], project);
}
