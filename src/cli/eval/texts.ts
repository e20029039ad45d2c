import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { LambentError, mismatch, OptionError } from "../../errors.ts";
import type { ReadText } from "../../eval/document.ts";

/** A file of text that was named, or lies in a directory that was. */
export interface TextFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly read: ReadText;
}

/** The files of `paths`, in the order given; those of a directory, with its folders, by name, hidden ones left out. */
export async function textFiles(paths: readonly string[]): Promise<TextFile[]> {
  const files: TextFile[] = [];
  for (const path of paths) {
    const info = await stat(path).catch((error) => {
      throw new OptionError(mismatch(path, "a text file or a directory of them", error.code));
    });
    if (!info.isDirectory()) files.push(textFile(path, info.size));
    else {
      const entries = await readdir(path, { withFileTypes: true });
      const names = entries.filter(({ name }) => !name.startsWith(".")).map(({ name }) => name);
      if (names.length === 0) throw new OptionError(mismatch(path, "text files", "an empty directory"));
      files.push(...(await textFiles(names.sort().map((name) => join(path, name)))));
    }
  }
  return files;
}

function textFile(path: string, size: number): TextFile {
  return { path, size, read: (characters) => readText(path, size, characters) };
}

/** The begin of a UTF-8 file, cut behind a line where that is possible. Throws OptionError for what is not text. */
async function readText(path: string, size: number, characters: number): Promise<{ text: string; whole: boolean }> {
  if (size === 0) throw new OptionError(mismatch(path, "UTF-8 text", "an empty file"));
  // A character has 4 bytes at most.
  const whole = 4 * characters >= size;
  const bytes = new Uint8Array(whole ? size : 4 * characters);
  const file = await open(path).catch((error) => {
    throw new LambentError(mismatch(path, "a file that can be read", error.code));
  });
  try {
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    return { text: decode(path, cut(bytes.subarray(0, bytesRead), whole)), whole };
  } finally {
    await file.close();
  }
}

/** Whole bytes of whole characters: up to the last line break, else without the last, unfinished character. */
function cut(bytes: Uint8Array, whole: boolean): Uint8Array {
  if (whole) return bytes;
  const line = bytes.lastIndexOf(10);
  if (line > bytes.length / 2) return bytes.subarray(0, line + 1);
  let end = bytes.length;
  while (end > 0 && ((bytes[end - 1] as number) & 0xc0) === 0x80) end--;
  return bytes.subarray(0, Math.max(0, end - 1));
}

function decode(path: string, bytes: Uint8Array): string {
  const zero = bytes.indexOf(0);
  if (zero >= 0) throw new OptionError(mismatch(path, "UTF-8 text", `a zero at byte ${zero}: a binary or UTF-16 file`));
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new OptionError(mismatch(path, "UTF-8 text", "bytes that are not"));
  }
}
