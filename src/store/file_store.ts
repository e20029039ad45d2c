import { mismatch, OptionError } from "../base/errors.ts";
import { GRACE_MS, NEW, present, sweepNew } from "./new_files.ts";
import { checkKey, type PutOptions, type SessionStore, type Stored } from "./store.ts";

/** How much a folder holds. */
export interface FileStoreOptions {
  /** Bytes of all values; beyond it those used least recently are evicted, the ones that expire soonest first. 4 GiB by default. */
  readonly maxBytes?: number | undefined;
}

/** Bytes before a value: its version u8[16], its time to live and when it expires f64 (ms; Infinity: never). */
const HEADER = 32;
/** The last change of a file that never expires, relative to its last use, in ms. */
const EVER_MS = 10 * 365 * 86_400_000;

/** Node's modules, which edge runtimes that bundle this file may not have. */
const files = () => import("node:fs/promises");

type Head = { readonly version: string; readonly ttl: number; readonly expires: number };

/** A version of a value: a file whose name is its number. */
interface Version {
  readonly number: number;
  readonly path: string;
}

/**
 * Values as files, for any number of processes in one folder (of a file system with hard links). A key is a folder, each
 * version in it a file named by a number; the highest is valid. A version is written elsewhere, then linked to the next
 * number, which only one of several can do: nothing is locked, and a process may be killed at any moment. An empty file is
 * what is deleted; it stays for an hour, so that numbers are not used again while another process compares them. The time
 * of a file's last change is when it would expire if it was put at its last use, the order in which values are evicted.
 */
export function fileStore(folder: string, options: FileStoreOptions = {}): SessionStore {
  return new FileStore(folder, options.maxBytes ?? 2 ** 32);
}

class FileStore implements SessionStore {
  readonly #folder: string;
  readonly #most: number;
  /** Bytes that may be written before the next sweep. */
  #left = 0;
  #sweeping: Promise<void> | undefined;

  constructor(folder: string, most: number) {
    if (!(most > 0)) throw new OptionError(mismatch("maxBytes", "a number above 0", most));
    this.#folder = folder;
    this.#most = most;
  }

  async get(key: string): Promise<Stored | undefined> {
    const { readFile } = await files();
    for (;;) {
      const found = await this.#newest(this.#place(key));
      const file = found && (await present(readFile(found.path)));
      // Between the two another version has come.
      if (found && !file) continue;
      const head = file && headOf(file);
      if (!found || !file || !head) return undefined;
      await setUse(found.path, head.ttl);
      return { bytes: file.subarray(HEADER), version: head.version };
    }
  }

