import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
// @ts-expect-error the package has no types
import { SafeTensor } from "safetensors";
import { memorySource, parseSafetensors, readSafetensors, safetensorsHeader } from "../../src/formats/safetensors.ts";
import { oddFile } from "../wild/odd_safetensors.ts";
import golden from "../wild/safetensors.json";
import { digest, outcomeOf } from "../wild/safetensors.ts";
import { BITS, directoryFiles, modelError, RUNS, safetensors } from "./files.ts";

setDefaultTimeout(60_000 * RUNS);

const f32 = (shape: unknown, begin: unknown, end: unknown) => ({ dtype: "F32", shape, data_offsets: [begin, end] });

/** The header as other writers make it, with metadata first. */
function withMetadata(header: Uint8Array, metadata: Readonly<Record<string, string>> | undefined): Uint8Array {
  if (!metadata) return header;
  const rest = new TextDecoder().decode(header.subarray(9)).trimEnd();
  const json = Buffer.from(`{"__metadata__":${JSON.stringify(metadata)}${rest === "}" ? "" : ","}${rest}`);
  const length = Math.ceil(json.length / 8) * 8;
  const made = Buffer.alloc(8 + length, " ");
  made.writeBigUInt64LE(BigInt(length));
  json.copy(made, 8);
  return new Uint8Array(made);
}

