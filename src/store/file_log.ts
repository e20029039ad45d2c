import { ModelError, mismatch } from "../base/errors.ts";
import type { LogStore } from "./log_store.ts";
import { NEW, present, sweepNew } from "./new_files.ts";

/** Files that are open for reading at once. */
const MOST_OPEN = 64;

type Files = typeof import("node:fs");

/**
 * Segments as files of a folder, for any number of processes: NAME.safetensors. A file is written elsewhere and has its
 * name when the disk has it.
 */
export function fileLog(folder: string): LogStore {
  return new FileLog(folder);
}

class FileLog implements LogStore {
  readonly #folder: string;
  /** Node's module, which edge runtimes that bundle this file may not have. */
  #files: Files | undefined;
  #made: Promise<void> | undefined;
  /** Descriptors by name, the one used longest ago first. */
  readonly #open = new Map<string, number>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  async put(name: string, bytes: Uint8Array): Promise<boolean> {
    try {
      return await this.#put(name, bytes);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      // The folder has been deleted since.
      this.#made = undefined;
      return this.#put(name, bytes);
    }
  }

  async #put(name: string, bytes: Uint8Array): Promise<boolean> {
    const { existsSync, promises } = await this.#module();
    const path = this.#path(name);
    if (existsSync(path)) return false;
    const made = `${this.#folder}/${NEW}/${crypto.randomUUID()}`;
    this.#made ??= this.#make(promises);
    await this.#made;
    try {
      const file = await promises.open(made, "wx");
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await promises.rename(made, path);
    } catch (error) {
      await promises.rm(made, { force: true });
      throw error;
    }
    return true;
  }

  /** The folder, without what processes have left that were killed. */
  async #make({ mkdir }: Files["promises"]): Promise<void> {
    await mkdir(`${this.#folder}/${NEW}`, { recursive: true });
    await sweepNew(this.#folder);
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    const { promises } = await this.#module();
    try {
      return await present(promises.readFile(this.#path(name)));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EISDIR") throw error;
      throw new ModelError(mismatch(`segment ${name}`, "a file of the log", "a folder"));
    }
  }

  async delete(name: string): Promise<void> {
    const { promises } = await this.#module();
    this.#close(name);
    await promises.rm(this.#path(name), { force: true });
  }

  read(name: string, offset: number, into: Uint8Array): void {
    const { readSync } = this.#files as Files;
    const read = readSync(this.#descriptor(name), into, 0, into.length, offset);
    if (read !== into.length) throw new Error(`expected ${into.length} bytes at ${offset}, found ${read}`);
  }

  #descriptor(name: string): number {
    const { openSync } = this.#files as Files;
    const found = this.#open.get(name) ?? openSync(this.#path(name), "r");
    this.#open.delete(name);
    this.#open.set(name, found);
    for (const oldest of this.#open.keys()) {
      if (this.#open.size <= MOST_OPEN) break;
      this.#close(oldest);
    }
    return found;
  }

  #close(name: string): void {
    const found = this.#open.get(name);
    if (found !== undefined) this.#files?.closeSync(found);
    this.#open.delete(name);
  }

  #path(name: string): string {
    return `${this.#folder}/${name}.safetensors`;
  }

  async #module(): Promise<Files> {
    this.#files ??= await import("node:fs");
    return this.#files;
  }
}
