/** Odd safetensors files, the same for the same seed: small ones with one to three things changed. */
import { draw, type Random } from "../../src/base/random.ts";

/** An object of a header as it is written, entry by entry: JSON text of the key, and of the value or its entries. */
type Written = [key: string, value: string | Written][];

/** A file that is about to be changed. */
interface Odd {
  entries: Written;
  /** Bytes of data. */
  data: number;
  /** Space between all tokens. */
  space: string;
  /** Goes before and behind the header's object. */
  around: [before: string, behind: string];
  /** Added to the length that the prefix tells. */
  length: bigint;
  /** Bytes of the file that become others: [place in the file as a fraction, byte]. */
  bytes: [number, number][];
}

const json = (value: unknown) => JSON.stringify(value);
const tensor = (name: string, dtype: string, shape: string, begin: number, end: number): Written[number] => [
  json(name),
  [
    ['"dtype"', json(dtype)],
    ['"shape"', shape],
    ['"data_offsets"', `[${begin},${end}]`],
  ],
];

/** What is changed: a mixture of types, tensors without numbers and without dimensions, metadata and none. */
const BASES: [Written, data: number][] = [
  [
    [
      ['"__metadata__"', [['"format"', '"pt"']]],
      tensor("a.weight", "F32", "[2,3]", 0, 24),
      tensor("b", "BF16", "[5]", 24, 34),
    ],
    34,
  ],
  [[tensor("x", "F64", "[1]", 0, 8), tensor("none", "I64", "[0,7]", 8, 8), tensor("scalar", "U8", "[]", 8, 9)], 9],
  [
    [
      tensor("four", "F4", "[2,4]", 0, 4),
      tensor("six", "F6_E2M3", "[4]", 4, 7),
      tensor("eight", "F8_E4M3", "[3]", 7, 10),
    ],
    10,
  ],
  [[tensor("late", "F16", "[4]", 4, 12), tensor("early", "BOOL", "[4]", 0, 4)], 12],
  [[['"__metadata__"', []]], 0],
];

const NUMBERS = (
  "0 1 2 3 4 -1 -0 00 01 1.0 1e0 1e2 1E+2 1e-2 0.5 .5 1. +1 0x1 1e308 1e309 -1e400 0e999 1e99999999999 9007199254740991 " +
  "9007199254740992 9223372036854775807 18446744073709551615 18446744073709551616 123456789012345678901234567890 NaN Infinity"
).split(" ");
const VALUES = [
  ...NUMBERS,
  ...'null true false tru "" "1" "F32" "\\ud800" "\\ud83d\\ude00" "\\u0000" "\\x" "\t" [] [1] [1,] [null] {} {"a":1} {"a":1,"a":2}'.split(
    " ",
  ),
  ...[
    '{"F32":null}',
    '{"F32":1}',
    '{"U8":null,"U8":null}',
    '["U8",[],[0,1]]',
    '["U8",[],[0,1],0]',
    '{"format":1}',
    "",
    " 1 ",
    "'1'",
  ],
];
const DTYPES =
  "BOOL F4 F6_E2M3 F6_E3M2 U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ I16 U16 F16 BF16 I32 U32 F32 C64 F64 I64 U64 F8 f32 FLOAT".split(
    " ",
  );
const NAMES = [
  ...['""', '"a"', '"é"', '"\\u00e9"', '"\\ud83d\\ude00"', '"\\ud83d"', '"a\\u0000b"', '"a\\nb"', '"__proto__"', '"0"'],
  ...['"__metadata__"', '"\\u005f_metadata__"', '"dtype"', '"\\/"', '"\u2028"', '"\u007f"', "a", '"a', '"toString"'],
];
const SHAPES = (
  "[] [0] [1] [2] [4] [8] [6] [2,3] [3,2] [0,3] [24] [1,1,1,1] [-1] [1.0] [4294967296,4294967296] [4294967296,2147483648,0] " +
  "[0,9007199254740992] [2305843009213693952] [1e0] [-0] 4 null {} [[2]] [true]"
).split(" ");
const PADDING = [" ", "       ", "\n", "\t\r\n ", "\0", "\ufeff", "\u00a0", "x", "{}", ",", "\v"];

/** Makes file number `index` of those of `seed`. */
export function oddFile(seed: number, index: number): Uint8Array {
  const random: Random = { seed: seed * 1_000_000 + index, counter: 0 };
  const below = (n: number) => Math.floor(draw(random) * n);
  const pick = <T>(from: readonly T[]): T => from[below(from.length)] as T;
  const [entries, data] = structuredClone(pick(BASES));
  const odd: Odd = { entries, data, space: "", around: ["", ""], length: 0n, bytes: [] };
  for (let n = pick([1, 1, 2, 3]); n > 0; n--) pick(CHANGES)(odd, below, pick);
  if (below(3) > 0) layOut(odd);
  return written(odd);
}

type Change = (odd: Odd, below: (n: number) => number, pick: <T>(from: readonly T[]) => T) => void;

/** The entries of one tensor; none where there is no such thing any more. */
function fields(odd: Odd, pick: <T>(from: readonly T[]) => T): Written {
  const tensors = odd.entries.filter(([key, value]) => key !== '"__metadata__"' && typeof value !== "string");
  return tensors.length ? (pick(tensors)[1] as Written) : [];
}

/** Puts another value in the place of a field's. */
function set(entries: Written, field: string, value: string): void {
  for (const entry of entries) if (entry[0] === json(field)) entry[1] = value;
}

