import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { LambentError, mismatch, OptionError } from "../../errors.ts";
import type { ReadText } from "../../eval/document.ts";
import type { Piece } from "../../eval/stream.ts";

/** A file of text that was named, or lies in a directory that was. */
export interface TextFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly read: ReadText;
}

/**
 * The files of `paths`, in the order given; those of a directory, with its folders, by name, hidden ones left out. Throws
 * OptionError for what is empty or no file.
 */
export async function textFiles(paths: readonly string[]): Promise<TextFile[]> {
  const files: TextFile[] = [];
  for (const path of paths) {
    const info = await stat(path).catch((error) => {
      throw new OptionError(mismatch(path, "a text file or a directory of them", error.code));
    });
    if (info.isFile()) {
      if (info.size === 0) throw new OptionError(mismatch(path, "UTF-8 text", "an empty file"));
      files.push(textFile(path, info.size));
    } else if (!info.isDirectory()) {
      throw new OptionError(mismatch(path, "a text file or a directory of them", "neither"));
    } else {
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
  // A character has 4 bytes at most.
  const whole = 4 * characters >= size;
  const bytes = await readBytes(path, 0, whole ? size : 4 * characters);
  return { text: decode(path, cut(bytes, whole), 0), whole };
}

/** Bytes of a piece at most; with larger ones the garbage of tokenising takes more memory, and a step waits longer. */
const PIECE_BYTES = 16384;

/**
 * The text of a UTF-8 file from byte `offset` on, up to `most` bytes, cut behind a line where that is possible. Throws
 * OptionError for what is not text, or has become shorter.
 */
export async function readPiece({ path, size }: TextFile, offset: number, most = PIECE_BYTES): Promise<Piece> {
  const whole = offset + most >= size;
  const bytes = await readBytes(path, offset, whole ? size - offset : most);
  if (bytes.length === 0) throw new OptionError(mismatch(path, `more than ${offset} bytes of UTF-8 text`, size));
  const piece = cut(bytes, whole);
  return { text: decode(path, piece, offset), next: whole ? undefined : offset + piece.length };
}

async function readBytes(path: string, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(Math.max(0, length));
  const file = await open(path).catch((error) => {
    throw new LambentError(mismatch(path, "a file that can be read", error.code));
  });
  try {
    const { bytesRead } = await file.read(bytes, 0, bytes.length, offset);
    return bytes.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** Whole bytes of whole characters: up to a line break in the later half, else without the last, unfinished character. */
function cut(bytes: Uint8Array, whole: boolean): Uint8Array {
  if (whole) return bytes;
  const line = lastLine(bytes);
  if (line > bytes.length / 2) return bytes.subarray(0, line);
  let end = bytes.length;
  while (end > 0 && ((bytes[end - 1] as number) & 0xc0) === 0x80) end--;
  return bytes.subarray(0, Math.max(0, end - 1));
}

/**
 * Where the last line begins that neither begins nor follows on white space: tokens seldom reach over such a break. If
 * there is none, the last line of all; 0 if that is the first.
 */
function lastLine(bytes: Uint8Array): number {
  const isSpace = (at: number) => (bytes[at] as number) <= 32;
  for (let at = bytes.lastIndexOf(10, -2); at > 0; at = bytes.lastIndexOf(10, at - 1)) {
    if (!isSpace(at - 1) && !isSpace(at + 1)) return at + 1;
  }
  return bytes.lastIndexOf(10) + 1;
}

/** `offset`: where in the file the bytes begin. A byte order mark is one at the begin only. */
function decode(path: string, bytes: Uint8Array, offset: number): string {
  const zero = bytes.indexOf(0);
  if (zero >= 0) {
    const found = `a zero at byte ${offset + zero}: a binary or UTF-16 file`;
    throw new OptionError(mismatch(path, "UTF-8 text", found));
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: offset > 0 }).decode(bytes);
  } catch {
    throw new OptionError(mismatch(path, "UTF-8 text", "bytes that are not"));
  }
}
