import { readFile } from "node:fs/promises";
import { LambentError } from "../errors.ts";
import type { Build } from "../machine/kernels.ts";
import { directory, isDirectory, isFile } from "./directory.ts";
import { downloadModel, isModelId } from "./hub.ts";
import type { Runtime } from "./types.ts";
import { webDirectory } from "./url.ts";

/** Bun. */
export const bun: Runtime = {
  name: `bun ${Bun.version}`,
  kernels,
  isDirectory,
  isFile,
  directory,
  webDirectory: (url, signal) => webDirectory(url, undefined, signal),
  isModelId,
  downloadModel: (id, { onProgress, ...options }) =>
    downloadModel(id, { ...options, onProgress: ({ loaded, total }) => onProgress?.(loaded, total) }),
};

async function kernels(build: Build): Promise<Uint8Array<ArrayBuffer>> {
  const url = new URL(`../../build/${build}.wasm`, import.meta.url);
  try {
    return await readFile(url);
  } catch {
    throw new LambentError(`${url.pathname}: expected the kernels there, found none: run \`npm run prepare\``);
  }
}
