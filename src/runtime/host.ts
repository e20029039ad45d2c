/** What Bun, Deno and Node share: files, and downloads into the Hugging Face cache. */
import { readFile } from "node:fs/promises";
import { availableParallelism, freemem } from "node:os";
import { basename, dirname, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { LambentError, mismatch, OptionError } from "../base/errors.ts";
import { messageOf } from "../base/realm.ts";
import { type ByteSource, type Files, withFile } from "../base/source.ts";
import type { Build } from "../machine/kernels.ts";
import { shownPlace } from "../sources/address.ts";
import { directory, isDirectory, isFile, openFile } from "../sources/directory.ts";
import { endpointOf, expandHome } from "../sources/hub_options.ts";
import {
  EXPECTED,
  folderOf,
  foreignError,
  foreignFile,
  ggufName,
  type HubModel,
  hubModelAt,
} from "../sources/model_id.ts";
import { explainConnections } from "../sources/network.ts";
import { proxyNote } from "../sources/proxy.ts";
import type { LogStore } from "../store/log_store.ts";
import { kernelsAt } from "./beside.ts";
import type { FindOptions, Runtime } from "./types.ts";

/** A host with a file system, without its own parts. */
export function host<Own extends Pick<Runtime, "name" | "startThread" | "startEngine">>(own: Own) {
  explainConnections(proxyNote);
  return {
    ...own,
    kernels,
    cores: availableParallelism(),
    worker: false,
    availableMemory,
    locate: (where) => where,
    open,
    openLog,
    find,
  } satisfies Runtime;
}

/** Stores of logs by their folders. */
const logs = new Map<string, LogStore>();

/** Throws OptionError for a folder that cannot be written to. */
async function openLog(folder: string): Promise<LogStore> {
  const path = resolve(expandHome(folder));
  // What is deleted from a folder is what no engine of this process needs.
  const known = logs.get(path);
  if (known) return known;
  const store = (await import("../store/file_log.ts")).fileLog(path);
  try {
    await store.put("probe", new Uint8Array(1));
    await store.delete("probe");
  } catch (error) {
    throw new OptionError(
      mismatch("recallStore", "a folder that can be written to", `${folder} (${messageOf(error)})`),
    );
  }
  const other = logs.get(path);
  if (!other) logs.set(path, store);
  return other ?? store;
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

/** Code that was loaded from a server has its files there. */
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

/** Code that was loaded from a server has its files there. */
async function open(url: URL): Promise<ByteSource | undefined> {
  return url.protocol === "file:" ? openFile(fileURLToPath(url)) : (await import("./web.ts")).openOnWeb(url);
}

/**
 * A directory, or one of the files in it, such as a GGUF file; a URL of either; or a model on the hub, which is
 * downloaded. `~` is the home directory, even if no shell has expanded it.
 */
async function find(place: string, options: FindOptions): Promise<Files> {
  const where = pathOf(place);
  const { file, signal } = options;
  if (await isDirectory(where)) return directory(where, file);
  if (await isFile(where)) {
    if (folderOf(where) !== where) return withFile(directory(dirname(where), ggufName(where)), file);
    throw new OptionError(mismatch("model", EXPECTED, `${where} (a file)`));
  }
  const model = hubModelAt(place, options, endpointOf());
  if (model) return download(model, place, options);
  // Modules for URLs are imported only then: importing them takes longer than reading a small model.
  if (/^https?:\/\//i.test(where))
    return withFile((await import("../sources/url.ts")).filesFromUrl(where, { signal }), file);
  const foreign = foreignFile(where);
  if (foreign) throw foreignError(`no file ${where} (it would be ${foreign})`);
  const found = where === "" ? '""' : shownPlace(where);
  const kind = ggufName(where) ? "file" : "directory";
  throw new OptionError(
    mismatch("model", EXPECTED, /^[a-z][a-z\d+.-]+:\/\//i.test(where) ? found : `no ${kind} ${found}`),
  );
}

/** A place in the file system, as node:fs takes it; other places unchanged. */
function pathOf(place: string): string {
  try {
    return /^file:/i.test(place) ? fileURLToPath(place) : expandHome(place);
  } catch (error) {
    throw new OptionError(mismatch("model", "a file URL of this machine", `${place} (${(error as Error).message})`));
  }
}

/** The local files of the model on the hub that `place` names. */
async function download({ id, ...model }: HubModel, place: string, options: FindOptions): Promise<Files> {
  const { downloadModel } = await import("../sources/hub.ts");
  const { onProgress, ...rest } = options;
  const progress = ({ loaded, total }: { loaded: number; total: number }) => onProgress?.(loaded, total);
  try {
    const path = await downloadModel(id, { ...rest, ...model, onProgress: progress });
    return (await isDirectory(path)) ? directory(path) : directory(dirname(path), basename(path));
  } catch (error) {
    // Names both places that were tried; an error about one of the files means that the place exists.
    const local = place.startsWith(id) && error instanceof LambentError && error.message.startsWith(`${id}:`);
    if (local) error.message += `; and there is no directory ${place}`;
    throw error;
  }
}
