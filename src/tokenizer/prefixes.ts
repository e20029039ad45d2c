import type { StringTable } from "../base/string_table.ts";

/** Bits for each byte of the tokens. */
const BITS_PER_BYTE = 16;

/**
 * How far a search for tokens that a text starts with must go: which bytes are the start of some token. It may say so of
 * others, seldom, but misses none.
 */
export class Prefixes {
  readonly #bits: Uint32Array;
  readonly #longest: number;

  constructor({ count, bytes, offsets }: StringTable) {
    this.#bits = new Uint32Array(2 ** Math.min(22, Math.ceil(Math.log2((BITS_PER_BYTE * bytes.length) / 32 + 1))));
    let longest = 0;
    for (let token = 0; token < count; token++) {
      const start = offsets[token] as number;
      const end = offsets[token + 1] as number;
      longest = Math.max(longest, end - start);
      let hash = 0;
      for (let at = start; at < end; at++) {
        hash = mixed(hash, bytes[at] as number);
        const bit = this.#bit(hash);
        (this.#bits[bit >>> 5] as number) |= 1 << bit;
      }
    }
    this.#longest = longest;
  }

  /** The ends of characters up to which [start, end) may be a token, shortest first. */
  ends(bytes: Uint8Array, start: number, size: number): number[] {
    const ends: number[] = [];
    const last = Math.min(size, start + this.#longest);
    let hash = 0;
    for (let at = start; at < last; ) {
      hash = mixed(hash, bytes[at++] as number);
      const bit = this.#bit(hash);
      if ((((this.#bits[bit >>> 5] as number) >>> bit) & 1) === 0) break;
      if (at === size || ((bytes[at] as number) & 0xc0) !== 0x80) ends.push(at);
    }
    return ends;
  }

  #bit(hash: number): number {
    return (hash ^ (hash >>> 15)) & (this.#bits.length * 32 - 1);
  }
}

const mixed = (hash: number, byte: number) => Math.imul((hash ^ byte) + 0x9e3779b9, 0x85ebca6b);
