import type { Vocabulary } from "./vocabulary.ts";

const encoder = new TextEncoder();

/** The tokens `<0x00>` … `<0xFF>`, which stand for bytes of characters without a token (byte_fallback). */
export class ByteTokens {
  /** Whether every byte has a token, so that any text can be encoded. */
  readonly complete: boolean;
  /** Byte → id; -1: none. */
  readonly #ids: Int32Array;

  private constructor(ids: Int32Array) {
    this.#ids = ids;
    this.complete = ids.every((id) => id >= 0);
  }

  /** Those of a vocabulary; undefined if it has none. */
  static of(vocab: Vocabulary): ByteTokens | undefined {
    const name = (byte: number) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
    const ids = Int32Array.from({ length: 256 }, (_, byte) => vocab.find(name(byte)));
    return ids.some((id) => id >= 0) ? new ByteTokens(ids) : undefined;
  }

  /** Whether each byte of the text has a token. */
  has(text: string): boolean {
    return encoder.encode(text).every((byte) => (this.#ids[byte] as number) >= 0);
  }

  /** Appends the ids of the text's bytes, if each has one; returns whether it did. */
  push(text: string, ids: number[]): boolean {
    return this.pushBytes(encoder.encode(text), ids);
  }

  /** The same of bytes. */
  pushBytes(bytes: Uint8Array, ids: number[]): boolean {
    if (bytes.some((byte) => (this.#ids[byte] as number) < 0)) return false;
    for (const byte of bytes) ids.push(this.#ids[byte] as number);
    return true;
  }
}
