import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { ModelError } from "../../src/base/errors.ts";
import type { ByteSource } from "../../src/base/source.ts";
import { parseSafetensors, readSafetensors, type SafetensorsFile } from "../../src/formats/safetensors.ts";
import { BITS, RUNS, safetensors } from "./files.ts";

setDefaultTimeout(60_000 * RUNS);

/** A file as the fuzzer holds it: its first bytes, with the header; and its size, since the data are never looked at. */
interface Damaged {
  readonly head: Uint8Array;
  readonly size: number;
}

const models = join(import.meta.dir, "../../models");
const SEEDS: Damaged[] = [
  ...["lambent-llama-5m", "lambent-gptj-6m", "lambent-mpt-5m"].map((model) => {
    const bytes = readFileSync(join(models, model, "model.safetensors"));
    const length = Number(bytes.readBigUInt64LE());
    return { head: new Uint8Array(bytes.subarray(0, 8 + length)), size: bytes.length };
  }),
  ...[
    {},
    { a: { dtype: "U8", shape: [], data_offsets: [0, 1] } },
    {
      __metadata__: { format: "pt", n: "1" },
      a: { dtype: "F32", shape: [2, 1], data_offsets: [0, 8] },
      b: { dtype: "F4", shape: [0, 3], data_offsets: [8, 8] },
      c: { dtype: "I64", shape: [1], data_offsets: [8, 16] },
    },
  ].map((header) => {
    const data = "c" in header ? 16 : "a" in header ? 1 : 0;
    const bytes = safetensors(header, data);
    return { head: bytes.subarray(0, bytes.length - data), size: bytes.length };
  }),
];

const VALUES = [
  ...["1e308", "1e999", "-1", "-0", "0", "1", "4.0", "1.5", "1e1", "9007199254740992", "9007199254740993"],
  ...["18446744073709551616", "4294967296", '"4"', "null", "[]", "[4]", "{}", "true", "", "00", "NaN", "0x10"],
  ...['"F16"', '"__metadata__"', '"a"'],
];
const PIECES = [
  ...'{ } [ ] , : " \\ \\u0000 \u2028 \n é "a": "__metadata__":{} "__proto__":{} [[ ]] ,, {"a":1}'.split(" "),
  ...['"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]},', '"dtype":"F64",', '"shape":[0],', "[".repeat(5000)],
];

/** The file with `bytes` in place of [at, at + cut) of the header; the length prefix follows if `mend`. */
function splice({ head, size }: Damaged, at: number, cut: number, bytes: Uint8Array, mend: boolean): Damaged {
  const next = new Uint8Array([...head.subarray(0, at), ...bytes, ...head.subarray(at + cut)]);
  if (mend && next.length >= 8) new DataView(next.buffer).setBigUint64(0, BigInt(next.length - 8), true);
  return { head: next, size: size + next.length - head.length };
}

