/**
 * Models by Hugging Face id: what a model needs is fetched into Python's cache, checked by its hash, and not fetched
 * again. The package @huggingface/hub asks the API; the transfer is ours, for it neither resumes nor checks.
 */
import type { symlink } from "node:fs/promises";
import { LambentError, ModelError, mismatch, OptionError } from "../errors.ts";
import { messageOf } from "../realm.ts";
import { Cache, CONFIG, INDEX, isCommit, OPTIONAL, shards, TOKENIZER, WEIGHTS } from "./hub-cache.ts";
import { Client, HubError, TIMING, type Timing } from "./hub-client.ts";
import {
  cacheDirectory,
  checkEndpoint,
  checkRevision,
  checkToken,
  diskError,
  isOffline,
  storedToken,
} from "./hub-options.ts";
import { isModelId } from "./model_id.ts";
import { download, type RemoteFile } from "./transfer.ts";

/** Bytes over all files of the model, those included that were there already. */
export interface Progress {
  /** The file that got further last. */
  file: string;
  loaded: number;
  total: number;
}

export interface HubOptions {
  /** Branch, tag or commit; `main` by default. */
  revision?: string | undefined;
  /** Default: HF_HUB_CACHE, or HF_HOME/hub, or ~/.cache/huggingface/hub. */
  cacheDir?: string | undefined;
  /** Default: HF_HUB_OFFLINE. */
  offline?: boolean | undefined;
  /** Default: HF_TOKEN, or the file that `hf auth login` wrote; "" for none. */
  token?: string | undefined;
  /** Default: HF_ENDPOINT, or https://huggingface.co. */
  endpoint?: string | undefined;
  signal?: AbortSignal | undefined;
  /** At most every 100 ms, and at the end if anything was fetched. */
  onProgress?: ((progress: Progress) => void) | undefined;
}

/** What tests replace. */
export interface HubInternals extends Partial<Timing> {
  symlink?: typeof symlink;
}

const TOGETHER = 4;
const INDEX_LIMIT = 1 << 26;

