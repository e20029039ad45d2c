/** What Bun, Deno and Node share: files, and downloads into the Hugging Face cache. */
import { readFile } from "node:fs/promises";
import { availableParallelism, freemem } from "node:os";
import { fileURLToPath, pathToFileURL } from "node:url";
import { LambentError, mismatch, OptionError } from "../errors.ts";
import type { Build } from "../machine/kernels.ts";
import type { ByteSource, Files } from "../source.ts";
import { kernelsAt } from "./beside.ts";
import { directory, isDirectory, isFile, openFile } from "./directory.ts";
import { hubIdOf, isModelId } from "./model_id.ts";
import type { FindOptions, Runtime } from "./types.ts";

/** A host with files; the rest is its own. */
export function host<Own extends Pick<Runtime, "name" | "startThread" | "startEngine">>(own: Own) {
  return {
    ...own,
    kernels,
    cores: availableParallelism(),
    worker: false,
    availableMemory,
    locate: (where) => where,
    open,
    find,
  } satisfies Runtime;
}

async function kernels(build: Build, folder?: string): Promise<Uint8Array<ArrayBuffer>> {
  const places = folder === undefined ? kernelsAt(build) : [new URL(`${build}.wasm`, `${urlOf(folder)}/`)];
  for (const url of places) {
    const bytes = await read(url).catch(() => undefined);
    if (bytes) return bytes;
  }
  const expected = places.map((url) => (url.protocol === "file:" ? fileURLToPath(url) : url.href)).join(" or ");
  const remedy =
    "bundled code has them beside it or is given their folder (option kernels); a clone makes them by `npm run kernels`";
  throw new LambentError(`kernels: expected ${expected}, found none: ${remedy}`);
}

function urlOf(folder: string): string {
  return /^[a-z][a-z\d+.-]+:/i.test(folder) ? folder : pathToFileURL(folder).href;
}

/** Code that came from a server has its files there. */
async function read(url: URL): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (url.protocol === "file:") return readFile(url);
  const response = await fetch(url);
  return response.ok ? new Uint8Array(await response.arrayBuffer()) : undefined;
}

function availableMemory(): number | undefined {
  try {
    return freemem();
  } catch {
    return undefined; // Deno asks for a permission
  }
}

/** Code that came from a server has its files there. */
async function open(url: URL): Promise<ByteSource | undefined> {
  return url.protocol === "file:" ? openFile(fileURLToPath(url)) : (await import("./web.ts")).openOnWeb(url);
}

/** A directory, a URL of one, or a Hugging Face id, which is downloaded. */
async function find(place: string, options: FindOptions): Promise<Files> {
  const where = place.startsWith("file:") ? fileURLToPath(place) : place;
  if (await isDirectory(where)) return directory(where);
  const hub = hubIdOf(where);
  // What only a download needs is imported by it: that takes longer than to read a small model.
  if (/^https?:\/\//.test(where) && !hub)
    return (await import("./url.ts")).filesFromUrl(where, { signal: options.signal });
  const id = hub ?? where;
  if (!isModelId(id) || (await isFile(where))) {
    throw new OptionError(mismatch("model", "a directory, a URL or a Hugging Face id such as org/name", where));
  }
  const { downloadModel } = await import("./hub.ts");
  const { onProgress, ...rest } = options;
  return directory(
    await downloadModel(id, { ...rest, onProgress: ({ loaded, total }) => onProgress?.(loaded, total) }),
  );
}
