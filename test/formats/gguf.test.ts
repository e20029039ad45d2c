import { describe, expect, test } from "bun:test";
import { shortest } from "../../src/base/decimal.ts";
import type { ByteSource } from "../../src/base/source.ts";
import { textAt } from "../../src/base/string_table.ts";
import { type GgufValue, readGguf } from "../../src/formats/gguf.ts";
import { GGML_TYPES } from "../../src/formats/gguf_types.ts";
import { memorySource } from "../../src/formats/safetensors.ts";
import { modelError } from "./files.ts";
import { bool, f32, f32Tensor, ggufFile, type TestFile, type TestTensor, text, texts, u32 } from "./gguf_files.ts";

const read = (file: TestFile) => readGguf(memorySource(ggufFile(file), "x"));
const refusal = (file: TestFile) => modelError(() => read(file));
const one = (tensor: Partial<TestTensor>): TestFile => ({
  metadata: {},
  tensors: [{ ...f32Tensor("a", [2], [1, 2]), ...tensor }],
});

/** A string array as strings. */
function strings(value: GgufValue | undefined): string[] {
  if (typeof value !== "object" || !("offsets" in value)) throw new Error("no table");
  return Array.from({ length: value.count }, (_, i) => textAt(value, i));
}

describe("metadata", () => {
  test("every type, alone and in arrays", async () => {
    const numbers = [0, 1, 2, 3, 4, 5, 6, 10, 11, 12].map((type) => [`n${type}`, { type, value: 7 }] as const);
    const arrays = [0, 1, 2, 3, 4, 5, 6, 10, 11, 12].map((array) => [`a${array}`, { array, values: [7, 8] }] as const);
    const { metadata } = await read({
      metadata: [
        ...[...numbers, ...arrays, ["s", text("ü\ufeff")] as const, ["t", texts("", "a", "\u2581über")] as const],
        ...([
          ["b", bool(true)],
          ["c", { array: 7, values: [1, 0] }],
          ["e", f32(1e-6)],
          ["none", texts()],
        ] as const),
        ...([
          ["big", { type: 10, value: 2n ** 63n }],
          ["least", { type: 11, value: -5 }],
        ] as const),
      ],
    });
    for (const [key] of numbers) expect(metadata.get(key)).toBe(7);
    for (const [key] of arrays) expect(Array.from(metadata.get(key) as Float32Array, Number)).toEqual([7, 8]);
    expect(metadata.get("a6")).toBeInstanceOf(Float32Array);
    expect(metadata.get("a10")).toBeInstanceOf(BigUint64Array);
    expect(metadata.get("s")).toBe("ü\ufeff");
    expect(strings(metadata.get("t"))).toEqual(["", "a", "\u2581über"]);
    expect(strings(metadata.get("none"))).toEqual([]);
    expect(metadata.get("b")).toBe(true);
    expect(metadata.get("c")).toEqual(Uint8Array.of(1, 0));
    expect(metadata.get("e")).toBe(1e-6);
    expect(metadata.get("big")).toBe(2n ** 63n);
    expect(metadata.get("least")).toBe(-5);
  });

  test("strings that are longer than what is read at a time, and very many", async () => {
    const long = "x".repeat(700_000);
    const many = Array.from({ length: 70_000 }, (_, i) => (i % 1000 === 0 ? long.slice(0, 3 * i) : `${i}`));
    const { metadata } = await read({ metadata: { long: text(long), many: texts(...many), after: u32(1) } });
    expect(metadata.get("long")).toBe(long);
    expect(strings(metadata.get("many"))).toEqual(many);
    expect(metadata.get("after")).toBe(1);
  });

  test("an f32 is the shortest decimal that rounds to it", () => {
    for (const value of [
      1e-6,
      1e-5,
      0.1,
      10000,
      500000,
      1e6,
      0.0078125,
      1 / 3,
      0,
      -1.5,
      3.4028234663852886e38,
      8,
      10000.2295,
    ]) {
      const stored = Math.fround(value);
      expect(Math.fround(shortest(stored))).toBe(stored);
      if (value !== 1 / 3 && value < 1e38) expect(shortest(stored)).toBe(value);
    }
    expect(shortest(Infinity)).toBe(Infinity);
    expect(shortest(Number.NaN)).toBeNaN();
  });

  const faults: [string, TestFile, string][] = [
    [
      "a repeated key",
      { metadata: [["a", u32(1)] as const, ["a", u32(2)] as const] },
      "x: a: expected this key once, found it twice",
    ],
    ["an empty key", { metadata: { "": u32(1) } }, "x: key 0: expected a name, found an empty one"],
    [
      "an unknown type",
      { metadata: { a: { type: 13, value: 1 }, b: u32(1) } },
      "x: a: type: expected one of GGUF's, from 0 to 12, found 13",
    ],
    [
      "arrays in an array",
      { metadata: { a: { array: 9, values: [] } } },
      "x: a: type of the array: expected numbers or strings, by one of GGUF's types from 0 to 12, found 9",
    ],
    [
      "too many keys",
      { metadata: {}, claims: { entries: 2n } },
      "x: entries of 2 keys: expected 28 bytes, found 0: the file ends there",
    ],
    [
      "2^63 keys",
      { metadata: {}, claims: { entries: 2n ** 63n } },
      "x: number of keys: expected less than 2^53, found 9223372036854775808",
    ],
    [
      "too many tensors",
      { metadata: {}, claims: { tensors: 1000000n } },
      "x: entries of 1000000 tensors: expected 24000000 bytes, found 0: the file ends there",
    ],
    ["version 1", { version: 1, metadata: {} }, "x: version: expected 2 or 3, found 1"],
    [
      "big-endian",
      { version: 0x03000000, metadata: {} },
      "x: version: expected 2 or 3, found 50331648 (a big-endian file)",
    ],
    [
      "an alignment of 12",
      { metadata: { "general.alignment": u32(12) } },
      "x: general.alignment: expected a power of 2, found 12",
    ],
    [
      "an alignment of 0",
      { metadata: { "general.alignment": u32(0) } },
      "x: general.alignment: expected a power of 2, found 0",
    ],
    [
      "an alignment in words",
      { metadata: { "general.alignment": text("32") } },
      "x: general.alignment: expected a power of 2, found 32",
    ],
  ];
  test.each(faults)("%s is refused", async (_, file, message) => {
    expect(await refusal(file)).toBe(message);
  });

  test("what is no GGUF file is named", async () => {
    const found = (bytes: string) => modelError(() => readGguf(memorySource(new TextEncoder().encode(bytes), "x")));
    expect(await found("PK\u0003\u0004 and more bytes")).toBe(
      "x: expected a GGUF file, whose first bytes are GGUF, found PK ",
    );
    expect(await found("version https://git-lfs.github.com/spec/v1")).toBe(
      "x: expected a GGUF file, whose first bytes are GGUF, found a Git LFS pointer (run: git lfs pull)",
    );
    expect(await found("GG")).toBe("x: the first bytes: expected 4 bytes, found 2: the file ends there");
    expect(await found("")).toBe("x: the first bytes: expected 4 bytes, found 0: the file ends there");
    expect(await refusal({ version: 2, metadata: {} }).catch(() => "read")).toBe("read");
  });
});

