import { type StringTable, stringTable, textAt } from "../base/string_table.ts";

/** Larger ids are refused, because tables are indexed by them. The largest vocabularies in use have about 2^18. */
export const MAX_ID = 2 ** 24 - 1;

const FNV_START = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** Token → id and back: the bytes of all tokens, and a hash table of indexes into them. */
export class Vocabulary {
  /** The tokens in the order of their ids. */
  readonly table: StringTable;
  /** The id of each, ascending; undefined: its index. */
  readonly #ids: Int32Array | undefined;
  /** Open addressing, at most half full: an index + 1, or 0. */
  readonly #slots: Int32Array;
  readonly #distinct: number;
  /** The UTF-8 of a text that is looked up. */
  #scratch = new Uint8Array(256);

  /** `ids`: ascending; by default 0, 1, …. If a token occurs twice, the last one is found by its text. */
  constructor(table: StringTable, ids?: Int32Array) {
    this.table = table;
    this.#ids = ids?.some((id, index) => id !== index) ? ids : undefined;
    this.#slots = new Int32Array(2 ** Math.ceil(Math.log2(2 * table.count + 2)));
    let distinct = 0;
    for (let index = 0; index < table.count; index++) {
      const start = table.offsets[index] as number;
      const end = table.offsets[index + 1] as number;
      const slot = this.#slot(hashed(FNV_START, table.bytes, start, end), table.bytes, start, end, 0, 0);
      if (this.#slots[slot] === 0) distinct++;
      this.#slots[slot] = index + 1;
    }
    this.#distinct = distinct;
  }

  /** Of tokens with any ids, each of them once. */
  static of(table: StringTable, ids: Int32Array): Vocabulary {
    const order = Uint32Array.from(ids, (_, i) => i);
    if (ids.every((id, i) => i === 0 || id > (ids[i - 1] as number))) return new Vocabulary(table, ids);
    order.sort((a, b) => (ids[a] as number) - (ids[b] as number));
    const offsets = new Uint32Array(table.count + 1);
    const bytes = new Uint8Array(table.bytes.length);
    for (const [to, from] of order.entries()) {
      const token = table.bytes.subarray(table.offsets[from], table.offsets[from + 1]);
      bytes.set(token, offsets[to]);
      offsets[to + 1] = (offsets[to] as number) + token.length;
    }
    return new Vocabulary(
      { count: table.count, bytes, offsets },
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
    if (3 * token.length > this.#scratch.length) this.#scratch = new Uint8Array(6 * token.length);
    const scratch = this.#scratch;
    let end = 0;
    for (let i = 0; i < token.length; i++) {
      const code = token.codePointAt(i) as number;
      if (code > 0xffff) i++;
      end = writeUtf8(code, scratch, end);
    }
    return this.findBytes(scratch, 0, end);
  }

  /** The id of the token of one character; -1 if there is none. */
  findCharacter(code: number): number {
    return this.findBytes(this.#scratch, 0, writeUtf8(code, this.#scratch, 0));
  }

  /** The id of the token with these bytes; -1 if there is none. */
  findBytes(bytes: Uint8Array, start: number, end: number): number {
    return this.#idAt(this.#slot(hashed(FNV_START, bytes, start, end), bytes, start, end, 0, 0));
  }

  /** The id of the token that two others make, without the first `skip` bytes of the second; -1 if there is none. */
  findJoined(left: number, right: number, skip: number): number {
    const { bytes, offsets } = this.table;
    const [a, b] = this.#ids ? [this.#indexOf(left), this.#indexOf(right)] : [left, right];
    const start = offsets[a] as number;
    const end = offsets[a + 1] as number;
    const start2 = (offsets[b] as number) + skip;
    const end2 = offsets[b + 1] as number;
    const hash = hashed(hashed(FNV_START, bytes, start, end), bytes, start2, end2);
    return this.#idAt(this.#slot(hash, bytes, start, end, start2, end2));
  }

  has(token: string): boolean {
    return this.find(token) >= 0;
  }

  /** The token of an id; undefined if there is none. */
  token(id: number): string | undefined {
    const index = this.#ids ? this.#indexOf(id) : id;
    return index >= 0 && index < this.table.count ? textAt(this.table, index) : undefined;
  }

  /** The index of an id in the table; -1 if there is none. */
  #indexOf(id: number): number {
    const ids = this.#ids as Int32Array;
    let low = 0;
    let high = ids.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((ids[middle] as number) < id) low = middle + 1;
      else high = middle;
    }
    return ids[low] === id ? low : -1;
  }

  #idAt(slot: number): number {
    const index = (this.#slots[slot] as number) - 1;
    return this.#ids && index >= 0 ? (this.#ids[index] as number) : index;
  }

  /** The slot of the token whose bytes are [start, end) and then [start2, end2); an empty one if there is none. */
  #slot(hash: number, bytes: Uint8Array, start: number, end: number, start2: number, end2: number): number {
    const slots = this.#slots;
    const { bytes: own, offsets } = this.table;
    const mask = slots.length - 1;
    const length = end - start + end2 - start2;
    for (let slot = (hash ^ (hash >>> 15)) & mask; ; slot = (slot + 1) & mask) {
      const index = (slots[slot] as number) - 1;
      if (index < 0) return slot;
      let at = offsets[index] as number;
      if ((offsets[index + 1] as number) - at !== length) continue;
      let from = start;
      while (from < end && own[at] === bytes[from]) {
        at++;
        from++;
      }
      if (from < end) continue;
      from = start2;
      while (from < end2 && own[at] === bytes[from]) {
        at++;
        from++;
      }
      if (from === end2) return slot;
    }
  }
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
