/**
 * A model in the cache of Python's huggingface_hub, in its layout, so that each uses what the other downloaded:
 *
 *     models--org--name/refs/main                  the commit of a branch or tag
 *                       blobs/<etag>               content, named by its hash
 *                       snapshots/<commit>/<file>  links to blobs
 *                       .no_exist/<commit>/<file>  empty: the commit has no such file
 *
 * A blob appears atomically, complete and verified. Until then its bytes are in a file with a single writer,
 * `<etag>.<host>-<process>-<n>.incomplete`: two processes that download the same file cost bandwidth, never content. A
 * writer that stops leaves `<etag>.incomplete`; the file of a killed one is recognised because its process is gone.
 */
import { createHash, randomUUID } from "node:crypto";
import {
  copyFile,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join, relative } from "node:path";
import { ModelError, mismatch } from "../base/errors.ts";
import { isCommit } from "./hub_api.ts";

/** The configuration of a model. */
export const CONFIG = "config.json";
/** The tokenizer of a model. */
export const TOKENIZER = "tokenizer.json";
/** The weights of a model in one file. */
export const WEIGHTS = "model.safetensors";
/** The index of a model's shards. */
export const INDEX = "model.safetensors.index.json";
/** Optional files of a model. */
export const OPTIONAL = [
  "generation_config.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
  "chat_template.json",
];
/** Files that replace tokenizer.json. */
export const TOKENIZERS = ["tokenizer.model", "vocab.json", "merges.txt"];

/** A partial file that was modified this recently (ms) may still be written to by a Python process. */
const FRESH = 60_000;
/** A partial file that was not modified for this long (ms) is abandoned, whatever its name says. */
const STALE = 3_600_000;

const HOST = createHash("sha256").update(hostname()).digest("hex").slice(0, 8);
const mine = new Set<string>();

/** The shards that an index names. Names from a repository must not lead out of the snapshot. */
export function shards(index: string, subject: string): string[] {
  let map: unknown;
  try {
    map = (JSON.parse(index) as { weight_map?: unknown } | null)?.weight_map;
  } catch {
    map = undefined;
  }
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    throw new ModelError(mismatch(subject, "a JSON object with weight_map", index));
  }
  const names = [...new Set<unknown>(Object.values(map))];
  const wrong = names.find(
    (name) => typeof name !== "string" || !/^(?:\w[\w.-]*\/)*\w[\w.-]*\.safetensors$/.test(name),
  );
  if (wrong !== undefined)
    throw new ModelError(mismatch(subject, "names of .safetensors files in its folder or below", wrong));
  if (names.length === 0) throw new ModelError(mismatch(subject, "at least one shard", "none"));
  return names as string[];
}

/** The files of one model in the cache. */
export class Cache {
  private readonly folder: string;
  private readonly blobs: string;

  /** `part`: the folder of the repository that contains the model; file names are relative to it. */
  constructor(
    directory: string,
    id: string,
    private readonly part = "",
    private readonly makeLink: typeof symlink = symlink,
  ) {
    this.folder = join(directory, ["models", ...id.split("/")].join("--"));
    this.blobs = join(this.folder, "blobs");
  }

  snapshot(commit: string): string {
    return join(this.folder, "snapshots", commit, this.part);
  }

  private absent(commit: string, name: string): string {
    return join(this.folder, ".no_exist", commit, this.part, name);
  }

  /** The commit of a revision when it was last requested. */
  async commit(revision: string): Promise<string | undefined> {
    if (isCommit(revision)) return revision;
    const text = await readFile(join(this.folder, "refs", revision), "utf8").catch(() => "");
    return isCommit(text.trim()) ? text.trim() : undefined;
  }

  async setCommit(revision: string, commit: string): Promise<void> {
    if (revision === commit) return;
    await this.replace(join(this.folder, "refs", revision), (path) => writeFile(path, commit));
  }

  /** The first file that a snapshot lacks to be usable; undefined if it is usable. */
  async missing(commit: string): Promise<string | undefined> {
    if (!(await this.accounted(commit, CONFIG))) return CONFIG;
    const tokenizers = await Promise.all(TOKENIZERS.map((name) => this.holds(commit, name)));
    if (!tokenizers.includes(true) && !(await this.accounted(commit, TOKENIZER))) return TOKENIZER;
    if (await this.holds(commit, WEIGHTS)) return undefined;
    const index = await this.read(commit, INDEX);
    if (index === undefined) return WEIGHTS;
    try {
      for (const name of shards(index, INDEX)) if (!(await this.holds(commit, name))) return name;
    } catch {
      return INDEX;
    }
    return undefined;
  }

  /** Whether everything about the snapshot is known, including which optional files exist. */
  async complete(commit: string): Promise<boolean> {
    const others = (await this.holds(commit, TOKENIZER)) ? [] : [TOKENIZER, ...TOKENIZERS];
    for (const name of [...OPTIONAL, ...others]) if (!(await this.accounted(commit, name))) return false;
    return (await this.missing(commit)) === undefined;
  }