test("a header of more than 100 MB is refused before it is read, whatever the size of the file", async () => {
  let read = 0;
  const lengths = [10n ** 8n, 2n ** 40n];
  for (const length of lengths) {
    for (const typed of [[8], [9, 0], [9, 8]]) {
      const bytes = ggufFile({ metadata: {}, claims: { entries: 1n } });
      const key = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 97);
      const head = Buffer.concat([
        bytes,
        key,
        new Uint8Array(Uint32Array.from(typed).buffer),
        new Uint8Array(BigUint64Array.of(length).buffer),
      ]);
      const source: ByteSource = {
        ...{ name: "x", size: 2 ** 41, close: async () => {} },
        async readInto(target, offset) {
          read += target.length;
          target.fill(0).set(head.subarray(offset, offset + target.length));
        },
      };
      const ends = /^x: a: expected \d+ bytes, found 999999\d\d: the largest header ends there$/;
      expect(await modelError(() => readGguf(source))).toMatch(ends);
    }
  }
  expect(read).toBeLessThan(6 * 2 ** 19);
});

describe("tensors", () => {
  test("sizes are turned round, and each begins at a multiple of the alignment", async () => {
    for (const alignment of [8, 32, 4096]) {
      const file = ggufFile({
        metadata: { "general.alignment": u32(alignment) },
        tensors: [f32Tensor("a", [2, 3], [1, 2, 3, 4, 5, 6]), f32Tensor("b", [1], [7]), f32Tensor("c", [0, 4], [])],
        alignment,
      });
      const { source, tensors } = await readGguf(memorySource(file, "x"));
      expect([...tensors.values()].map(({ name, shape }) => [name, shape])).toEqual([
        ["a", [2, 3]],
        ["b", [1]],
        ["c", [0, 4]],
      ]);
      const begins = [...tensors.values()].map(({ begin }) => begin);
      expect(begins.every((begin) => begin % alignment === 0)).toBe(true);
      const b = new Float32Array(1);
      await source.readInto(new Uint8Array(b.buffer), begins[1] as number);
      expect(b[0]).toBe(7);
    }
  });

  test("blocks of every type have ggml's sizes", () => {
    // ggml.h: a block of QK_K numbers, or of 32, and its bytes
    const bits = [...GGML_TYPES.values()].map(({ name, block, bytes }) => [name, (8 * bytes) / block] as const);
    expect(Object.fromEntries(bits)).toMatchObject({
      ...{ F32: 32, F16: 16, BF16: 16, Q4_0: 4.5, Q4_1: 5, Q5_0: 5.5, Q5_1: 6, Q8_0: 8.5, Q2_K: 2.625, Q3_K: 3.4375 },
      ...{ Q4_K: 4.5, Q5_K: 5.5, Q6_K: 6.5625, IQ4_NL: 4.5, IQ4_XS: 4.25, MXFP4: 4.25, IQ1_S: 1.5625, TQ2_0: 2.0625 },
    });
  });

  const faults: [string, TestFile, string][] = [
    [
      "a name of 64 bytes",
      one({ name: "n".repeat(64) }),
      `x: tensor ${"n".repeat(64)}: expected a name of at most 63 bytes, found 64`,
    ],
    [
      "five dimensions",
      one({ sizes: [1, 1, 1, 1, 2] }),
      "x: tensor a: number of dimensions: expected at most 4, found 5",
    ],
    ["a type of the future", one({ type: 99 }), "x: tensor a: type: expected one of ggml's, found 99"],
    ["a type that was removed", one({ type: 4 }), "x: tensor a: type: expected one of ggml's, found 4"],
    [
      "half a block",
      one({ type: 8, sizes: [48, 2] }),
      "x: tensor a: expected rows of a multiple of 32 numbers for Q8_0, found 48",
    ],
    ["a hole", one({ offset: 32 }), "x: tensor a: offset: expected 0, behind the one before, found 32"],
    [
      "2^60 numbers",
      one({ sizes: [2 ** 30, 2 ** 30] }),
      "x: tensor a: expected a shape below 2^53 bytes, found [1073741824,1073741824]",
    ],
    [
      "a negative size",
      one({ sizes: [2n ** 64n - 1n] }),
      "x: tensor a: dimension 0: expected less than 2^53, found 18446744073709551615",
    ],
    [
      "two of one name",
      { metadata: {}, tensors: [f32Tensor("a", [2], [1, 2]), f32Tensor("a", [2], [1, 2])] },
      "x: tensor a: expected this name once, found it twice",
    ],
  ];
  test.each(faults)("%s is refused", async (_, file, message) => {
    expect(await refusal(file)).toBe(message);
  });

  test("a file that was cut off is refused, wherever the cut is", async () => {
    const file = ggufFile({
      metadata: { a: texts("a", "b"), b: { array: 6, values: [1, 2] }, c: text("abc") },
      tensors: [f32Tensor("t", [3], [1, 2, 3]), f32Tensor("u", [3], [1, 2, 3])],
    });
    await readGguf(memorySource(file, "x"));
    for (let size = 0; size < file.length; size++) {
      expect(await modelError(() => readGguf(memorySource(file.subarray(0, size), "x")))).toMatch(
        /^x: .*expected .*found /,
      );
    }
  });
});

