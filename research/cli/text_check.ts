import type { FileHandle } from "node:fs/promises";
import { mismatch, OptionError } from "../../src/base/errors.ts";
import { incompleteTail } from "../../src/tokenizer/utf8.ts";

const BLOCK = 2 ** 20;
const CR = 13;
const LF = 10;
const REPLACEMENT = Uint8Array.of(0xef, 0xbf, 0xbd);

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();

/** Where a file is not read literally. */
export interface Habits {
  /** Line ends of CR LF, and of a single CR. */
  readonly crlf: number;
  readonly cr: number;
  /** The file begins with a byte order mark. */
  readonly mark: boolean;
}

/** Reads a whole file. Throws OptionError, naming the byte, if it is not UTF-8 text. */
export async function checkText(path: string, file: FileHandle): Promise<Habits> {
  const buffer = new Uint8Array(BLOCK);
  let [crlf, cr, mark] = [0, 0, false];
  let before = 0;
  // Bytes carried over from the block before: an incomplete character.
  let kept = 0;
  for (let offset = 0; ; ) {
    const { bytesRead } = await file.read(buffer, kept, BLOCK - kept, offset + kept);
    const there = buffer.subarray(0, kept + bytesRead);
    const bytes = bytesRead === 0 ? there : there.subarray(0, there.length - incompleteTail(there));
    if (offset === 0) mark = checkMark(path, bytes);
    checkBytes(path, bytes, offset);
    for (let at = bytes.indexOf(CR); at >= 0; at = bytes.indexOf(CR, at + 1)) cr++;
    for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) {
      if ((at === 0 ? before : bytes[at - 1]) === CR) crlf++;
    }
    if (bytesRead === 0) return { crlf, cr: cr - crlf, mark };
    before = bytes.at(-1) ?? before;
    offset += bytes.length;
    kept = there.length - bytes.length;
    buffer.copyWithin(0, bytes.length, there.length);
  }
}

/** Whether bytes start with UTF-8's byte order mark; those of UTF-16 are refused. */
function checkMark(path: string, [first, second, third]: Uint8Array): boolean {
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) {
    throw new OptionError(mismatch(path, "UTF-8 text", "the byte order mark of UTF-16 at byte 0"));
  }
  return first === 0xef && second === 0xbb && third === 0xbf;
}

function checkBytes(path: string, bytes: Uint8Array, offset: number): void {
  const zero = bytes.indexOf(0);
  if (zero >= 0) {
    throw new OptionError(mismatch(path, "UTF-8 text", `a zero at byte ${offset + zero}: a binary or UTF-16 file`));
  }
  try {
    strict.decode(bytes);
  } catch {
    const at = firstWrong(bytes);
    const byte = (bytes[at] as number).toString(16).padStart(2, "0");
    throw new OptionError(mismatch(path, "UTF-8 text", `0x${byte} at byte ${offset + at}, which is another encoding`));
  }
}

/** The offset of the first byte that is not UTF-8: where decoding gives a U+FFFD that is not in the text. */
function firstWrong(bytes: Uint8Array): number {
  let at = 0;
  for (const character of lenient.decode(bytes)) {
    if (character === "\ufffd" && !REPLACEMENT.every((byte, i) => bytes[at + i] === byte)) break;
    at += encoder.encode(character).length;
  }
  return at;
}

/** One line on what is not read literally; undefined: nothing. */
export function describeHabits({ crlf, cr, mark }: Habits): string | undefined {
  const ends = [...(crlf > 0 ? [`${crlf} line ends CR LF`] : []), ...(cr > 0 ? [`${cr} line ends CR`] : [])];
  const parts = [
    ...(ends.length > 0 ? [`${ends.join(" and ")} read as LF`] : []),
    ...(mark ? ["the byte order mark left out"] : []),
  ];
  return parts.length > 0 ? parts.join(", ") : undefined;
}
