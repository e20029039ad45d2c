/** Files that commands write: complete, or an error that names the file. */
import { randomUUID } from "node:crypto";
import { access, constants, type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { LambentError, mismatch } from "../base/errors.ts";

/** The content of a file: whole, or in chunks. */
export type Content = string | Uint8Array | AsyncIterable<string | Uint8Array>;

/** Writes a file so that it is on disk when this returns, and under its name only if complete, whatever happens. */
export async function writeWhole(path: string, content: Content): Promise<void> {
  // Of its own: others may write the same file at the same time.
  const partial = `${path}.${randomUUID()}.partial`;
  try {
    const file = await open(partial, "w");
    try {
      const parts = typeof content === "string" || ArrayBuffer.isView(content) ? [content] : content;
      for await (const part of parts) {
        await writeAll(file, typeof part === "string" ? new TextEncoder().encode(part) : part);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw unwritable(path, error);
  }
  const directory = await open(dirname(path));
  await directory.sync().finally(() => directory.close());
}

/** Throws LambentError where writeWhole could not write a file of that name. */
export async function checkWritable(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found && !found.isFile()) throw new LambentError(mismatch(path, "a writable file", "something else"));
  await access(dirname(path), constants.W_OK).catch((error) => {
    throw unwritable(path, error);
  });
}

/** Appends a line to a file; it is on disk when this returns. */
export async function appendLine(path: string, line: string): Promise<void> {
  const file = await open(path, "a");
  try {
    await writeAll(file, new TextEncoder().encode(`${line}\n`));
    await file.datasync();
  } finally {
    await file.close();
  }
}

/** Writes all bytes: when a disk becomes full, fewer are written at once, which Bun's writeFile takes for success. */
export async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at, bytes.length - at)).bytesWritten;
}

/** An error of the file system, as one that names the file; other errors unchanged. */
export function unwritable(path: string, error: unknown): unknown {
  const { code } = error as { readonly code?: unknown };
  if (error instanceof LambentError || typeof code !== "string") return error;
  return new LambentError(mismatch(path, "a writable file", code));
}
