/** Damage to GGUF files: to their headers as bytes, to what the metadata says, and to numbers. */
import fc from "fast-check";
import { referenceOf } from "../formats/gguf_reference.ts";
import { type Draft, GGUFS } from "./draft.ts";
import { choice, type Kind, kind, pick, place } from "./kinds.ts";

const LENGTHS = [0n, 1n, 3n, 61n, 62n, 2n ** 20n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];
const NUMBERS = [
  0,
  1,
  2,
  3,
  4,
  6,
  7,
  8,
  9,
  10,
  13,
  14,
  30,
  61,
  64,
  255,
  2 ** 16,
  2 ** 20,
  2 ** 31,
  0x7fc00000,
  0x7f800000,
];
/** A key, and u32 or f32 as its type. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const SCALAR = /[a-z0-9]+\.[a-z_.]+[a-z][\x04\x06]\0\0\0/g;
const ENDS = new Map<Uint8Array, number>();

/** Length of the header of a file of a base. */
function headerOf(file: Uint8Array): number {
  const end = ENDS.get(file) ?? referenceOf(file).end;
  ENDS.set(file, end);
  return end;
}

/** Changes the bytes of one of the files, of which `header` is its length. */
function change(draft: Draft, n: number, to: (bytes: Uint8Array, header: number) => Uint8Array): void {
  const name = pick([...draft.base.files.keys()], n) as string;
  draft.edit((files) => {
    const bytes = files.get(name);
    if (bytes instanceof Uint8Array) files.set(name, to(bytes, headerOf(draft.base.files.get(name) as Uint8Array)));
  });
}

/** `put` in place of bytes [at, at + cut). */
const splice = (bytes: Uint8Array, at: number, cut: number, put: Uint8Array) =>
  new Uint8Array([...bytes.subarray(0, at), ...put, ...bytes.subarray(at + cut)]);

/** A number of the header, of 1, 4 or 8 bytes, becomes another one. */
const header = kind(GGUFS, fc.tuple(choice, place, fc.constantFrom(1, 4, 8), choice), (draft, [n, at, size, m]) => {
  change(draft, n, (bytes, end) => {
    const values = {
      1: Uint8Array.of(m),
      4: Uint32Array.of(pick(NUMBERS, m)!),
      8: BigUint64Array.of(pick(LENGTHS, m)!),
    };
    const put = new Uint8Array(values[size as 1 | 4 | 8].buffer);
    return splice(bytes, Math.floor(at * end), put.length, put);
  });
});

/** Bytes of the header go, come or move, so that everything behind them is read as something else. */
const moved = kind(GGUFS, fc.tuple(choice, place, place, fc.nat(40)), (draft, [n, at, from, length]) => {
  change(draft, n, (bytes, end) => {
    const start = Math.floor(from * end);
    return splice(bytes, Math.floor(at * end), length % 9, bytes.slice(start, start + (length >> 2)));
  });
});

/** The value of one key of metadata becomes another number, in place: sizes, counts of heads, bases, windows, ids. */
const values = kind(GGUFS, fc.tuple(choice, choice), (draft, [n, m]) => {
  change(draft, 0, (bytes) => {
    const places = [...Buffer.from(bytes).toString("latin1").matchAll(SCALAR)];
    const found = pick(places, n) as RegExpMatchArray;
    const put = new Uint8Array(Uint32Array.of(pick(NUMBERS, m)!).buffer);
    return splice(bytes, (found.index as number) + found[0].length, 4, put);
  });
});

/** A byte of the weights, or the file's end. */
const weights = kind(GGUFS, fc.tuple(choice, place, choice), (draft, [n, at, m]) => {
  change(draft, n, (bytes, end) => {
    const place = end + Math.floor(at * (bytes.length - end));
    return m % 4 === 0 ? bytes.subarray(0, place) : bytes.with(Math.min(place, bytes.length - 1), m % 256);
  });
});

export const GGUF_KINDS: Readonly<Record<string, Kind>> = {
  "GGUF headers": header,
  "GGUF headers that moved": moved,
  "GGUF values": values,
  "GGUF weights": weights,
};