/** Fetches what is missing and returns the local snapshot directory. */
export async function downloadModel(
  id: string,
  options: HubOptions = {},
  { symlink: makeLink, ...timing }: HubInternals = {},
): Promise<string> {
  if (!isModelId(id)) throw new OptionError(mismatch("model id", '"org/name" or "name"', id));
  const { revision = "main", signal } = options;
  checkRevision(revision);
  signal?.throwIfAborted();
  const stop = new AbortController();
  const abort = () => stop.abort(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  const directory = options.cacheDir ?? cacheDirectory();
  try {
    const cache = new Cache(directory, id, makeLink);
    const cached = await cache.commit(revision);
    const lacks = cached === undefined ? undefined : await cache.missing(cached);
    const usable = cached !== undefined && lacks === undefined ? cache.snapshot(cached) : undefined;
    if (usable && isCommit(revision) && (await cache.complete(revision))) return usable;
    if (options.offline ?? isOffline()) {
      if (usable) return usable;
      const what = lacks === undefined ? `revision ${revision}` : lacks;
      throw new HubError(mismatch(id, `${what} in the cache, being offline`, "none"));
    }
    const endpoint = checkEndpoint(options.endpoint ?? (process.env.HF_ENDPOINT || "https://huggingface.co"));
    const token = checkToken(options.token ?? (await storedToken()));
    const client = new Client(endpoint, token, stop.signal, { ...TIMING, ...timing });
    const fetcher = new Fetcher(id, client, cache, stop, options.onProgress);
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
  private told = 0;

  constructor(
    private readonly id: string,
    private readonly client: Client,
    private readonly cache: Cache,
    private readonly stop: AbortController,
    private readonly onProgress: HubOptions["onProgress"],
  ) {}

  async run(revision: string, usable: string | undefined): Promise<string> {
    const { id, cache, client } = this;
    let info: { sha: string; filePaths: string[] };
    try {
      // With a usable cache one failed request is enough, and a short silence.
      const { endpoint, token, signal, timing } = client;
      const probe = usable ? { ...timing, retries: 0, stall: Math.min(timing.probe, timing.stall) } : timing;
      const once = new Client(endpoint, token, signal, probe);
      const params = { name: id, revision, hubUrl: endpoint, fetch: once.fetch(id) };
      info = await this.ask(({ modelInfo }) => modelInfo({ ...params, additionalFields: ["sha", "filePaths"] }));
    } catch (error) {
      if (usable && error instanceof HubError && error.code !== "RevisionNotFound") return usable;
      throw this.explain(error, revision);
    }
    const commit = String(info.sha);
    if (!isCommit(commit)) throw new HubError(mismatch(id, `a commit from ${client.endpoint}`, info.sha));
    const before = await cache.commit(revision);
    // A revision does not move from a snapshot that is usable to one that is not yet.
    if (before === undefined || (await cache.missing(before)) !== undefined) await cache.setCommit(revision, commit);
    if (!(await cache.complete(commit))) {
      try {
        await this.fetchAll(commit, info.filePaths);
      } catch (error) {
        throw this.explain(error);
      }
    }
    await cache.setCommit(revision, commit);
    return cache.snapshot(commit);
  }

  private async fetchAll(commit: string, all: string[]): Promise<void> {
    const { id, cache } = this;
    const found = await this.look(commit, [CONFIG, TOKENIZER, ...OPTIONAL, WEIGHTS, INDEX]);
    const single = found.get(WEIGHTS);
    const index = found.get(INDEX);
    if (!found.has(CONFIG)) throw new ModelError(mismatch(id, CONFIG, "none"));
    if (!single && !index) {
      const other = all.filter((name) => /\.(safetensors|bin|gguf|pth?|h5|msgpack|onnx)$/.test(String(name)));
      const names = other.length > 3 ? `${other.slice(0, 3).join(", ")}, ...` : other.join(", ");
      throw new ModelError(mismatch(id, `${WEIGHTS} or ${INDEX}`, names || "neither"));
    }
    const small = [CONFIG, TOKENIZER, ...OPTIONAL].flatMap((name) => found.get(name) ?? []);
    let weights: RemoteFile[] = [];
    if (single) weights = [single];
    else if (index) {
      if (index.size > INDEX_LIMIT)
        throw new ModelError(mismatch(`${id}: ${INDEX}`, `at most ${INDEX_LIMIT} bytes`, index.size));
      await this.fetchFile(commit, index);
      const names = shards((await cache.read(commit, INDEX)) ?? "", `${id}: ${INDEX}`);
      const there = await this.look(commit, names);
      const gone = names.find((name) => !there.has(name));
      if (gone) throw new ModelError(mismatch(id, `${gone}, which ${INDEX} names`, "none"));
      weights = [...there.values()];
      this.files.set(INDEX, index);
    }
    for (const file of [...small, ...weights]) {
      this.files.set(file.name, file);
      this.loaded.set(file.name, (await cache.holds(commit, file.name, file.size)) ? file.size : 0);
    }
    // The weights come last: where they are, all the rest is.
    await this.together(small, (file) => this.fetchFile(commit, file));
    for (const name of [TOKENIZER, ...OPTIONAL]) if (!found.has(name)) await cache.deny(commit, name);
    await this.together(weights, (file) => this.fetchFile(commit, file));
    const last = weights.at(-1);
    if (last && this.told > 0) this.tell(last.name, true);
  }

  /** Sizes and hashes of those of the named files that the repository has. */
  private async look(commit: string, paths: string[]): Promise<Map<string, RemoteFile>> {
    const { id, client } = this;
    const { endpoint: hubUrl } = client;
    const repo = { type: "model", name: id } as const;
    const entries = await this.ask(({ pathsInfo }) =>
      pathsInfo({ repo, paths, revision: commit, hubUrl, fetch: client.fetch(id) }),
    );
    const files = new Map<string, RemoteFile>();
    for (const { path: name, type, size, oid, lfs } of entries) {
      if (!paths.includes(name)) throw new HubError(mismatch(id, "only the files that were asked for", name));
      const file = { name, size: lfs?.size ?? size, oid: String(lfs?.oid ?? oid) };
      const valid = type === "file" && Number.isSafeInteger(file.size) && file.size >= 0;
      if (!valid || !(lfs ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{40}$/).test(file.oid)) {
        throw new HubError(mismatch(`${id}: ${name}`, "a file with size and hash", { type, size, oid: file.oid }));
      }
      files.set(name, file);
    }
    return files;
  }

  private async fetchFile(commit: string, file: RemoteFile): Promise<void> {
    const { cache, client, id } = this;
    const { name, oid, size } = file;
    if (await cache.holds(commit, name, size)) return;
    const fresh = !(await cache.holdsBlob(oid, size));
    if (fresh) {
      const url = `${client.endpoint}/${id}/resolve/${commit}/${encodeURIComponent(name)}`;
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

  /** Several at once; after the first failure the others stop too, and have stopped when it is thrown. */
  private async together(files: RemoteFile[], work: (file: RemoteFile) => Promise<void>): Promise<void> {
    const queue = [...files];
    const failures: unknown[] = [];
    const worker = async () => {
      for (let file = queue.shift(); file && failures.length === 0; file = queue.shift()) {
        try {
          await work(file);
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

  /** A call of the package, whose own errors are about what the server sent. It is loaded when it is needed. */
  private async ask<T>(call: (hub: typeof import("@huggingface/hub")) => Promise<T>): Promise<T> {
    const hub = await import("@huggingface/hub");
    try {
      return await call(hub);
    } catch (error) {
      if (error instanceof LambentError || this.stop.signal.aborted) throw error;
      const expected = `an answer of the Hugging Face API from ${this.client.endpoint}`;
      throw new HubError(mismatch(this.id, expected, messageOf(error)));
    }
  }

  /** Says of an HTTP status what it means for the user; 404 only of the request for the revision. */
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
