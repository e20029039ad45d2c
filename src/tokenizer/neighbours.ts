import type { StringTable } from "../base/string_table.ts";

/**
 * Bits for each byte of the tokens. The same characters are adjacent again and again: of pairs that no token contains,
 * Gemma's 2.3 MB of tokens let 1 in 500 be taken for one that some does.
 */
const BITS_PER_BYTE = 4;

/** Which characters are adjacent within some token. It may say so of others, seldom, but misses none. */
export class Neighbours {
  readonly #bits: Uint32Array;

  constructor({ count, bytes, offsets }: StringTable) {
    this.#bits = new Uint32Array(2 ** Math.min(22, Math.ceil(Math.log2((BITS_PER_BYTE * bytes.length) / 32 + 1))));
    for (let token = 0; token < count; token++) {
      let before = -1;
      const end = offsets[token + 1] as number;
      for (let at = offsets[token] as number; at < end; ) {
        const lead = bytes[at++] as number;
        let code = lead < 0xc0 ? lead : lead < 0xe0 ? lead & 31 : lead < 0xf0 ? lead & 15 : lead & 7;
        for (; at < end && ((bytes[at] as number) & 0xc0) === 0x80; at++)
          code = (code << 6) | ((bytes[at] as number) & 63);
        if (before >= 0) {
          const bit = this.#bit(before, code);
          (this.#bits[bit >>> 5] as number) |= 1 << bit;
        }
        before = code;
      }
    }
  }

  /** By code points. */
  has(before: number, after: number): boolean {
    const bit = this.#bit(before, after);
    return (((this.#bits[bit >>> 5] as number) >>> bit) & 1) === 1;
  }

  #bit(before: number, after: number): number {
    const hash = Math.imul(Math.imul(before, 0x9e3779b1) ^ after, 0x85ebca6b);
    return (hash ^ (hash >>> 13)) & (this.#bits.length * 32 - 1);
  }
}