describe("what is written is read", () => {
  const names = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.string({ unit: fc.constantFrom("a", ".", "\u{1f600}", '"', "\\", "\n") }),
    fc.constantFrom("__proto__", "constructor", "0", "1", "model.layers.0.mlp.up_proj.weight", ""),
  );
  const tensor = fc.record({
    name: names.filter((name) => name !== "__metadata__"),
    dtype: fc.constantFrom(...Object.keys(BITS)),
    shape: fc.array(fc.nat(5), { maxLength: 4 }),
  });
  const tensors = fc
    .uniqueArray(tensor, { selector: ({ name }) => name, maxLength: 20 })
    .map((list) => list.map((t) => (BITS[t.dtype]! < 8 ? { ...t, shape: [...t.shape, 4] } : t)));
  const metadata = fc.option(fc.dictionary(names, fc.string({ unit: "binary" })), { nil: undefined });

  test("for any list of tensors", async () => {
    await fc.assert(
      fc.asyncProperty(tensors, metadata, async (list, metadata) => {
        const header = withMetadata(safetensorsHeader(list), metadata);
        expect(header.length % 8).toBe(0);
        let end = header.length;
        const expected = list.map((tensor) => {
          const begin = end;
          end += (tensor.shape.reduce((a, b) => a * b, 1) * BITS[tensor.dtype]!) / 8;
          return { ...tensor, begin, end };
        });
        const bytes = new Uint8Array(end + 3);
        bytes.set(header, 1); // at an odd place in its buffer
        const file = bytes.subarray(1, end + 1);
        const fromMemory = parseSafetensors(file, "x");
        const fromSource = await readSafetensors(memorySource(file, "x"));
        for (const { tensors, metadata: found } of [fromMemory, fromSource]) {
          expect(tensors.size).toBe(list.length);
          for (const tensor of expected) expect(tensors.get(tensor.name)).toEqual(tensor);
          const begins = [...tensors.values()].map(({ begin }) => begin);
          expect(begins).toEqual(begins.toSorted((a, b) => a - b));
          expect(JSON.stringify(found)).toBe(JSON.stringify(metadata ?? {}));
        }
      }),
      { numRuns: 300 * RUNS },
    );
  });

  test("and the bytes are where the entry says", async () => {
    const list = ["a", "b", "c"].map((name, i) => ({ name, dtype: "U8", shape: [i + 1] }));
    const file = new Uint8Array([...safetensorsHeader(list), 1, 2, 3, 4, 5, 6]);
    const { tensors, source } = parseSafetensors(file, "x");
    const { begin, end } = tensors.get("b")!;
    const target = new Uint8Array(end - begin);
    await source.readInto(target, begin);
    expect([...target]).toEqual([2, 3]);
    const beyond = () => source.readInto(target, file.length - 1);
    expect(await modelError(beyond)).toBe(`x: expected at least ${file.length + 1} bytes, found ${file.length}`);
  });

  test("as the package safetensors reads it", () => {
    const list = [
      { name: "a", dtype: "F32", shape: [2, 3] },
      { name: "b.weight", dtype: "BF16", shape: [5] },
      { name: "empty", dtype: "I64", shape: [0, 7] },
      { name: "scalar", dtype: "U8", shape: [] },
    ];
    const header = safetensorsHeader(list);
    const bytes = new Uint8Array(header.length + 24 + 10 + 1).map((_, i) => i);
    bytes.set(header);
    const theirs = new SafeTensor(bytes);
    const { tensors } = parseSafetensors(bytes, "x");
    expect([...tensors.keys()]).toEqual([...theirs.metadata.keys()]);
    for (const { name, dtype, shape, begin, end } of tensors.values()) {
      expect(theirs.metadata.get(name)).toEqual({ dtype, shape, data_offsets: [begin, end] });
      expect(theirs.getTensor(name)).toEqual(bytes.subarray(begin, end));
    }
  });

  test("an order of entries that is not the order of bytes is fine", () => {
    const file = safetensors({ b: f32([1], 8, 12), c: f32([0], 8, 8), a: f32([2], 0, 8) }, 12);
    expect([...parseSafetensors(file, "x").tensors.keys()]).toEqual(["a", "c", "b"]);
  });

  const one = '{"dtype":"F32","shape":[2],"data_offsets":[0,8]}';
  test.each([
    ["metadata null", `{"__metadata__":null,"a":${one}}`],
    ["a metadata key twice", `{"__metadata__":{"a":"b","a":"c"},"a":${one}}`],
    ["space before and behind", ` \n\t\r{"a":${one}}  \r\n\t`],
    ["a tensor twice, of which the last counts", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[7,5]},"a":${one}}`],
    ["its fields as a list", '{"a":["F32",[2],[0,8]]}'],
    ["its dtype as an object", '{"a":{"dtype":{"F32":null},"shape":[2],"data_offsets":[0,8]}}'],
    ["other fields, even twice", `{"a":{"b":1.5,"b":[{}],"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`],
    ["escapes in its name", `{"\\u0061":${one}}`],
  ])("as the reference reader accepts it: %s", (what, header) => {
    const { tensors, metadata } = parseSafetensors(safetensors(header, 8), "x");
    const begin = 8 + new TextEncoder().encode(header).length;
    expect([...tensors.values()]).toEqual([{ name: "a", dtype: "F32", shape: [2], begin, end: begin + 8 }]);
    expect(metadata).toEqual(what === "a metadata key twice" ? { a: "c" } : {});
  });

  test("sizes of a tensor without numbers may be large, up to where they overflow", () => {
    const { tensors } = parseSafetensors(safetensors({ a: f32([2 ** 32, 2 ** 31, 0], 0, 0) }), "x");
    expect(tensors.get("a")?.shape).toEqual([2 ** 32, 2 ** 31, 0]);
  });

  test(`a thousand odd files, as the reference reader reads them (test/wild/safetensors.ts)`, () => {
    const outcomes = golden.outcomes.split(" ");
    const found = outcomes.map((_, i) => digest(outcomeOf(oddFile(golden.seed, i))));
    expect(found.map((outcome, i) => `${i} ${outcome}`)).toEqual(outcomes.map((outcome, i) => `${i} ${outcome}`));
    expect(outcomes.filter((outcome) => outcome !== "-").length).toBeGreaterThan(200);
  });

  test("a file without tensors", () => {
    expect(parseSafetensors(safetensors("{} \n"), "x").tensors.size).toBe(0);
  });

  test.each([
    [[{ name: "__metadata__", dtype: "U8", shape: [] }], "tensors: expected unique names, found __metadata__"],
    [["a", "a"].map((name) => ({ name, dtype: "U8", shape: [] })), "tensors: expected unique names, found a"],
    [[{ name: "a\ud800", dtype: "U8", shape: [] }], "tensors: expected names of whole characters, found a\ud800"],
    [[{ name: "a", dtype: "f32", shape: [] }], "tensor a: expected a dtype of the format (F32, BF16, ...), found f32"],
    [[{ name: "a", dtype: "F4", shape: [3] }], "tensor a: expected whole bytes of F4, found [3]"],
    [[{ name: "a", dtype: "U8", shape: [1.5] }], "tensor a: expected a shape of non-negative integers, found [1.5]"],
  ])("a header of impossible tensors is not written (%#)", async (list, message) => {
    expect(await modelError(() => safetensorsHeader(list))).toBe(message);
  });
});

