/**
 * GPT-2's alphabet: each of the 256 bytes as one printable character, so that vocabularies of bytes can be written as
 * text. Printable Latin-1 characters stand for themselves, the others are numbered from U+0100. see: openai/gpt-2,
 * encoder.py
 */
const printable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173);

let next = 256;
/** The alphabet: byte → character. */
export const BYTE_CHARS: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
  String.fromCharCode(printable(byte) ? byte : next++),
);
const BYTES: ReadonlyMap<string, number> = new Map(BYTE_CHARS.map((char, byte) => [char, byte]));

const encoder = new TextEncoder();

/** Text as the characters of its UTF-8 bytes. */
export function bytesToChars(text: string): string {
  let chars = "";
  for (const byte of encoder.encode(text)) chars += BYTE_CHARS[byte];
  return chars;
}

/** The bytes of a token in this alphabet; undefined if one of its characters is not in the alphabet. */
export function charsToBytes(token: string): Uint8Array | undefined {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = BYTES.get(token.charAt(i));
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}
