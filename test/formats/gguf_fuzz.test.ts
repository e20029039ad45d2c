import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { ModelError } from "../../src/base/errors.ts";
import type { ByteSource } from "../../src/base/source.ts";
import { type GgufFile, type GgufValue, readGguf } from "../../src/formats/gguf.ts";
import { GGML_TYPES } from "../../src/formats/gguf_types.ts";
import { RUNS } from "./files.ts";
import { bool, f32, f32Tensor, ggufFile, text, texts, u32 } from "./gguf_files.ts";
import { F32, referenceOf } from "./gguf_reference.ts";

setDefaultTimeout(60_000 * RUNS);

/** A file as the fuzzer holds it: its first bytes, with the header; and its size, since the data are never looked at. */
interface Damaged {
  readonly head: Uint8Array;
  readonly size: number;
}

const EVERY = [0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12];
const seedOf = (file: Parameters<typeof ggufFile>[0]): Damaged => {
  const bytes = ggufFile(file);
  return { head: bytes.slice(0, referenceOf(bytes).end), size: bytes.length };
};
const SEEDS: Damaged[] = [
  seedOf({ metadata: {} }),
  seedOf({
    version: 2,
    metadata: { "general.alignment": u32(8) },
    tensors: [f32Tensor("a", [3], [1, 2, 3])],
    alignment: 8,
  }),
  seedOf({
    metadata: {
      ...Object.fromEntries(EVERY.map((type) => [`n${type}`, { type, value: 1 }])),
      ...Object.fromEntries(EVERY.map((array) => [`a${array}`, { array, values: [1, 0, 1] }])),
    },
  }),
  seedOf({
    metadata: {
      ...{
        "general.architecture": text("llama"),
        "llama.rope.freq_base": f32(1e4),
        "tokenizer.ggml.add_bos_token": bool(true),
      },
      "tokenizer.ggml.tokens": texts("<s>", "</s>", "a", "b", "ab", "\u2581"),
    },
    tensors: [
      f32Tensor("norm", [2], [1, 2]),
      { name: "q4", sizes: [64, 2], type: 2, data: new Uint8Array(72) },
      { name: "k", sizes: [256, 1, 2], type: 14, data: new Uint8Array(420) },
      f32Tensor("none", [0, 4], []),
    ],
  }),
];

const LENGTHS = [
  0n,
  1n,
  2n,
  255n,
  2n ** 20n,
  2n ** 31n,
  2n ** 32n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
];
const NUMBERS = [0, 1, 2, 3, 4, 5, 8, 9, 12, 13, 30, 32, 33, 99, 2 ** 16, 2 ** 31, 2 ** 32 - 1];

function splice({ head, size }: Damaged, at: number, cut: number, bytes: Uint8Array): Damaged {
  const next = new Uint8Array([...head.subarray(0, at), ...bytes, ...head.subarray(at + cut)]);
  return { head: next, size: size + next.length - head.length };
}

/** A place in the file, as a fraction; fc.double would favour the smallest ones far too much. */
const position = fc.nat(999_999).map((n) => n / 1_000_000);
type Change = (file: Damaged) => Damaged;
const within = (p: number, { head }: Damaged) => Math.floor(p * head.length);
const change: fc.Arbitrary<Change> = fc.oneof(
  // One byte becomes another, in the counts more often than their size would make it.
  fc.tuple(position, fc.nat(255), fc.boolean()).map(
    ([p, byte, counts]): Change =>
      (file) => {
        return splice(
          file,
          Math.floor(p * (counts ? Math.min(24, file.head.length) : file.head.length)),
          1,
          Uint8Array.of(byte),
        );
      },
  ),
  // The file ends early, or has bytes behind.
  fc.tuple(position, fc.boolean()).map(
    ([p, inHeader]): Change =>
      ({ head, size }) => {
        const cut = Math.floor(p * (inHeader ? head.length : size));
        return { head: head.subarray(0, cut), size: cut };
      },
  ),
  fc.constantFrom(-8, -1, 1, 8, 2 ** 21).map(
    (more): Change =>
      ({ head, size }) => {
        const next = Math.max(0, size + more);
        return { head: head.subarray(0, next), size: next };
      },
  ),
  // A number becomes another one, whatever it stands for.
  fc.tuple(position, fc.constantFrom(...LENGTHS)).map(
    ([p, value]): Change =>
      (file) => {
        return splice(file, within(p, file), 8, new Uint8Array(BigUint64Array.of(value).buffer));
      },
  ),
  fc.tuple(position, fc.constantFrom(...NUMBERS)).map(
    ([p, value]): Change =>
      (file) => {
        return splice(file, within(p, file), 4, new Uint8Array(Uint32Array.of(value).buffer));
      },
  ),
  // A part of the header once more, in another place; or bytes that go, or come.
  fc.tuple(position, position, fc.nat(80)).map(
    ([from, to, length]): Change =>
      (file) => {
        const start = within(from, file);
        return splice(file, within(to, file), 0, file.head.slice(start, start + length));
      },
  ),
  fc.tuple(position, fc.nat(12), fc.uint8Array({ maxLength: 12 })).map(
    ([p, cut, bytes]): Change =>
      (file) => {
        return splice(file, within(p, file), cut, bytes);
      },
  ),
);