const CHANGES: readonly Change[] = [
  // Fields, metadata and entries become something else.
  (odd, _, pick) =>
    set(fields(odd, pick), "dtype", pick([json(pick(DTYPES)), `{${json(pick(DTYPES))}:null}`, pick(VALUES)])),
  (odd, _, pick) => set(fields(odd, pick), "shape", pick([pick(SHAPES), `[${pick(NUMBERS)}]`, `[0,${pick(NUMBERS)}]`])),
  (odd, _, pick) =>
    set(fields(odd, pick), "data_offsets", pick([`[${pick(NUMBERS)},${pick(NUMBERS)}]`, "[0,0]", pick(VALUES)])),
  (odd, _, pick) =>
    odd.entries.unshift(['"__metadata__"', pick([pick(VALUES), "null", '{"a":"b","a":"c"}', '{"a":"b","a":1}'])]),
  (odd, _, pick) => set(odd.entries, "__metadata__", pick(VALUES)),
  (odd, below, pick) => void (odd.entries[below(odd.entries.length)] = [pick(NAMES), pick(VALUES)]),
  // Other names.
  (odd, _, pick) => {
    if (odd.entries.length) pick(odd.entries)[0] = pick(NAMES);
  },
  // Entries and fields once more, as they are or with another value, before or behind the first; or no more.
  (odd, below, pick) => {
    const [key, value] = structuredClone(pick(odd.entries) ?? ['""', "0"]);
    odd.entries.splice(below(odd.entries.length + 1), 0, [key, pick([value, value, pick(VALUES)])]);
  },
  (odd, below, pick) => {
    const of = fields(odd, pick);
    if (of.length) of.splice(below(of.length + 1), 0, [pick(of)[0], pick(VALUES)]);
  },
  (odd, below, pick) => void pick([odd.entries, fields(odd, pick)]).splice(below(3), 1),
  // Fields that mean nothing, twice perhaps, and deep ones.
  (odd, _, pick) => {
    const depth = 122 + 2 * NUMBERS.indexOf(pick(NUMBERS.slice(0, 5)));
    const value = pick([
      pick(VALUES),
      "[".repeat(depth) + "]".repeat(depth),
      `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`,
    ]);
    const entry: Written[number] = [pick(['"extra"', pick(NAMES)]), value];
    fields(odd, pick).push(...pick([[entry], [entry, [...entry] as Written[number]]]));
  },
  // A tensor as a list of its fields.
  (odd, below) => {
    const entry = odd.entries[below(odd.entries.length)];
    if (entry && typeof entry[1] !== "string") entry[1] = `[${entry[1].map(([, value]) => text(value)).join(",")}]`;
  },
  // Another order; space before and behind; more data or less.
  (odd) => void odd.entries.reverse(),
  (odd, _, pick) => void (odd.space = pick([" ", "\n", "\t\r\n ", "\v"])),
  (odd, _, pick) => void (odd.around = [pick(["", "", pick(PADDING)]), pick([pick(PADDING), pick(PADDING).repeat(9)])]),
  (odd, below) => void (odd.data = Math.max(0, odd.data + below(5) - 2)),
  // The length tells something else; bytes become others.
  (odd, _, pick) => void (odd.length = pick([1n, -1n, 8n, 100_000_000n, 2n ** 63n, 2n ** 40n])),
  (odd, below) => void odd.bytes.push([below(1000) / 1000, below(256)]),
];

/** Bits per number of some types; of the others, a guess. */
const BITS: Readonly<Record<string, number>> = { F32: 32, F64: 64, I64: 64, C64: 64, U64: 64, I32: 32, U32: 32, F4: 4 };
const bitsOf = (dtype: string) => BITS[dtype] ?? (/^F6/.test(dtype) ? 6 : /^(BOOL|[UIF]8)/.test(dtype) ? 8 : 16);

/** Makes offsets and data fit what tensors have become, as far as that can be told. */
function layOut(odd: Odd): void {
  let at = 0;
  for (const [key, value] of odd.entries) {
    if (key === '"__metadata__"' || typeof value === "string") continue;
    const field = (name: string) => value.find(([key]) => key === json(name))?.[1] ?? "";
    const [dtype, shape] = [field("dtype"), field("shape")].map(
      (value) => /^("|\[)[\w ,]*("|\])$/.exec(text(value))?.[0],
    );
    const sizes = (shape?.slice(1, -1) || "1").split(",").map(Number);
    const bytes = Math.floor((sizes.reduce((a, b) => a * b, 1) * bitsOf(dtype?.slice(1, -1) ?? "")) / 8);
    if (!(bytes >= 0 && bytes < 1000)) continue;
    set(value, "data_offsets", `[${at},${at + bytes}]`);
    at += bytes;
  }
  odd.data = at;
}

function text(value: string | Written, space = ""): string {
  if (typeof value === "string") return value;
  const entries = value.map(([key, inner]) => [key, ":", text(inner, space)].join(space));
  return ["{", entries.join(`${space},${space}`), "}"].join(space);
}

function written({ entries, data, space, around: [before, behind], length, bytes }: Odd): Uint8Array {
  const header = new TextEncoder().encode(before + text(entries, space) + behind);
  const file = new Uint8Array(8 + header.length + data);
  new DataView(file.buffer).setBigUint64(0, BigInt.asUintN(64, BigInt(header.length) + length), true);
  file.set(header, 8);
  for (let i = 8 + header.length; i < file.length; i++) file[i] = 37 * i;
  for (const [at, byte] of bytes) file[Math.floor(at * file.length)] = byte;
  return file;
}