  async put(key: string, bytes: Uint8Array, { ifVersion, ttl = Infinity }: PutOptions = {}) {
    const { link, mkdir, unlink } = await files();
    const place = this.#place(key);
    const head = { version: crypto.randomUUID(), ttl: 1000 * ttl, expires: Date.now() + 1000 * ttl };
    const made = await this.#write(head, bytes);
    try {
      for (;;) {
        const before = await this.#newest(place);
        if (ifVersion !== undefined) {
          const version = before && (await this.#head(before))?.version;
          if (version !== (ifVersion ?? undefined)) return undefined;
        }
        await mkdir(place, { recursive: true });
        const error = await faultOf(link(made, `${place}/${(before?.number ?? 0) + 1}`));
        // Another one has this number.
        if (error === "EEXIST" && ifVersion !== undefined) return undefined;
        // Or the folder was removed.
        if (error === "EEXIST" || error === "ENOENT") continue;
        if (before) await present(unlink(before.path));
        break;
      }
    } finally {
      await unlink(made);
    }
    await this.#count(HEADER + bytes.length);
    return head.version;
  }

  async delete(key: string): Promise<boolean> {
    for (;;) {
      const found = await this.#newest(this.#place(key));
      if (!found || !(await this.#head(found))) return false;
      if (await bury(found)) return true;
    }
  }

  async list(prefix: string): Promise<string[]> {
    const { readdir } = await files();
    const names = (await present(readdir(this.#folder))) ?? [];
    const keys = names.filter((name) => name !== NEW).map(decodeURIComponent);
    const found: string[] = [];
    for (const key of keys.filter((key) => key.startsWith(prefix))) {
      const newest = await this.#newest(this.#place(key));
      if (newest && (await this.#head(newest))) found.push(key);
    }
    return found.sort();
  }

  #place(key: string): string {
    // None is called as NEW is.
    return `${this.#folder}/${encodeURIComponent(checkKey(key)).replaceAll(".", "%2E")}`;
  }

  async #newest(place: string): Promise<Version | undefined> {
    return (await versionsOf(place)).at(-1);
  }

  async #head({ path }: Version): Promise<Head | undefined> {
    const { open } = await files();
    const file = await present(open(path));
    if (!file) return undefined;
    try {
      const bytes = new Uint8Array(HEADER);
      const { bytesRead } = await file.read(bytes, 0, HEADER, 0);
      return headOf(bytes.subarray(0, bytesRead));
    } finally {
      await file.close();
    }
  }

  /** Writes a version to a file of its own. */
  async #write({ version, ttl, expires }: Head, bytes: Uint8Array): Promise<string> {
    const { mkdir, open, unlink } = await files();
    const path = `${this.#folder}/${NEW}/${version}`;
    await mkdir(`${this.#folder}/${NEW}`, { recursive: true });
    const header = new Uint8Array(HEADER);
    header.set(Uint8Array.from(version.replaceAll("-", "").match(/../g) ?? [], (hex) => Number.parseInt(hex, 16)));
    const numbers = new DataView(header.buffer);
    numbers.setFloat64(16, ttl, true);
    numbers.setFloat64(24, expires, true);
    const file = await open(path, "wx");
    try {
      await file.writeFile(header);
      await file.writeFile(bytes);
      await file.datasync();
      await setUse(path, ttl);
      return path;
    } catch (error) {
      await unlink(path);
      throw error;
    } finally {
      await file.close();
    }
  }

  /** Sweeps when a sixteenth of the bytes was written since the last time, and first of all. */
  async #count(bytes: number): Promise<void> {
    this.#left -= bytes;
    while (this.#left < 0) {
      this.#sweeping ??= this.#sweep().finally(() => {
        this.#sweeping = undefined;
      });
      await this.#sweeping;
    }
  }

  /** Removes what is old, and evicts until another sixteenth of the bytes has room. */
  async #sweep(): Promise<void> {
    const { readdir, rmdir, stat, unlink } = await files();
    const reserve = this.#most / 16;
    const now = Date.now();
    const all: { version: Version; size: number; rank: number }[] = [];
    for (const name of await readdir(this.#folder)) {
      const place = `${this.#folder}/${name}`;
      if (name === NEW) {
        await sweepNew(this.#folder);
        continue;
      }
      const versions = await versionsOf(place);
      const version = versions.pop();
      for (const { path } of versions) await present(unlink(path));
      const facts = version && (await present(stat(version.path)));
      if (!version || !facts) continue;
      if (facts.size > 0) all.push({ version, size: facts.size, rank: facts.mtimeMs });
      else if (facts.mtimeMs < now - GRACE_MS) {
        await present(unlink(version.path));
        await faultOf(rmdir(place));
      }
    }
    let total = all.reduce((sum, { size }) => sum + size, 0);
    for (const { version, size, rank } of all.sort((a, b) => a.rank - b.rank)) {
      if (rank > now && total <= this.#most - reserve) break;
      await bury(version);
      total -= size;
    }
    this.#left = reserve;
  }
}

/** All versions in the folder of a key, the newest last. */
async function versionsOf(place: string): Promise<Version[]> {
  const { readdir } = await files();
  const numbers = ((await present(readdir(place))) ?? []).map(Number).sort((a, b) => a - b);
  return numbers.map((number) => ({ number, path: `${place}/${number}` }));
}

/** Deletes a version; false: another one came first. */
async function bury({ number, path }: Version): Promise<boolean> {
  const { unlink, writeFile } = await files();
  const next = path.replace(/\d+$/, `${number + 1}`);
  const error = await faultOf(writeFile(next, "", { flag: "wx" }));
  if (error === "EEXIST" || error === "ENOENT") return false;
  await present(unlink(path));
  return true;
}

/** undefined: of something deleted or expired. */
function headOf(file: Uint8Array): Head | undefined {
  if (file.length < HEADER) return undefined;
  const numbers = new DataView(file.buffer, file.byteOffset);
  const expires = numbers.getFloat64(24, true);
  if (expires <= Date.now()) return undefined;
  const hex = [...file.subarray(0, 16)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const version = hex.replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  return { version, ttl: numbers.getFloat64(16, true), expires };
}

/** A file was used now. */
async function setUse(path: string, ttl: number): Promise<void> {
  const { utimes } = await files();
  const now = Date.now();
  await present(utimes(path, now / 1000, (now + Math.min(ttl, EVER_MS)) / 1000));
}

/** The code of a failure that is expected among several processes; undefined: it went well. */
async function faultOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code && ["EEXIST", "ENOENT", "ENOTEMPTY"].includes(code)) return code;
    throw error;
  }
}
