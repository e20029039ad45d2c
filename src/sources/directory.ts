import { constants, type FileHandle, open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { ModelError, mismatch } from "../base/errors.ts";
import type { ByteSource, Files } from "../base/source.ts";

/** A local directory, through node:fs, which Bun, Deno and Node share; `file`: the GGUF file in it that is meant. */
export function directory(path: string, file?: string): Files {
  return { name: path, file, open: (name) => openFile(join(path, name)), list: () => readdir(path) };
}

/** Whether a path is a directory. */
export async function isDirectory(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}

/** Whether a path is a file. */
export async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false;
}

/** A local file; undefined if it does not exist. */
export async function openFile(path: string): Promise<ByteSource | undefined> {
  let handle: FileHandle;
  try {
    // Non-blocking: opening a named pipe would block until something writes to it.
    handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new ModelError(mismatch(path, "a readable file", code ?? (error as Error).message));
  }
  const info = await handle.stat({ bigint: true });
  if (!info.isFile()) {
    await handle.close();
    throw new ModelError(mismatch(path, "a file", info.isDirectory() ? "a directory" : "something else"));
  }
  return {
    name: path,
    size: Number(info.size),
    version: `${[info.dev, info.ino, info.size, info.mtimeNs, info.ctimeNs]}`,
    async readInto(target, offset) {
      for (let done = 0; done < target.length; ) {
        const { bytesRead } = await handle.read(target, done, target.length - done, offset + done);
        if (bytesRead === 0) {
          throw new ModelError(
            mismatch(path, `${offset + target.length} bytes`, `${offset + done}: the file ends there`),
          );
        }
        done += bytesRead;
      }
    },
    close: () => handle.close(),
  };
}
