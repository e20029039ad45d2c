import { readFile } from "node:fs/promises";
import { LambentError } from "../errors.ts";
import type { Build } from "../machine/kernels.ts";
import { directory, isDirectory } from "./directory.ts";
import type { Runtime } from "./types.ts";

/** Bun. */
export const bun: Runtime = {
  name: `bun ${Bun.version}`,
  directory,
  isDirectory,
  kernels,
};

async function kernels(build: Build): Promise<Uint8Array<ArrayBuffer>> {
  const url = new URL(`../../build/${build}.wasm`, import.meta.url);
  try {
    return await readFile(url);
  } catch {
    throw new LambentError(`${url.pathname}: expected the kernels there, found none: run \`npm run prepare\``);
  }
}