  /** The GGUF files of the snapshot, as paths with slashes. */
  async ggufs(commit: string): Promise<string[]> {
    const names = await readdir(this.snapshot(commit), { recursive: true }).catch(() => []);
    return names.map((name) => name.replaceAll("\\", "/")).filter((name) => /\.gguf$/i.test(name));
  }

  async read(commit: string, name: string): Promise<string | undefined> {
    return readFile(join(this.snapshot(commit), name), "utf8").catch(() => undefined);
  }

  /** Whether the snapshot has the file, with `size` bytes if given. */
  async holds(commit: string, name: string, size?: number): Promise<boolean> {
    return isFile(join(this.snapshot(commit), name), size);
  }

  private async accounted(commit: string, name: string): Promise<boolean> {
    return (await this.holds(commit, name)) || isFile(this.absent(commit, name));
  }

  /** Records that the commit has no such file. */
  async deny(commit: string, name: string): Promise<void> {
    const path = this.absent(commit, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, "");
  }

  async holdsBlob(oid: string, size: number): Promise<boolean> {
    return isFile(join(this.blobs, oid), size);
  }

  /** A path for this writer only, with the bytes that earlier ones left behind. */
  async claim(oid: string): Promise<string> {
    await mkdir(this.blobs, { recursive: true });
    const name = `${oid}.${HOST}-${process.pid}-${randomUUID().slice(0, 8)}.incomplete`;
    const path = join(this.blobs, name);
    mine.add(name);
    const left: { from: string; size: number; idle: boolean }[] = [];
    for (const entry of await readdir(this.blobs)) {
      if (!entry.startsWith(`${oid}.`) || !entry.endsWith(".incomplete") || entry === name) continue;
      const from = join(this.blobs, entry);
      const found = await lstat(from).catch(() => undefined);
      if (!found?.isFile()) continue;
      const age = Date.now() - found.mtimeMs;
      const free = entry === `${oid}.incomplete` || age > STALE || abandoned(entry.slice(oid.length + 1));
      const idle = entry !== `${oid}.incomplete` || age > FRESH;
      if (free) left.push({ from, size: found.size, idle });
    }
    left.sort((a, b) => b.size - a.size);
    // The longest of several is used and the others are removed; one that is gone by now was taken by another process.
    let taken = false;
    for (const { from, idle } of left) {
      if (taken && idle) await rm(from, { force: true });
      if (taken) continue;
      try {
        await (idle ? take(from, path) : copyFile(from, path));
        taken = true;
      } catch (error) {
        if ((error as { code?: string }).code !== "ENOENT") throw error;
      }
    }
    return path;
  }

  /** Leaves the bytes for the next writer; the old time says that this one has stopped. */
  async release(path: string, oid: string): Promise<void> {
    mine.delete(path.slice(this.blobs.length + 1));
    const { size } = await stat(path).catch(() => ({ size: 0 }));
    if (size === 0) return rm(path, { force: true });
    await utimes(path, 0, 0);
    await rename(path, join(this.blobs, `${oid}.incomplete`));
  }

  /** Turns the verified bytes into the blob. */
  async publish(path: string, oid: string): Promise<void> {
    mine.delete(path.slice(this.blobs.length + 1));
    await rename(path, join(this.blobs, oid));
  }

  /** Puts a blob into the snapshot: a link or, where links are not supported, the file itself, as Python does. */
  async link(commit: string, name: string, oid: string, fresh: boolean): Promise<void> {
    const path = join(this.snapshot(commit), name);
    const blob = join(this.blobs, oid);
    await this.replace(path, async (temporary) => {
      try {
        await this.makeLink(relative(dirname(path), blob), temporary);
      } catch {
        await (fresh ? rename(blob, temporary) : copyFile(blob, temporary));
      }
    });
  }

  /** Creates a file atomically, replacing another or not. */
  private async replace(path: string, make: (temporary: string) => Promise<void>): Promise<void> {
    await mkdir(dirname(path), { recursive: true });
    const temporary = join(this.folder, `.${randomUUID()}.tmp`);
    try {
      await make(temporary);
      await rename(temporary, path);
    } finally {
      await rm(temporary, { force: true });
    }
  }
}

/** Renames; the modification time is set first, so that no process takes the file for abandoned in between. */
async function take(from: string, to: string): Promise<void> {
  const now = new Date();
  await utimes(from, now, now);
  await rename(from, to);
}

async function isFile(path: string, size?: number): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() === true && (size === undefined || found.size === size);
}

/** Whether a partial file's writer, by its name, was a process of this machine that has ended. */
function abandoned(suffix: string): boolean {
  const [, host, id] = /^([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.incomplete$/.exec(suffix) ?? [];
  if (host !== HOST) return false;
  const pid = Number(id);
  if (pid === process.pid) return ![...mine].some((name) => name.endsWith(suffix));
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as { code?: string }).code === "ESRCH";
  }
}