/** The size of a file that may be read and how much of it; reads beyond the head give zeros. */
function sourceOf({ head, size }: Damaged): ByteSource & { read: number } {
  return {
    name: "x",
    size,
    read: 0,
    async readInto(target, offset) {
      if (offset + target.length > size) throw new Error("read beyond the end");
      this.read += target.length;
      target.fill(0).set(head.subarray(offset, offset + target.length));
    },
    async close() {},
  };
}

/** A value in the form of the reference's. */
function plain(value: GgufValue | undefined): unknown {
  if (typeof value === "string") return [...new TextEncoder().encode(value)].length;
  if (typeof value !== "object") return value;
  if (!("offsets" in value)) return Array.from(value as ArrayLike<number | bigint>, Number);
  const { bytes, offsets, count } = value;
  const latin1 = new TextDecoder("latin1");
  return Array.from({ length: count }, (_, i) => latin1.decode(bytes.subarray(offsets[i], offsets[i + 1])));
}

/** The reference's value in the same form; of texts only the length, where they may hold anything. */
function expected(value: unknown, found: unknown): unknown {
  if (Array.isArray(value)) {
    // An array of bool keeps its bytes, of which any but 0 is true.
    const byte = (one: unknown, i: number) => (Boolean((found as number[])[i]) === one ? (found as number[])[i] : one);
    return value.map((one, i) =>
      typeof one === "boolean" ? byte(one, i) : typeof one === "string" ? one : Number(one),
    );
  }
  if (typeof value === "string") return value.length === found || /[^\0-\x7f]/.test(value) ? found : value.length;
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (!(value instanceof F32)) return value;
  const same = Object.is(Math.fround(Number(found)), value.value) && `${found}`.length <= `${value.value}`.length;
  return same ? found : value;
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** What is wrong with a file that was accepted, by other means than the reader's. */
function contradiction(file: GgufFile, { head, size }: Damaged): string | undefined {
  const padded = new Uint8Array(Math.min(size, head.length + 4096));
  padded.set(head.subarray(0, padded.length));
  const reference = attempt(() => referenceOf(padded));
  // A header of many zeros behind what was changed: a text of them, for example.
  if (!reference) return size > padded.length ? undefined : "a header beyond the end";
  const { version, entries, tensors, end } = reference;
  if (version !== 2 && version !== 3) return "another version";
  if (new Set(entries.map(([key]) => key)).size !== file.metadata.size || entries.length !== file.metadata.size)
    return "a key twice";
  for (const [[, value], found] of entries.map((entry, i) => [entry, plain([...file.metadata.values()][i])] as const)) {
    if (!Bun.deepEquals(expected(value, found), found)) return `another value: ${value} ${found}`;
  }
  const alignment = Number(new Map(entries).get("general.alignment") ?? 32);
  if ((alignment & (alignment - 1)) !== 0) return "another alignment";
  if (tensors.length !== file.tensors.size) return "other tensors";
  const found = [...file.tensors.values()];
  let at = Math.ceil(end / alignment) * alignment;
  const begin = at;
  for (const [i, { name, sizes, type, offset }] of tensors.entries()) {
    const { block, bytes } = GGML_TYPES.get(type)!;
    const total = sizes.reduce((product, n) => product * n, 1n);
    const tensor = found[i]!;
    if (Buffer.from(tensor.name).length !== name.length || name.length > 63 || sizes.length > 4) return "another name";
    if (String(tensor.shape.toReversed()) !== String(sizes)) return "other sizes";
    if (tensor.begin !== at || begin + Number(offset) !== at) return "a hole or overlap";
    if (BigInt(tensor.end - at) * BigInt(block) !== total * BigInt(bytes)) return "another size";
    if (tensor.end > size || Number(sizes[0] ?? 1n) % block !== 0) return "beyond the end";
    at = Math.ceil(tensor.end / alignment) * alignment;
  }
  return undefined;
}

describe("a damaged GGUF file", () => {
  test(
    "reads to a valid structure or is refused in one line",
    async () => {
      let accepted = 0;
      const messages = new Set<string>();
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom(...SEEDS),
          fc.array(change, { minLength: 1, maxLength: 3 }),
          async (seed, changes) => {
            const damaged = changes.reduce((file, apply) => apply(file), seed);
            const source = sourceOf(damaged);
            const outcome = await readGguf(source, ["norm"]).catch((error) => error);
            expect(source.read).toBeLessThanOrEqual(Math.min(damaged.size, 101_000_000));
            if (outcome instanceof Error) {
              expect(outcome).toBeInstanceOf(ModelError);
              expect(outcome.message).toMatch(/^x: .*expected .*found .*$/);
              expect(outcome.message.length).toBeLessThan(500);
              messages.add(outcome.message.replace(/^x: .*?: (?=[^:]*expected)|\d+/g, ""));
            } else {
              accepted++;
              expect(contradiction(outcome, damaged)).toBeUndefined();
            }
          },
        ),
        { numRuns: 12_000 * RUNS },
      );
      // Otherwise the mutations were all alike.
      expect(accepted).toBeGreaterThan(200);
      expect(messages.size).toBeGreaterThan(25);
    },
    120_000 * RUNS,
  );
});
