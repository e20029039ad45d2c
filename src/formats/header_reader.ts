import { ModelError, mismatch } from "../base/errors.ts";
import type { ByteSource } from "../base/source.ts";
import type { StringTable } from "../base/string_table.ts";

/** Bytes that are read at a time. */
const PIECE = 2 ** 18;

/**
 * Reads a header of unknown length forward, in pieces, because its bytes may be a stream. Every count is compared with
 * the bytes that are left before anything of that size is allocated. `thing` names what is read in errors.
 */
export class HeaderReader {
  readonly #source: ByteSource;
  readonly #limit: number;
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  /** Of the bytes that were read: the next one, and the end. */
  #at = 0;
  #end = 0;
  /** Offset in the file of the first byte that was not read yet. */
  #read = 0;

  /** `limit`: the most bytes that the header may take. */
  constructor(source: ByteSource, limit: number) {
    this.#source = source;
    this.#limit = Math.min(limit, source.size);
    this.#bytes = new Uint8Array(Math.min(PIECE, source.size));
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Offset in the file of the next byte. */
  get offset(): number {
    return this.#read - (this.#end - this.#at);
  }

  /** Throws ModelError unless that many bytes may follow. */
  bound(bytes: number, thing: string): void {
    const left = this.#limit - this.offset;
    if (bytes <= left) return;
    const ends = this.#limit < this.#source.size ? "the largest header" : "the file";
    throw new ModelError(mismatch(`${this.#source.name}: ${thing}`, `${bytes} bytes`, `${left}: ${ends} ends there`));
  }

  /** A view of the next `bytes` bytes (few), which are then read. */
  async next(bytes: number, thing: string): Promise<{ readonly view: DataView; readonly at: number }> {
    if (this.#end - this.#at < bytes) await this.#fill(bytes, thing);
    return { view: this.#view, at: this.#take(bytes) };
  }

  async u32(thing: string): Promise<number> {
    const { view, at } = await this.next(4, thing);
    return view.getUint32(at, true);
  }

  /** A u64, exactly; `thing` must be below 2^53. */
  async size(thing: string): Promise<number> {
    const { view, at } = await this.next(8, thing);
    return this.#sizeAt(view, at, thing);
  }

  /** The bytes of a string: its length, a u64, comes first. */
  async string(thing: string): Promise<Uint8Array<ArrayBuffer>> {
    const length = await this.size(`${thing}: length`);
    this.bound(length, thing);
    const bytes = new Uint8Array(length);
    await this.fill(bytes, thing);
    return bytes;
  }

  /** `count` strings. */
  async strings(count: number, thing: string): Promise<StringTable> {
    this.bound(8 * count, thing);
    const offsets = new Uint32Array(count + 1);
    const lengths = `${thing}: length of a string`;
    let bytes = new Uint8Array(Math.min(16 * count, this.#limit - this.offset - 8 * count));
    for (let i = 0; i < count; i++) {
      i = this.#takeStrings(bytes, offsets, i, count);
      if (i === count) break;
      // Of the next one the bytes, or the room for them, are not there yet.
      const length = await this.size(lengths);
      this.bound(length, thing);
      const begin = offsets[i] as number;
      if (begin + length > bytes.length) {
        const larger = new Uint8Array(Math.max(begin + length, 2 * bytes.length));
        larger.set(bytes);
        bytes = larger;
      }
      await this.fill(bytes.subarray(begin, begin + length), thing);
      offsets[i + 1] = begin + length;
    }
    return { count, bytes: bytes.slice(0, offsets[count]), offsets };
  }

  /** Copies strings from number `i` on, as long as they are short and there is room; returns the number of the next. */
  #takeStrings(bytes: Uint8Array, offsets: Uint32Array, from: number, count: number): number {
    let i = from;
    let at = this.#at;
    let to = offsets[i] as number;
    for (; i < count && at + 8 <= this.#end; i++) {
      const length = this.#view.getUint32(at, true);
      const long = length > PIECE || this.#view.getUint32(at + 4, true) > 0;
      if (long || at + 8 + length > this.#end || to + length > bytes.length) break;
      at += 8;
      for (const end = at + length; at < end; ) bytes[to++] = this.#bytes[at++] as number;
      offsets[i + 1] = to;
    }
    this.#at = at;
    return i;
  }

  /** Fills `target` with the next bytes. */
  async fill(target: Uint8Array, thing: string): Promise<void> {
    this.bound(target.length, thing);
    const have = Math.min(target.length, this.#end - this.#at);
    target.set(this.#bytes.subarray(this.#at, this.#at + have));
    this.#take(have);
    for (let done = have; done < target.length; ) {
      const part = target.subarray(done, done + PIECE);
      await this.#source.readInto(part, this.#read);
      this.#read += part.length;
      done += part.length;
    }
  }

  /** Bytes from the offset `begin` on, which is not before the next one, to `end` or as far as was read. */
  async rest(begin: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(Math.max(begin, end, this.#read) - begin);
    const held = this.#bytes.subarray(Math.min(this.#at + begin - this.offset, this.#end), this.#end);
    bytes.set(held);
    if (held.length < bytes.length) await this.#source.readInto(bytes.subarray(held.length), begin + held.length);
    return bytes;
  }

  #take(bytes: number): number {
    const at = this.#at;
    this.#at += bytes;
    return at;
  }

  #sizeAt(view: DataView, at: number, thing: string): number {
    const value = view.getBigUint64(at, true);
    if (value <= Number.MAX_SAFE_INTEGER) return Number(value);
    throw new ModelError(mismatch(`${this.#source.name}: ${thing}`, "less than 2^53", `${value}`));
  }

  /** Reads a piece more, so that there are at least `bytes` (at most a piece). */
  async #fill(bytes: number, thing: string): Promise<void> {
    this.bound(bytes, thing);
    this.#bytes.copyWithin(0, this.#at, this.#end);
    this.#end -= this.#at;
    this.#at = 0;
    const part = this.#bytes.subarray(this.#end, this.#end + Math.min(PIECE, this.#source.size - this.#read));
    await this.#source.readInto(part, this.#read);
    this.#read += part.length;
    this.#end += part.length;
  }
}
