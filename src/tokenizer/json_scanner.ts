import { writeUtf8 } from "./vocabulary.ts";

const [QUOTE, COMMA, COLON, BACKSLASH] = [0x22, 0x2c, 0x3a, 0x5c];
/** What follows a backslash, other than "u" → the character. */
const ESCAPES = new Map([...'"\\/'].map((char) => [char.charCodeAt(0), char.charCodeAt(0)]));
for (const [letter, code] of [["b", 8], ["f", 12], ["n", 10], ["r", 13], ["t", 9]] as const) // biome-ignore format: a table
  ESCAPES.set(letter.charCodeAt(0), code);

/** Thrown where bytes are not as expected: something else has to read them, and say what is wrong. */
export class Unexpected extends Error {}

/**
 * Walks over the UTF-8 bytes of JSON without making values of it. Only what is asked for is checked: a value that is
 * skipped may be anything with balanced brackets.
 */
export class JsonScanner {
  readonly bytes: Uint8Array;
  at: number;
  /** Where the string that `string` read is: in `bytes`, or unescaped in `unescaped`. */
  source: Uint8Array;
  start = 0;
  end = 0;
  #unescaped = new Uint8Array(256);

  constructor(bytes: Uint8Array, at = 0) {
    this.bytes = bytes;
    this.at = at;
    this.source = bytes;
  }

  /** Skips white space, and returns the byte that follows; 0 at the end. */
  peek(): number {
    const { bytes } = this;
    let at = this.at;
    for (; at < bytes.length; at++) {
      const byte = bytes[at] as number;
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
    }
    this.at = at;
    return at < bytes.length ? (bytes[at] as number) : 0;
  }

  /** Consumes one byte behind white space. @throws Unexpected if it is another one */
  expect(byte: number): void {
    if (this.peek() !== byte) throw new Unexpected();
    this.at++;
  }

  /** The entries of an object or the items of an array, whose brackets are consumed; `item` consumes each. */
  list(open: "{" | "[", item: () => void): void {
    const close = open.charCodeAt(0) + 2;
    this.expect(close - 2);
    if (this.peek() === close) {
      this.at++;
      return;
    }
    for (;;) {
      item();
      const byte = this.peek();
      this.at++;
      if (byte === close) return;
      if (byte !== COMMA) throw new Unexpected();
    }
  }

  /** Reads a key and its colon. */
  key(): string {
    this.string();
    const key = new TextDecoder().decode(this.source.subarray(this.start, this.end));
    this.expect(COLON);
    return key;
  }

  /** An integer in 0..max in digits only. */
  integer(max: number): number {
    const from = this.peek() === 0x30 ? this.at + 1 : Number.POSITIVE_INFINITY;
    const { bytes } = this;
    const start = this.at;
    let value = 0;
    while (this.at < bytes.length) {
      const digit = (bytes[this.at] as number) - 0x30;
      if (digit < 0 || digit > 9) break;
      value = 10 * value + digit;
      this.at++;
      if (value > max || this.at > from) throw new Unexpected();
    }
    const next = bytes[this.at];
    // A fraction or an exponent is left to a reader of numbers.
    if (this.at === start || next === 0x2e || next === 0x45 || next === 0x65) throw new Unexpected();
    return value;
  }

  /** Skips a value. */
  skip(): void {
    const { bytes } = this;
    this.peek();
    let depth = 0;
    while (this.at < bytes.length) {
      const byte = bytes[this.at] as number;
      if (byte === QUOTE) this.at = this.#closing(this.at + 1) + 1;
      else if (byte === 0x7b || byte === 0x5b) {
        depth++;
        this.at++;
      } else if (byte === 0x7d || byte === 0x5d) {
        if (depth === 0) return;
        depth--;
        this.at++;
        if (depth === 0) return;
      } else if (byte === COMMA && depth === 0) return;
      else this.at++;
      if (depth === 0 && byte === QUOTE) return;
    }
    throw new Unexpected();
  }

  /**
   * The number of items of the list or of entries of the object that comes next, 1 if it has none, and the bytes of the
   * strings in it, keys included, as they are written. Consumes nothing.
   */
  measure(): { items: number; stringBytes: number } {
    const { bytes } = this;
    this.peek();
    let at = this.at;
    let depth = 0;
    let items = 1;
    let stringBytes = 0;
    do {
      const byte = bytes[at++];
      if (byte === QUOTE) {
        const start = at;
        at = this.#closing(at);
        stringBytes += at - start;
        at++;
      } else if (byte === COMMA) {
        if (depth === 1) items++;
      } else if (byte === 0x7b || byte === 0x5b) depth++;
      else if (byte === 0x7d || byte === 0x5d) depth--;
      else if (byte === undefined) throw new Unexpected();
    } while (depth > 0);
    return { items, stringBytes };
  }

  /** Where the quote is that ends the string whose characters start at `from`. */
  #closing(from: number): number {
    const { bytes } = this;
    let at = from;
    for (;;) {
      const byte = bytes[at];
      if (byte === QUOTE) return at;
      if (byte === undefined) throw new Unexpected();
      at += byte === BACKSLASH ? 2 : 1;
    }
  }

  /** Reads a string: `source` has it from `start` to `end`. */
  string(): void {
    this.expect(QUOTE);
    const { bytes } = this;
    let at = this.at;
    for (; ; at++) {
      const byte = bytes[at];
      if (byte === QUOTE) break;
      if (byte === BACKSLASH) {
        this.#unescape();
        return;
      }
      // A control character, or undefined: the end.
      if (!((byte as number) >= 0x20)) throw new Unexpected();
    }
    this.source = bytes;
    this.start = this.at;
    this.end = at;
    this.at = at + 1;
  }

  #unescape(): void {
    const { bytes } = this;
    let end = 0;
    for (;;) {
      if (end + 4 > this.#unescaped.length) {
        const grown = new Uint8Array(2 * this.#unescaped.length);
        grown.set(this.#unescaped);
        this.#unescaped = grown;
      }
      const byte = bytes[this.at++] as number;
      if (byte === QUOTE) break;
      if (!(byte >= 0x20)) throw new Unexpected();
      if (byte !== BACKSLASH) this.#unescaped[end++] = byte;
      else end = writeUtf8(this.#escape(), this.#unescaped, end);
    }
    this.source = this.#unescaped;
    this.start = 0;
    this.end = end;
  }

  /** The character of an escape, whose backslash is consumed. */
  #escape(): number {
    const letter = this.bytes[this.at++] as number;
    if (letter !== 0x75) return ESCAPES.get(letter) ?? this.#unexpected();
    const unit = this.#hex();
    if (unit < 0xd800 || unit > 0xdfff) return unit;
    // Half of a surrogate pair is no character.
    if (unit > 0xdbff || this.bytes[this.at] !== BACKSLASH || this.bytes[this.at + 1] !== 0x75) this.#unexpected();
    this.at += 2;
    const low = this.#hex();
    if (low < 0xdc00 || low > 0xdfff) this.#unexpected();
    return 0x10000 + ((unit - 0xd800) << 10) + low - 0xdc00;
  }

  #hex(): number {
    const digits = String.fromCharCode(...this.bytes.subarray(this.at, this.at + 4));
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.#unexpected();
    this.at += 4;
    return Number.parseInt(digits, 16);
  }

  #unexpected(): never {
    throw new Unexpected();
  }
}
