/**
 * Models by Hugging Face id: the files of a model are downloaded into Python's cache, verified by hash, and not
 * downloaded again.
 */
import type { symlink } from "node:fs/promises";
import { mismatch, OptionError } from "../base/errors.ts";
import { isCommit } from "./hub_api.ts";
import { Cache } from "./hub_cache.ts";
import { Client, HubError, TIMING, type Timing } from "./hub_client.ts";
import { Fetcher, type Progress } from "./hub_fetch.ts";
import {
  cacheDirectory,
  checkRevision,
  checkToken,
  diskError,
  endpointOf,
  isOffline,
  storedToken,
} from "./hub_options.ts";
import { Wanted } from "./hub_wanted.ts";
import { isModelId } from "./model_id.ts";

/** How a model is downloaded. */
export interface HubOptions {
  /** Branch, tag or commit; "main" by default. */
  revision?: string | undefined;
  /** Folder of the repository that contains the model; its root by default. */
  folder?: string | undefined;
  /** Path in the folder of a GGUF file, instead of a directory's model; of a split set all parts are downloaded. */
  file?: string | undefined;
  /** The same by what its name says of its types, such as Q4_K_M. */
  quantization?: string | undefined;
  /** These files alone, all of them, instead of a model's; a GGUF file goes before them. */
  only?: readonly string[] | undefined;
  /** Default: HF_HUB_CACHE, or HF_HOME/hub, or ~/.cache/huggingface/hub. */
  cacheDir?: string | undefined;
  /** Default: HF_HUB_OFFLINE. */
  offline?: boolean | undefined;
  /** Default: HF_TOKEN, or the file that `hf auth login` wrote; "": none. */
  token?: string | undefined;
  /** Default: HF_ENDPOINT, or https://huggingface.co. */
  endpoint?: string | undefined;
  signal?: AbortSignal | undefined;
  /** Called at most every 100 ms, and at the end if anything was downloaded. */
  onProgress?: ((progress: Progress) => void) | undefined;
}

/** What tests replace. */
export interface HubInternals extends Partial<Timing> {
  symlink?: typeof symlink;
}

/** Downloads what is missing and returns the local snapshot directory, or the path of the GGUF file in it. */
export async function downloadModel(
  id: string,
  options: HubOptions = {},
  { symlink: makeLink, ...timing }: HubInternals = {},
): Promise<string> {
  if (!isModelId(id)) throw new OptionError(mismatch("model id", '"org/name" or "name"', id));
  const { revision = "main", folder = "", signal } = options;
  checkRevision(revision);
  signal?.throwIfAborted();
  const stop = new AbortController();
  const abort = () => stop.abort(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  const directory = options.cacheDir ?? cacheDirectory();
  try {
    const cache = new Cache(directory, id, folder, makeLink);
    const wanted = new Wanted(cache, options);
    const cached = await cache.commit(revision);
    const usable = cached === undefined ? undefined : await wanted.usable(cached);
    if (usable && isCommit(revision) && (await wanted.complete(revision))) return usable;
    if (options.offline ?? isOffline()) {
      if (usable) return usable;
      const what = cached === undefined ? `revision ${revision}` : await wanted.missing(cached);
      throw new HubError(mismatch(id, `${what} in the cache, being offline`, "none"));
    }
    const endpoint = endpointOf(options.endpoint);
    const token = checkToken(options.token ?? (await storedToken()));
    const client = new Client(endpoint, token, stop.signal, { ...TIMING, ...timing });
    const fetcher = new Fetcher(id, folder, wanted, client, cache, stop, options.onProgress);
    return await fetcher.run(revision, usable);
  } catch (error) {
    signal?.throwIfAborted();
    throw diskError(error, directory);
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}