const utf8 = new TextEncoder();
/** A place in the file, as a fraction; fc.double would favour the smallest ones far too much. */
const position = fc.nat(999_999).map((n) => n / 1_000_000);
type Change = (file: Damaged) => Damaged;
const change: fc.Arbitrary<Change> = fc.oneof(
  // One byte becomes another, in the length prefix more often than its size would make it.
  fc.tuple(position, fc.nat(255), fc.boolean()).map(
    ([p, byte, prefix]): Change =>
      (file) => {
        const at = Math.floor(p * (prefix ? Math.min(8, file.head.length) : file.head.length));
        return splice(file, at, 1, new Uint8Array([byte]), false);
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
  fc.constantFrom(-8, -1, 1, 8, 2 ** 40).map(
    (more): Change =>
      ({ head, size }) => {
        const next = Math.max(0, size + more);
        return { head: head.subarray(0, next), size: next };
      },
  ),
  // Something else in the middle of the header.
  fc.tuple(position, fc.nat(12), fc.constantFrom(...PIECES), fc.boolean()).map(([p, cut, piece, mend]): Change => {
    return (file) => splice(file, 8 + Math.floor(p * file.head.length), cut, utf8.encode(piece), mend);
  }),
  // A part of the header once more, in another place.
  fc.tuple(position, position, fc.nat(80)).map(
    ([from, to, length]): Change =>
      (file) => {
        const start = 8 + Math.floor(from * file.head.length);
        return splice(file, 8 + Math.floor(to * file.head.length), 0, file.head.slice(start, start + length), true);
      },
  ),
  // One of the numbers, or one of the words, becomes another value; one of the entries goes.
  ...[
    { pattern: /\d+/g, values: VALUES },
    { pattern: /"[^"]*"/g, values: VALUES },
    { pattern: /"[^"]*":\{[^{}]*\},?/g, values: [""] },
  ].map(({ pattern, values }) =>
    fc.tuple(position, fc.constantFrom(...values)).map(([p, value]): Change => {
      return (file) => {
        const text = new TextDecoder("latin1").decode(file.head.subarray(8)); // latin1: characters are bytes
        const matches = [...text.matchAll(pattern)];
        const match = matches[Math.floor(p * matches.length)];
        return match ? splice(file, 8 + match.index, match[0].length, utf8.encode(value), true) : file;
      };
    }),
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

/** What is wrong with a file that was accepted, by other means than the reader's: every byte is claimed once. */
function contradiction(file: SafetensorsFile, { head, size }: Damaged): string | undefined {
  const length = Number(new DataView(head.buffer, head.byteOffset).getBigUint64(0, true));
  const { __metadata__: metadata, ...header } = JSON.parse(new TextDecoder().decode(head.subarray(8, 8 + length)));
  if (JSON.stringify(file.metadata) !== JSON.stringify(metadata ?? {})) return "other metadata";
  if (Object.values(file.metadata).some((value) => typeof value !== "string")) return "metadata that is no string";
  if (file.tensors.size !== Object.keys(header).length) return "other tensors";
  let at = 8 + length;
  for (const { name, dtype, shape, begin, end } of file.tensors.values()) {
    const entry = { dtype, shape, data_offsets: [begin - 8 - length, end - 8 - length] };
    const { [name]: stored } = header;
    for (const [key, value] of Object.entries(entry)) {
      if (JSON.stringify(stored[key]) !== JSON.stringify(value)) return `other ${key}`;
    }
    if (begin !== at || end < begin) return "hole or overlap";
    at = end;
    if (shape.reduce((product, n) => product * BigInt(n), BigInt(BITS[dtype]!)) !== BigInt(end - begin) * 8n)
      return "other size";
  }
  return at === size ? undefined : "bytes behind";
}

describe("a damaged file", () => {
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
            const outcome = await readSafetensors(source).catch((error) => error);
            expect(source.read).toBeLessThanOrEqual(8 + Math.min(damaged.size, 100_000_000));
            if (damaged.size < 10_000) {
              // A small one is also read from memory, where the result must be the same.
              const bytes = new Uint8Array(damaged.size);
              bytes.set(damaged.head);
              const parse = async () => parseSafetensors(bytes, "x");
              const fromMemory = await parse().catch((error) => error);
              expect(fromMemory.message).toBe(outcome.message);
              expect(fromMemory.tensors).toEqual(outcome.tensors);
            }
            if (outcome instanceof Error) {
              expect(outcome).toBeInstanceOf(ModelError);
              expect(outcome.message).toMatch(/^x: .*expected .*found .*$/);
              expect(outcome.message.length).toBeLessThan(500);
              messages.add(outcome.message.replace(/tensor .*: expected|\d+/g, ""));
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
      expect(messages.size).toBeGreaterThan(100);
    },
    120_000 * RUNS,
  );

  test("every cut of a file is refused", async () => {
    for (const seed of SEEDS) {
      const step = Math.ceil(seed.size / 2000);
      for (let size = 0; size < seed.size; size += size < seed.head.length + 100 && seed.size < 1000 ? 1 : step) {
        const cut = sourceOf({ head: seed.head.subarray(0, size), size });
        expect(await readSafetensors(cut).catch((error) => error)).toBeInstanceOf(ModelError);
      }
    }
  });
});
