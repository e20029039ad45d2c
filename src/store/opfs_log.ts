import { LambentError, mismatch } from "../base/errors.ts";
import type { LogStore } from "./log_store.ts";

/** What a worker can do with a file of the origin private file system; the DOM's types have it for workers only. */
interface SyncHandle {
  read(into: Uint8Array, options: { at: number }): number;
  write(bytes: Uint8Array, options: { at: number }): number;
  flush(): void;
  getSize(): number;
  close(): void;
}

interface FileHandle {
  createSyncAccessHandle?(options?: { mode: string }): Promise<SyncHandle>;
  move(name: string): Promise<void>;
}

interface Folder {
  getDirectoryHandle(name: string, options: { create: boolean }): Promise<Folder>;
  getFileHandle(name: string, options?: { create: boolean }): Promise<FileHandle>;
  removeEntry(name: string): Promise<void>;
}

/**
 * Segments as files of the origin private file system, below a folder of that name, in a worker: only there it is read
 * within a step. Throws LambentError where there is none.
 */
export function opfsLog(folder: string): LogStore {
  return new OpfsLog(folder);
}

class OpfsLog implements LogStore {
  readonly #name: string;
  #folder: Promise<Folder> | undefined;
  readonly #open = new Map<string, SyncHandle>();

  constructor(name: string) {
    this.#name = name;
  }

  async put(name: string, bytes: Uint8Array): Promise<boolean> {
    const folder = await this.#place();
    if (this.#open.has(name) || (await present(folder.getFileHandle(fileName(name))))) return false;
    const made = `${crypto.randomUUID()}.new`;
    const file = await folder.getFileHandle(made, { create: true });
    const handle = await access(file);
    try {
      const written = handle.write(bytes, { at: 0 });
      if (written !== bytes.length) throw new LambentError(mismatch(name, `${bytes.length} bytes written`, written));
      handle.flush();
    } finally {
      handle.close();
    }
    await file.move(fileName(name));
    await this.#reading(name, await folder.getFileHandle(fileName(name)));
    return true;
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    const file = await present((await this.#place()).getFileHandle(fileName(name)));
    if (!file) return undefined;
    const handle = await this.#reading(name, file);
    const bytes = new Uint8Array(handle.getSize());
    handle.read(bytes, { at: 0 });
    return bytes;
  }

  async delete(name: string): Promise<void> {
    this.#open.get(name)?.close();
    this.#open.delete(name);
    await present((await this.#place()).removeEntry(fileName(name)));
  }

  read(name: string, offset: number, into: Uint8Array): void {
    const read = this.#open.get(name)?.read(into, { at: offset });
    if (read !== into.length) throw new Error(`expected ${into.length} bytes at ${offset}, found ${read ?? "no file"}`);
  }

  async #reading(name: string, file: FileHandle): Promise<SyncHandle> {
    const handle = this.#open.get(name) ?? (await access(file, { mode: "read-only" }));
    this.#open.set(name, handle);
    return handle;
  }

  #place(): Promise<Folder> {
    const { storage } = navigator as { storage?: { getDirectory?: () => Promise<unknown> } };
    if (!storage?.getDirectory)
      throw new LambentError(mismatch("recallStore", "a browser with an origin private file system", "none"));
    this.#folder ??= (storage.getDirectory() as Promise<Folder>).then((root) => {
      return root.getDirectoryHandle(this.#name, { create: true });
    });
    return this.#folder;
  }
}

/** Only workers have it. */
async function access(file: FileHandle, options?: { mode: string }): Promise<SyncHandle> {
  if (file.createSyncAccessHandle) return file.createSyncAccessHandle(options);
  throw new LambentError(mismatch("recallStore", "an engine in a worker", "one in the page's thread"));
}

/** Undefined in place of the error that says that there is none. */
async function present<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if ((error as DOMException).name === "NotFoundError") return undefined;
    throw error;
  }
}

function fileName(name: string): string {
  return `${name}.safetensors`;
}