describe("real files", () => {
  const found = (root: string) =>
    existsSync(root) ? readdirSync(root).filter((name) => existsSync(join(root, name, "model.safetensors"))) : [];
  const models = join(import.meta.dir, "../../models");
  const shared = join(import.meta.dir, "../../../shared/checkpoints");
  const read = async (directory: string) => {
    const source = (await directoryFiles(directory).open("model.safetensors"))!;
    try {
      const { tensors, metadata } = await readSafetensors(source);
      expect(Math.max(...[...tensors.values()].map(({ end }) => end))).toBe(source.size);
      return { tensors, metadata };
    } finally {
      await source.close();
    }
  };

  test("the embedded models", async () => {
    expect(found(models).sort()).toEqual(["lambent-gptj-6m", "lambent-llama-5m", "lambent-mpt-5m"]);
    for (const name of found(models)) {
      const { tensors, metadata } = await read(join(models, name));
      expect(metadata).toEqual({ format: "pt" });
      expect(new Set([...tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(["BF16"]));
    }
    const { tensors } = await read(join(models, "lambent-llama-5m"));
    expect(tensors.get("model.embed_tokens.weight")).toMatchObject({ dtype: "BF16", shape: [4096, 256] });
    expect(tensors.size).toBe(56);
  });

  const absent = found(shared).length === 0;
  test.skipIf(absent)(`checkpoints beside the repository${absent ? " (skipped: there are none)" : ""}`, async () => {
    for (const name of found(shared)) {
      const { tensors } = await read(join(shared, name));
      expect(tensors.get("model.embed_tokens.weight")).toMatchObject({ dtype: "F32" });
    }
  });
});

describe("a file that is refused", () => {
  const lengthPrefix = (length: bigint) => new Uint8Array(new BigUint64Array([length]).buffer);
  const tensor = (entry: unknown, bytes = 0) => safetensors({ "model.x": entry }, bytes);
  const OBJECT = "expected an object of dtype, shape, data_offsets, found";
  const DTYPE = "expected a dtype of the format (F32, BF16, ...), found";
  const cases: [string, Uint8Array, string][] = [
    ["empty", new Uint8Array(0), "x: expected at least 8 bytes, found 0"],
    ["7 bytes", new Uint8Array(7), "x: expected at least 8 bytes, found 7"],
    ["length 0", new Uint8Array(8), "x: header: line 1, column 1: expected a JSON object, found the end"],
    ["huge length", lengthPrefix(2n ** 64n - 1n), `x: expected a header of at most 0 bytes, found ${2n ** 64n - 1n}`],
    ["cut in the header", tensor(f32([], 0, 4), 4).slice(0, 50), "x: expected a header of at most 42 bytes, found 59"],
    [
      "Git LFS pointer",
      new TextEncoder().encode("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"),
      "x: expected weights, found a Git LFS pointer (run: git lfs pull)",
    ],
    ["byte order mark", safetensors("\ufeff{}"), "x: header: line 1, column 1: expected a JSON object, found \ufeff{}"],
    ["a list", safetensors("[]"), "x: header: line 1, column 1: expected a JSON object, found []"],
    ["zeros behind", safetensors("{}\0\0"), "x: header: line 1, column 3: expected the end, found  "],
    [
      "half a character in a name",
      safetensors('{"a\\ud800":{}}'),
      'x: header: line 1, column 2: expected a string with valid escapes, found "a\\ud800":{}}',
    ],
    [
      "a number out of range where nothing is read",
      safetensors('{"a":{"b":1e999}}'),
      "x: header: line 1, column 11: expected a number in the range of f64, found 1e999}}",
    ],
    [
      "metadata twice",
      safetensors('{"__metadata__":{},"__metadata__":{}}'),
      "x: header: expected __metadata__ once, found it twice",
    ],
    [
      "metadata with a number that is replaced",
      safetensors('{"__metadata__":{"a":1,"a":"b"}}'),
      "x: header: __metadata__: a: expected a string, found 1",
    ],
    [
      "a field twice",
      safetensors('{"model.x":{"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]}}', 1),
      "expected dtype once, found it twice",
    ],
    ["a list of two fields", tensor(["U8", []]), `${OBJECT} ["U8",[]]`],
    ["a dtype with a value", tensor({ dtype: { U8: 1 } }), `${DTYPE} {"U8":1}`],
    ["two dtypes", tensor({ dtype: { U8: null, I8: null } }), `${DTYPE} {"U8":null,"I8":null}`],
    [
      "a shape by exponent",
      safetensors('{"model.x":{"dtype":"U8","shape":[1e2],"data_offsets":[0,100]}}', 100),
      'expected a shape of non-negative integers, found ["1e2"]',
    ],
    [
      "a size from 2^53 on, which the reference would take",
      tensor(f32([0, 2 ** 60], 0, 0)),
      "expected a shape of non-negative integers, found [0,1152921504606847000]",
    ],
    ["UTF-8", safetensors("{} ").fill(0xff, 10), "x: header: expected UTF-8 text, found bytes that are not"],
    ["JSON", safetensors('{"a":{}'), "x: header: line 1, column 8: expected ',' or '}', found the end"],
    ["two objects", safetensors("{}{}"), "x: header: line 1, column 3: expected the end, found {}"],
    [
      "a tensor twice, one of them none",
      safetensors('{"a":1,"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}', 1),
      "x: tensor a: expected an object of dtype, shape, data_offsets, found 1",
    ],
    ["not an object", tensor([1]), `${OBJECT} [1]`],
    ["null", tensor(null), `${OBJECT} null`],
    ["no dtype", tensor({ shape: [] }), "expected a dtype of the format (F32, BF16, ...), found undefined"],
    ["dtype F31", tensor({ dtype: "F31" }), "expected a dtype of the format (F32, BF16, ...), found F31"],
    ["dtype 1", tensor({ dtype: 1 }), "expected a dtype of the format (F32, BF16, ...), found 1"],
    [
      "dtype toString",
      tensor({ dtype: "toString" }),
      "expected a dtype of the format (F32, BF16, ...), found toString",
    ],
    ...[[-1], [1.5], ["2"], [null], [[2]], [2 ** 53], [1e308], 4, "4", { length: 0 }].map(
      (shape): [string, Uint8Array, string] => [
        `shape ${JSON.stringify(shape)}`,
        tensor(f32(shape, 0, 4), 4),
        `expected a shape of non-negative integers, found ${typeof shape === "string" ? shape : JSON.stringify(shape)}`,
      ],
    ),
    [
      "shape -0",
      safetensors('{"model.x":{"dtype":"F32","shape":[-0],"data_offsets":[0,0]}}'),
      'expected a shape of non-negative integers, found ["-0"]',
    ],
    [
      "shape overflow",
      tensor(f32([2 ** 32, 2 ** 32], 0, 0)),
      "expected a shape below 2^64 bits, found [4294967296,4294967296]",
    ],
    [
      "shape overflow that a zero would hide",
      tensor(f32([2 ** 52, 2 ** 52, 0], 0, 0)),
      "expected a shape below 2^64 bits, found [4503599627370496,4503599627370496,0]",
    ],
    ["half a byte", tensor({ ...f32([3], 0, 1), dtype: "F4" }, 1), "expected whole bytes of F4, found [3]"],
    ["no offsets", tensor({ dtype: "U8", shape: [] }), "expected data_offsets [begin, end], found undefined"],
    ...[[], [0], [0, 4, 4], [4, 0], [-4, 0], [0, 4.5], ["0", "4"], [0, 2 ** 53], { 0: 0, 1: 4 }, 4].map(
      (offsets): [string, Uint8Array, string] => [
        `offsets ${JSON.stringify(offsets)}`,
        tensor({ dtype: "F32", shape: [1], data_offsets: offsets }, 4),
        `expected data_offsets [begin, end], found ${JSON.stringify(offsets)}`,
      ],
    ),
    [
      "shape and offsets",
      tensor(f32([2, 3], 0, 20), 20),
      "expected 24 bytes for F32 [2,3], found 20 (data_offsets [0,20])",
    ],
    [
      "more bytes than shape",
      tensor(f32([2, 3], 0, 28), 28),
      "expected 24 bytes for F32 [2,3], found 28 (data_offsets [0,28])",
    ],
    [
      "a shape too long to be shown",
      tensor(f32(Array(1000).fill(1), 0, 3), 3),
      `expected 4 bytes for F32 [${"1,".repeat(58)}..., found 3 (data_offsets [0,3])`,
    ],
    ["hole before", tensor(f32([1], 4, 8), 8), "expected data_offsets from 0 on (no hole), found 4"],
    [
      "hole between",
      safetensors({ a: f32([1], 0, 4), "model.x": f32([1], 5, 9) }, 9),
      "expected data_offsets from 4 on (no hole), found 5",
    ],
    [
      "overlap",
      safetensors({ a: f32([2], 0, 8), "model.x": f32([1], 4, 8) }, 8),
      "expected data_offsets from 8 on (no overlap), found 4",
    ],
    [
      "the same bytes twice",
      safetensors({ a: f32([1], 0, 4), "model.x": f32([1], 0, 4) }, 4),
      "expected data_offsets from 4 on (no overlap), found 0",
    ],
    ["cut in the data", tensor(f32([2], 0, 8), 7), "x: expected 76 bytes by its header, found 75"],
    ["data behind", tensor(f32([2], 0, 8), 9), "x: expected 76 bytes by its header, found 77"],
    ["only data", safetensors({}, 1), "x: expected 10 bytes by its header, found 11"],
    [
      "metadata list",
      safetensors({ __metadata__: [] }),
      "x: header: __metadata__: expected an object of strings, found []",
    ],
    [
      "metadata number",
      safetensors({ __metadata__: { format: "pt", n: 1 } }),
      "x: header: __metadata__: n: expected a string, found 1",
    ],
    [
      "a name of two lines, in the layout",
      safetensors({ "a\nb": f32([1], 1, 5) }, 5),
      "x: tensor a b: expected data_offsets from 0 on (no hole), found 1",
    ],
    [
      "a name of two lines",
      safetensors({ "a\nb\u2028c": 1 }),
      "x: tensor a b c: expected an object of dtype, shape, data_offsets, found 1",
    ],
  ];
  test.each(cases)("%s", async (_, bytes, message) => {
    const expected = message.startsWith("x: ") ? message : `x: tensor model.x: ${message}`;
    expect(await modelError(() => parseSafetensors(bytes, "x"))).toBe(expected);
    expect(await modelError(() => readSafetensors(memorySource(bytes, "x")))).toBe(expected);
  });

  test("a header above 100 MB, without allocating it", async () => {
    let largest = 0;
    const source = {
      ...memorySource(lengthPrefix(100_000_001n), "x"),
      size: 10 ** 12,
      readInto: async (target: Uint8Array) => {
        largest = Math.max(largest, target.length);
        target.set(lengthPrefix(100_000_001n));
      },
    };
    expect(await modelError(() => readSafetensors(source))).toBe(
      "x: expected a header of at most 100000000 bytes, found 100000001",
    );
    expect(largest).toBe(8);
  });
});
