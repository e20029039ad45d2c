/**
 * Models by Hugging Face id: the files of a model are downloaded into Python's cache, verified by hash, and not
 * downloaded again.
 */
import type { symlink } from "node:fs/promises";
import { ModelError, mismatch, OptionError } from "../base/errors.ts";
import { fileUrl, findFile, findRevision, mayBeAbsent, type Revision } from "./hub_api.ts";
import { Cache, CONFIG, INDEX, isCommit, OPTIONAL, shards, TOKENIZER, TOKENIZERS, WEIGHTS } from "./hub_cache.ts";
import { Client, HubError, TIMING, type Timing } from "./hub_client.ts";
import {
  cacheDirectory,
  checkRevision,
  checkToken,
  diskError,
  endpointOf,
  isOffline,
  storedToken,
} from "./hub_options.ts";
import { isModelId } from "./model_id.ts";
import { download, type RemoteFile } from "./transfer.ts";

/** Bytes over all files of the model, including those that were in the cache. */
export interface Progress {
  /** The file that last made progress. */
  file: string;
  loaded: number;
  total: number;
}

/** How a model is downloaded. */
export interface HubOptions {
  /** Branch, tag or commit; "main" by default. */
  revision?: string | undefined;
  /** Folder of the repository that contains the model; its root by default. */
  folder?: string | undefined;
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

const TOGETHER = 4;
const INDEX_LIMIT = 1 << 26;

/** Downloads what is missing and returns the local snapshot directory. */
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
    const cached = await cache.commit(revision);
    const lacks = cached === undefined ? undefined : await cache.missing(cached);
    const usable = cached !== undefined && lacks === undefined ? cache.snapshot(cached) : undefined;
    if (usable && isCommit(revision) && (await cache.complete(revision))) return usable;
    if (options.offline ?? isOffline()) {
      if (usable) return usable;
      const what = lacks === undefined ? `revision ${revision}` : lacks;
      throw new HubError(mismatch(id, `${what} in the cache, being offline`, "none"));
    }
    const endpoint = endpointOf(options.endpoint);
    const token = checkToken(options.token ?? (await storedToken()));
    const client = new Client(endpoint, token, stop.signal, { ...TIMING, ...timing });
    const fetcher = new Fetcher(id, folder, client, cache, stop, options.onProgress);
    return await fetcher.run(revision, usable);
  } catch (error) {
    signal?.throwIfAborted();
    throw diskError(error, directory);
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

class Fetcher {
  private readonly files = new Map<string, RemoteFile>();
  private readonly loaded = new Map<string, number>();
  /** Files that the server refused, possibly because it has none. */
  private readonly refused = new Map<string, HubError>();
  private told = 0;
  /** The model's name in errors. */
  private readonly subject: string;

  constructor(
    private readonly id: string,
    private readonly folder: string,
    private readonly client: Client,
    private readonly cache: Cache,
    private readonly stop: AbortController,
    private readonly onProgress: HubOptions["onProgress"],
  ) {
    this.subject = folder ? `${id}/${folder}` : id;
  }

  async run(revision: string, usable: string | undefined): Promise<string> {
    const { id, cache, client } = this;
    let found: Revision;
    try {
      // With a usable cache one failed request is enough, after a short timeout.
      const { timing } = client;
      const probe = { ...timing, retries: 0, stall: Math.min(timing.probe, timing.stall) };
      found = await findRevision(usable ? client.with(probe) : client, id, revision);
    } catch (error) {
      if (usable && error instanceof HubError && error.code !== "RevisionNotFound") return usable;
      throw this.explain(error, revision);
    }
    const { commit } = found;
    const before = await cache.commit(revision);
    // A revision is not moved from a usable snapshot to one that is not usable yet.
    if (before === undefined || (await cache.missing(before)) !== undefined) await cache.setCommit(revision, commit);
    if (!(await cache.complete(commit))) {
      try {
        await this.fetchAll(found);
      } catch (error) {
        throw this.explain(error);
      }
    }
    await cache.setCommit(revision, commit);
    return cache.snapshot(commit);
  }

  private async fetchAll({ commit, files }: Revision): Promise<void> {
    const { cache, subject } = this;
    const look = (names: string[]) => this.look(commit, names, files);
    const found = await look([CONFIG, TOKENIZER, ...OPTIONAL, WEIGHTS]);
    if (!found.has(CONFIG)) throw new ModelError(mismatch(subject, CONFIG, "none"));
    const optional = [TOKENIZER, ...OPTIONAL];
    if (!found.has(TOKENIZER)) {
      for (const [name, file] of await look(TOKENIZERS)) found.set(name, file);
      optional.push(...TOKENIZERS);
    }
    const single = found.get(WEIGHTS);
    const weights = single ? [single] : await this.findShards(commit, files);
    const small = [CONFIG, ...optional].flatMap((name) => found.get(name) ?? []);
    for (const file of [...small, ...weights]) {
      this.files.set(file.name, file);
      this.loaded.set(file.name, (await cache.holds(commit, file.name, file.size)) ? file.size : 0);
    }
    // The weights come last: if they are there, so is all the rest.
    await this.together(small, (file) => this.fetchFile(commit, file));
    for (const name of optional) {
      if (!found.has(name) && !this.refused.has(name)) await cache.deny(commit, name);
    }
    await this.together(weights, (file) => this.fetchFile(commit, file));
    const last = weights.at(-1);
    if (last && this.told > 0) this.tell(last.name, true);
  }

  /** The shards that the index names; downloads the index. */
  private async findShards(commit: string, files: Revision["files"]): Promise<RemoteFile[]> {
    const { subject } = this;
    const index = (await this.look(commit, [INDEX], files)).get(INDEX);
    if (!index) {
      const refusal = this.refused.get(INDEX) ?? this.refused.get(WEIGHTS);
      if (refusal) throw refusal;
      const other = [...(files ?? [])].filter((name) => /\.(safetensors|bin|gguf|pth?|h5|msgpack|onnx)$/.test(name));
      const names = other.length > 3 ? `${other.slice(0, 3).join(", ")}, ...` : other.join(", ");
      throw new ModelError(mismatch(subject, `${WEIGHTS} or ${INDEX}`, names || "neither"));
    }
    if (index.size > INDEX_LIMIT)
      throw new ModelError(mismatch(`${subject}: ${INDEX}`, `at most ${INDEX_LIMIT} bytes`, index.size));
    await this.fetchFile(commit, index);
    this.files.set(INDEX, index);
    const names = shards((await this.cache.read(commit, INDEX)) ?? "", `${subject}: ${INDEX}`);
    const there = await this.look(commit, names, files);
    const gone = names.find((name) => !there.has(name));
    if (gone)
      throw this.refused.get(gone) ?? new ModelError(mismatch(subject, `${gone}, which ${INDEX} names`, "none"));
    return [...there.values()];
  }

  /** Sizes and hashes of those of the named files that the model has; `files`: the repository's files, if known. */
  private async look(commit: string, names: string[], files: Revision["files"]): Promise<Map<string, RemoteFile>> {
    const found = new Map<string, RemoteFile>();
    const asked = names.filter((name) => files?.has(this.pathOf(name)) ?? true);
    await this.together(asked, async (name) => {
      try {
        const file = await findFile(this.client, this.id, commit, this.pathOf(name));
        if (file) found.set(name, { ...file, name });
      } catch (error) {
        if (name === CONFIG || !mayBeAbsent(error)) throw error;
        this.refused.set(name, error);
      }
    });
    return found;
  }

  /** Path of a file within the repository. */
  private pathOf(name: string): string {
    return this.folder ? `${this.folder}/${name}` : name;
  }

  private async fetchFile(commit: string, file: RemoteFile): Promise<void> {
    const { cache, client, id } = this;
    const { name, oid, size } = file;
    if (await cache.holds(commit, name, size)) return;
    const fresh = !(await cache.holdsBlob(oid, size));
    if (fresh) {
      const url = fileUrl(client, id, commit, this.pathOf(name));
      const path = await cache.claim(oid);
      try {
        await download(client, url, file, path, (length) => {
          this.loaded.set(name, length);
          this.tell(name, false);
        });
        await cache.publish(path, oid);
      } catch (error) {
        await cache.release(path, oid).catch(() => {});
        throw error;
      }
    }
    await cache.link(commit, name, oid, fresh);
    this.loaded.set(name, size);
  }

  /** Several at once; after the first failure the others are stopped before the error is thrown. */
  private async together<T extends object | string>(items: T[], work: (item: T) => Promise<void>): Promise<void> {
    const queue = [...items];
    const failures: unknown[] = [];
    const worker = async () => {
      for (let item = queue.shift(); item && failures.length === 0; item = queue.shift()) {
        try {
          await work(item);
        } catch (error) {
          failures.push(error);
          this.stop.abort(error);
        }
      }
    };
    await Promise.all(Array.from({ length: TOGETHER }, worker));
    if (failures.length > 0) throw failures[0];
  }

  private tell(file: string, done: boolean): void {
    const now = Date.now();
    if (!this.onProgress || this.files.size === 0 || (!done && now - this.told < 100)) return;
    this.told = now;
    let loaded = 0;
    let total = 0;
    for (const { name, size } of this.files.values()) {
      loaded += this.loaded.get(name) ?? 0;
      total += size;
    }
    this.onProgress({ file, loaded, total });
  }

  /** What an HTTP status means to the user; 404 only for the request for the revision. */
  private explain(error: unknown, revision?: string): unknown {
    if (!(error instanceof HubError)) return error;
    const { status, code } = error;
    const { id } = this;
    const { endpoint, token } = this.client;
    if (status === 404 && revision !== undefined && code === "RevisionNotFound") {
      return new HubError(mismatch(id, `revision ${revision} on ${endpoint}`, "none (404)"), status, code);
    }
    if (status === 404 && revision !== undefined) {
      return new HubError(`${id}: expected a model on ${endpoint}, found none (404)`, status, code);
    }
    if (status !== 401 && status !== 403) return error;
    const terms = `accept its terms at ${endpoint}/${id}`;
    const found =
      code === "GatedRepo"
        ? `a gated one (${status}): ${terms} and ${token ? "use a token of that account" : "set HF_TOKEN"}`
        : token
          ? `none for this token (${status}): it is private or gated, or does not exist; check HF_TOKEN`
          : `none without a token (${status}): it is private or gated, or does not exist; set HF_TOKEN`;
    return new HubError(`${id}: expected a model on ${endpoint}, found ${found}`, status, code);
  }
}