/** A source that can only be read forward. */
function forwardOnly(bytes: Uint8Array): ByteSource {
  let at = 0;
  const inner = memorySource(bytes, "x");
  return {
    ...inner,
    async readInto(target, offset) {
      if (offset < at) throw new Error(`byte ${offset} was passed`);
      at = offset + target.length;
      await inner.readInto(target, offset);
    },
  };
}

test("a stream is read forward only: header, tensors about positions, tensors", async () => {
  const values = Array.from({ length: 100_000 }, (_, i) => i);
  const file = ggufFile({
    metadata: { a: texts(...values.map(String)) },
    tensors: [f32Tensor("norm", [2], [1, 2]), f32Tensor("early", [3], [3, 4, 5]), f32Tensor("t", [100_000], values)],
  });
  const { source, tensors } = await readGguf(forwardOnly(file), ["early", "absent"]);
  const numbers = async (name: string) => {
    const { begin, end } = tensors.get(name)!;
    const found = new Float32Array((end - begin) / 4);
    await source.readInto(new Uint8Array(found.buffer), begin);
    return [...found];
  };
  expect(await numbers("early")).toEqual([3, 4, 5]);
  expect(await numbers("norm")).toEqual([1, 2]);
  expect(await numbers("t")).toEqual(values);
});
