import { type StringTable, stringTable, textAt } from "../base/string_table.ts";

/** Larger ids are refused, because tables are indexed by them. The largest vocabularies in use have about 2^18. */
export const MAX_ID = 2 ** 24 - 1;

/** The bits of a slot that are of the hash, and those of an index + 1. */
const TAG = -(2 ** 25);
const INDEX = 2 ** 25 - 1;
const FNV_START = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** Token → id and back: the bytes of all tokens, and a hash table of indexes into them. */
export class Vocabulary {
  /** The tokens in the order of their ids. */
  readonly table: StringTable;
  /** The id of each, ascending; undefined: its index. */
  readonly #ids: Int32Array | undefined;
  /** Open addressing, at most half full: an index + 1 and the high bits of the hash, or 0. */
  readonly #slots: Int32Array;
  readonly #distinct: number;
  /** The UTF-8 of a text that is looked up. */
  #scratch = new Uint8Array(256);

  /** `ids`: ascending; by default 0, 1, …. If a token occurs twice, the last one is found by its text. */
  constructor(table: StringTable, ids?: Int32Array) {
    const { count, bytes, offsets } = table;
    this.table = table;
    this.#ids = ids && ids[count - 1] !== count - 1 ? ids : undefined;
    this.#slots = new Int32Array(2 ** Math.ceil(Math.log2(Math.max(2, 2 * count))));
    let distinct = 0;
    for (let index = 0; index < count; index++) {
      const start = offsets[index] as number;
      const end = offsets[index + 1] as number;
      const hash = hashed(FNV_START, bytes, start, end);
      const slot = this.#slot(hash, bytes, start, end, 0, 0);
      if (this.#slots[slot] === 0) distinct++;
      this.#slots[slot] = (hash & TAG) | (index + 1);
    }
    this.#distinct = distinct;
  }

  /** Of tokens with ids in any order; undefined if two have the same. */
  static of(table: StringTable, ids: Int32Array): Vocabulary | undefined {
    const { count, bytes, offsets } = table;
    let at = 1;
    while (at < count && (ids[at] as number) > (ids[at - 1] as number)) at++;
    if (at >= count) return new Vocabulary(table, ids);
    const order = Uint32Array.from(ids, (_, i) => i).sort((a, b) => (ids[a] as number) - (ids[b] as number));
    if (order.some((from, to) => to > 0 && ids[from] === ids[order[to - 1] as number])) return undefined;
    const ends = new Uint32Array(count + 1);
    const sorted = new Uint8Array(bytes.length);
    for (const [to, from] of order.entries()) {
      const token = bytes.subarray(offsets[from], offsets[from + 1]);
      sorted.set(token, ends[to]);
      ends[to + 1] = (ends[to] as number) + token.length;
    }
    return new Vocabulary(
      { count, bytes: sorted, offsets: ends },
      Int32Array.from(order, (from) => ids[from] as number),
    );
  }

  /** Of tokens whose ids are their indexes. */
  static from(tokens: readonly string[]): Vocabulary {
    return new Vocabulary(stringTable(tokens));
  }

  /** The highest id + 1. */
  get limit(): number {
    return this.#ids ? (this.#ids.at(-1) as number) + 1 : this.table.count;
  }

  /** Whether a token occurs twice. */
  get repeats(): boolean {
    return this.#distinct < this.table.count;
  }

  /** The id of a token; -1 if there is none. */
  find(token: string): number {
    return this.idAt(this.indexOf(token));
  }

  has(token: string): boolean {
    return this.indexOf(token) >= 0;
  }

  /** The token of an id; undefined if there is none. */
  token(id: number): string | undefined {
    const index = this.#ids ? search(this.#ids, id) : id;
    return index >= 0 && index < this.table.count ? textAt(this.table, index) : undefined;
  }

  /** The id of the token at an index of the table; -1 for -1. */
  idAt(index: number): number {
    return this.#ids && index >= 0 ? (this.#ids[index] as number) : index;
  }

  /** The index of a token in the table; -1 if there is none. */
  indexOf(token: string): number {
    if (3 * token.length > this.#scratch.length) this.#scratch = new Uint8Array(6 * token.length);
    const scratch = this.#scratch;
    let end = 0;
    for (let i = 0; i < token.length; i++) {
      const code = token.codePointAt(i) as number;
      if (code > 0xffff) i++;
      end = writeUtf8(code, scratch, end);
    }
    return this.indexOfBytes(scratch, 0, end, 0, 0);
  }

  /** The same of one character. */
  indexOfCharacter(code: number): number {
    return this.indexOfBytes(this.#scratch, 0, writeUtf8(code, this.#scratch, 0), 0, 0);
  }

  /**
   * The index of the token whose bytes are [start, end) and then [start2, end2); -1 if there is none. `guess`: an index
   * that it may have, or the one before it, which spares the search.
   */
  indexOfBytes(bytes: Uint8Array, start: number, end: number, start2: number, end2: number, guess = -1): number {
    if (guess >= 0 && !this.repeats) {
      const last = Math.min(guess + 2, this.table.count);
      for (let index = guess; index < last; index++) {
        if (this.#isAt(index, bytes, start, end, start2, end2)) return index;
      }
    }
    const hash = hashed(hashed(FNV_START, bytes, start, end), bytes, start2, end2);
    return ((this.#slots[this.#slot(hash, bytes, start, end, start2, end2)] as number) & INDEX) - 1;
  }

  /** The index of the token that two others make, by their indexes, without the first `skip` bytes of the second. */
  indexOfJoined(left: number, right: number, skip: number): number {
    const { bytes, offsets } = this.table;
    const [start, end] = [offsets[left] as number, offsets[left + 1] as number];
    return this.indexOfBytes(bytes, start, end, (offsets[right] as number) + skip, offsets[right + 1] as number);
  }

  /** The number of bytes of the token at an index. */
  lengthAt(index: number): number {
    return (this.table.offsets[index + 1] as number) - (this.table.offsets[index] as number);
  }

  /** The slot of the token whose bytes are [start, end) and then [start2, end2); an empty one if there is none. */
  #slot(hash: number, bytes: Uint8Array, start: number, end: number, start2: number, end2: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = (hash ^ (hash >>> 15)) & mask; ; slot = (slot + 1) & mask) {
      const entry = slots[slot] as number;
      if (entry === 0) return slot;
      if (((entry ^ hash) & TAG) !== 0) continue;
      if (this.#isAt((entry & INDEX) - 1, bytes, start, end, start2, end2)) return slot;
    }
  }

  /** Whether the token at an index has these bytes. */
  #isAt(index: number, bytes: Uint8Array, start: number, end: number, start2: number, end2: number): boolean {
    const { bytes: own, offsets } = this.table;
    let at = offsets[index] as number;
    if ((offsets[index + 1] as number) - at !== end - start + end2 - start2) return false;
    for (let from = start; from < end; from++) if (own[at++] !== bytes[from]) return false;
    for (let from = start2; from < end2; from++) if (own[at++] !== bytes[from]) return false;
    return true;
  }
}

/** The index of a number in an ascending array; -1 if it is not in there. */
function search(sorted: Int32Array, value: number): number {
  let low = 0;
  let high = sorted.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return sorted[low] === value ? low : -1;
}

/** FNV-1a over some bytes, continued from `hash`. */
function hashed(hash: number, bytes: Uint8Array, start: number, end: number): number {
  let h = hash;
  for (let at = start; at < end; at++) h = Math.imul(h ^ (bytes[at] as number), FNV_PRIME);
  return h;
}

/** Writes a character as UTF-8; returns where it ends. */
export function writeUtf8(code: number, bytes: Uint8Array, at: number): number {
  if (code < 0x80) {
    bytes[at] = code;
    return at + 1;
  }
  let end = at;
  if (code < 0x800) bytes[end++] = 0xc0 | (code >> 6);
  else {
    if (code < 0x10000) bytes[end++] = 0xe0 | (code >> 12);
    else {
      bytes[end++] = 0xf0 | (code >> 18);
      bytes[end++] = 0x80 | ((code >> 12) & 63);
    }
    bytes[end++] = 0x80 | ((code >> 6) & 63);
  }
  bytes[end++] = 0x80 | (code & 63);
  return end;
}
