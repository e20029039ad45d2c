import { join } from "node:path";
import { ModelError, mismatch } from "../base/errors.ts";
import { chooseGguf, ggufModels, splitNames } from "../formats/gguf_choice.ts";
import { fileUrl, findFile, findRevision, mayBeAbsent, type Revision } from "./hub_api.ts";
import { type Cache, CONFIG, INDEX, OPTIONAL, shards, TOKENIZER, TOKENIZERS, WEIGHTS } from "./hub_cache.ts";
import { type Client, HubError } from "./hub_client.ts";
import { explain } from "./hub_explain.ts";
import type { Wanted } from "./hub_wanted.ts";
import { download, type RemoteFile } from "./transfer.ts";

/** Bytes over all files of the model, including those that were in the cache. */
export interface Progress {
  /** The file that last made progress. */
  file: string;
  loaded: number;
  total: number;
}

const TOGETHER = 4;
const INDEX_LIMIT = 1 << 26;

/** Downloads the files of one model that the cache lacks. */
export class Fetcher {
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
    private readonly wanted: Wanted,
    private readonly client: Client,
    private readonly cache: Cache,
    private readonly stop: AbortController,
    private readonly onProgress: ((progress: Progress) => void) | undefined,
  ) {
    this.subject = folder ? `${id}/${folder}` : id;
  }

  async run(revision: string, usable: string | undefined): Promise<string> {
    const { id, cache, client, wanted } = this;
    const known = this.pathOf(wanted.choice.file ?? wanted.only?.[0] ?? CONFIG);
    let found: Revision;
    try {
      // With a usable cache one failed request is enough, after a short timeout.
      const { timing } = client;
      const probe = { ...timing, retries: 0, stall: Math.min(timing.probe, timing.stall) };
      found = await findRevision(usable ? client.with(probe) : client, id, revision, known);
    } catch (error) {
      if (usable && error instanceof HubError && error.code !== "RevisionNotFound") return usable;
      throw explain(error, id, client, revision);
    }
    const { commit } = found;
    const before = await cache.commit(revision);
    // A revision is not moved from a usable snapshot to one that is not usable yet.
    if (before === undefined || !(await wanted.usable(before))) await cache.setCommit(revision, commit);
    let path = (await wanted.complete(commit)) ? await wanted.usable(commit) : undefined;
    if (path === undefined) {
      try {
        path = await this.fetch(found);
      } catch (error) {
        throw explain(error, id, client);
      }
    }
    await cache.setCommit(revision, commit);
    return path;
  }

  private fetch(found: Revision): Promise<string> {
    const { only } = this.wanted;
    if (only) return this.fetchOnly(found, only);
    return this.isGguf(found) ? this.fetchGguf(found) : this.fetchAll(found);
  }

  /** Whether a GGUF file is asked for, or the only thing that is there. */
  private isGguf({ files }: Revision): boolean {
    if (this.wanted.isGguf) return true;
    const names = files && this.namesIn(files);
    return (
      names !== undefined && ![WEIGHTS, INDEX].some((name) => names.includes(name)) && ggufModels(names).length > 0
    );
  }

  /** The names of those files that are in the model's folder. */
  private namesIn(files: ReadonlySet<string>): string[] {
    const prefix = this.pathOf("");
    return [...files].filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  }

  private async fetchOnly({ commit, files }: Revision, names: readonly string[]): Promise<string> {
    const there = await this.look(commit, names, files);
    const gone = names.find((name) => !there.has(name));
    if (gone) throw this.refused.get(gone) ?? new ModelError(mismatch(this.subject, gone, "none"));
    await this.fetchFiles(commit, [...there.values()]);
    return this.cache.snapshot(commit);
  }

  /** Downloads a GGUF file with all its parts. */
  private async fetchGguf({ commit, files }: Revision): Promise<string> {
    const { subject, wanted } = this;
    const { file = "" } = wanted.choice;
    if (!files && !file) {
      const expected = "the name of a GGUF file (option file), because this hub does not list them";
      throw new ModelError(mismatch(subject, expected, "none"));
    }
    const chosen = files ? chooseGguf(this.namesIn(files), wanted.choice, subject) : file;
    const path = join(this.cache.snapshot(commit), chosen);
    if (await wanted.holds(commit, chosen)) return path;
    const parts = splitNames(chosen);
    const there = await this.look(commit, parts, files);
    const gone = parts.find((name) => !there.has(name));
    if (gone) throw this.refused.get(gone) ?? new ModelError(mismatch(subject, gone, "none"));
    await this.fetchFiles(commit, [...there.values()]);
    return path;
  }

  private async fetchAll({ commit, files }: Revision): Promise<string> {
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
    // The weights come last: if they are there, so is all the rest.
    await this.announce(commit, [...small, ...weights]);
    await this.together(small, (file) => this.fetchFile(commit, file));
    for (const name of optional) {
      if (!found.has(name) && !this.refused.has(name)) await cache.deny(commit, name);
    }
    await this.fetchFiles(commit, weights);
    return cache.snapshot(commit);
  }

  /** Counts files in for the progress. */
  private async announce(commit: string, files: readonly RemoteFile[]): Promise<void> {
    for (const file of files) {
      this.files.set(file.name, file);
      this.loaded.set(file.name, (await this.cache.holds(commit, file.name, file.size)) ? file.size : 0);
    }
  }

  /** Downloads the last files. */
  private async fetchFiles(commit: string, files: RemoteFile[]): Promise<void> {
    await this.announce(commit, files);
    await this.together(files, (file) => this.fetchFile(commit, file));
    const last = files.at(-1);
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
  private async look(
    commit: string,
    names: readonly string[],
    files: Revision["files"],
  ): Promise<Map<string, RemoteFile>> {
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
}
