import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { LambentError, mismatch, OptionError } from "../../src/base/errors.ts";
import { warn } from "../../src/cli/streams.ts";
import type { ReadText } from "../eval/document.ts";
import type { Piece } from "../eval/stream.ts";
import { checkText, describeHabits } from "./text_check.ts";

/** The most bytes of a piece; with larger ones the garbage of tokenising takes more memory, and steps wait longer. */
const PIECE_BYTES = 16384;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Paths whose differences were reported already. */
const told = new Set<string>();

/**
 * A text file that was named, or that is in a directory that was. It is read like in Python's text mode, which
 * published figures are based on: line ends CR LF and CR as LF. A byte order mark is dropped. Both are reported once,
 * on stderr.
 */
export class TextFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  #checked: Promise<void> | undefined;

  constructor(path: string, size: number) {
    this.path = path;
    this.size = size;
  }

  /** The start of the text, cut after a line if possible. Throws OptionError if it is not UTF-8. */
  readonly read: ReadText = async (characters) => {
    // A character has at most 4 bytes.
    const { text, next } = await this.piece(0, 4 * characters);
    return { text, whole: next === undefined };
  };

  /**
   * The text from byte `offset` on, up to `most` bytes, cut after a line if possible. Throws OptionError if it is not
   * UTF-8, or has become shorter.
   */
  async piece(offset: number, most = PIECE_BYTES): Promise<Piece> {
    this.#checked ??= this.#check();
    await this.#checked;
    const { path, size } = this;
    const whole = offset + most >= size;
    const bytes = await withFile(path, (file) => readBytes(file, offset, whole ? size - offset : most));
    if (bytes.length === 0) throw new OptionError(mismatch(path, `more than ${offset} bytes of UTF-8 text`, size));
    const piece = whole ? bytes : bytes.subarray(0, endOf(bytes));
    const text = this.#decode(piece).replace(/\r\n?/g, "\n");
    return {
      text: offset === 0 && text.startsWith("\ufeff") ? text.slice(1) : text,
      next: whole ? undefined : offset + piece.length,
    };
  }

  #decode(bytes: Uint8Array): string {
    try {
      return decoder.decode(bytes);
    } catch {
      throw new OptionError(mismatch(this.path, "the UTF-8 text that it was", "other bytes"));
    }
  }

  async #check(): Promise<void> {
    const habits = describeHabits(await withFile(this.path, (file) => checkText(this.path, file)));
    if (habits === undefined || told.has(this.path)) return;
    told.add(this.path);
    warn(`${this.path}: ${habits}`, "");
  }
}

/**
 * The files of `paths`, in the given order; those of a directory, including subfolders, by name, without hidden ones.
 * Throws OptionError for what is empty or not a file.
 */
export async function textFiles(paths: readonly string[]): Promise<TextFile[]> {
  const files: TextFile[] = [];
  for (const path of paths) {
    const info = await stat(path).catch((error) => {
      throw new OptionError(mismatch(path, "a text file or a directory of them", error.code));
    });
    if (info.isFile()) {
      if (info.size === 0) throw new OptionError(mismatch(path, "UTF-8 text", "an empty file"));
      files.push(new TextFile(path, info.size));
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

async function withFile<T>(path: string, work: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path).catch((error) => {
    throw new LambentError(mismatch(path, "a readable file", error.code));
  });
  try {
    return await work(file);
  } finally {
    await file.close();
  }
}

async function readBytes(file: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(Math.max(0, length));
  const { bytesRead } = await file.read(bytes, 0, bytes.length, offset);
  return bytes.subarray(0, bytesRead);
}

/**
 * Where a piece that is not the last ends: after a line in the second half, otherwise before the last character, which
 * may be incomplete. So it never ends between CR and LF.
 */
function endOf(bytes: Uint8Array): number {
  const line = lastLine(bytes);
  if (line > bytes.length / 2) return line;
  let end = bytes.length;
  while (end > 0 && ((bytes[end - 1] as number) & 0xc0) === 0x80) end--;
  return Math.max(0, end - 1);
}

/**
 * Start of the last line that neither starts with nor follows white space: tokens rarely cross such a break. If there
 * is none, the last line of all; 0 if that is the first. Lines end with LF, CR LF or CR.
 */
function lastLine(bytes: Uint8Array): number {
  const isSpace = (at: number) => (bytes[at] as number) <= 32;
  let last = bytes.at(-1) === 10 ? bytes.length : 0;
  for (let at = bytes.length - 2; at > 0; at--) {
    const byte = bytes[at];
    if (byte !== 10 && (byte !== 13 || bytes[at + 1] === 10)) continue;
    last ||= at + 1;
    const before = byte === 10 && bytes[at - 1] === 13 ? at - 2 : at - 1;
    if (before >= 0 && !isSpace(before) && !isSpace(at + 1)) return at + 1;
  }
  return last;
}
