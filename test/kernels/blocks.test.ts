/** ggml's blocks: what their numbers are, kept or made into other formats, and what is refused. */
import { beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Format, Source, sourceBytes, sourceColumns } from "../../assembly/layout.ts";
import { Embed, Op } from "../../assembly/op.ts";
import { BLOCK_DTYPES } from "../../src/base/dtype.ts";
import { parseSafetensors } from "../../src/formats/safetensors.ts";
import { FORMATS as FORMAT_OF } from "../../src/plan/weights.ts";
import { BLOCKS, type BlockType, numbersOf, randomBlocks, worth } from "../reference/ggml.ts";
import { Bench, Dice, FORMAT_NAMES, FORMATS, packedBytes, SINGLE_BUILDS, words } from "./harness.ts";

const TYPES = Object.keys(BLOCKS) as BlockType[];
let bench = await Bench.open();

/** ggml's own: pseudo-random blocks of every type, and their values by its C code. */
const file = readFileSync(join(import.meta.dir, "ggml_blocks.safetensors"));
const { tensors } = parseSafetensors(file, "ggml_blocks");
function golden(type: BlockType): { blocks: Uint8Array; values: Float32Array } {
  const bytes = (part: string) => {
    const tensor = tensors.get(
      `${type.replace(/^Q/, "q").replace(/^IQ/, "iq").replace("_NL", "_nl").replace("_XS", "_xs").replace("MX", "mx").replace("FP", "fp")}.${part}`,
    )!;
    return new Uint8Array(file).slice(tensor.begin, tensor.end);
  };
  return { blocks: bytes("blocks"), values: new Float32Array(bytes("values").buffer) };
}

function place(bytes: Uint8Array): number {
  const address = bench.take(bytes.length + 16);
  bench.bytes.set(bytes, address);
  return address;
}

function valuesOf(bytes: Uint8Array, type: BlockType): Float32Array {
  return Float32Array.from(numbersOf(bytes, type), worth);
}

function expand(bytes: Uint8Array, type: BlockType): Float32Array {
  bench.clear();
  const count = (bytes.length / BLOCKS[type].bytes) * BLOCKS[type].columns;
  const dst = bench.take(4 * count);
  expect(bench.kernels.expand(dst, place(bytes), count, Source[type])).toBe(-1);
  bench.checkGuards();
  return bench.read(dst, count);
}

/** A matrix [n, k] of these blocks in the format that keeps them, or another one. */
function pack(
  bytes: Uint8Array,
  type: BlockType,
  n: number,
  target = FORMAT_OF[BLOCK_DTYPES[type]!],
  slices = 1,
): number {
  const k = ((bytes.length / BLOCKS[type].bytes) * BLOCKS[type].columns) / n;
  const dst = bench.take(packedBytes(n, k, target));
  const results = bench.pack({ dst, src: place(bytes), rows: n, k, source: Source[type], target }, slices);
  expect(results).toEqual(new Array(slices).fill(-1));
  return dst;
}

test("sizes of the types", () => {
  for (const type of TYPES) {
    expect([type, sourceColumns(Source[type]), sourceBytes(Source[type])]).toEqual([
      type,
      BLOCKS[type].columns,
      BLOCKS[type].bytes,
    ]);
  }
});

describe.each(SINGLE_BUILDS)("%s", (build) => {
  beforeAll(async () => {
    bench = await Bench.open(build);
  });

  describe.each(TYPES)("%s", (type) => {
    test("ggml's own blocks: the values of its C code, bit for bit; so the reference's", () => {
      const { blocks, values } = golden(type);
      expect(words(expand(blocks, type))).toEqual(words(values));
      expect(words(valuesOf(blocks, type))).toEqual(words(values));
    });

    test("random bytes: the reference's values, bit for bit", () => {
      const blocks = randomBlocks((count) => dice.below(count), 300, type);
      expect(words(expand(blocks, type))).toEqual(words(valuesOf(blocks, type)));
    });
    const dice = new Dice(1);

    test("kept: every row of every shape embeds the same bits, packed in slices and in any order", () => {
      const { columns, bytes } = BLOCKS[type];
      for (const n of [1, 3, 4, 5, 16, 17, 33]) {
        for (const across of [1, 2, 3]) {
          bench.clear();
          const k = across * columns;
          const blocks = randomBlocks((count) => dice.below(count), n * across, type);
          const target = FORMAT_OF[BLOCK_DTYPES[type]!];
          const table = bench.take(packedBytes(n, k, target));
          const order = dice.shuffled(Array.from({ length: n }, (_, row) => row));
          const shuffled = order.flatMap((row) => [
            ...blocks.subarray(row * across * bytes, (row + 1) * across * bytes),
          ]);
          const places = bench.take(4 * n);
          new Uint32Array(bench.bytes.buffer, places, n).set(order);
          const fields = {
            dst: table,
            src: place(Uint8Array.from(shuffled)),
            rows: n,
            k,
            source: Source[type],
            target,
          };
          expect(bench.pack({ ...fields, places }, 3)).toEqual([-1, -1, -1]);
          bench.step(Array.from({ length: n }, (_, token) => ({ token })));
          const y = bench.output(n * k);
          bench.execute(Op.Embed, Embed, { y, table, dim: k, format: target, work: bench.work(2) }, { slices: 2 });
          bench.checkGuards();
          expect(words(bench.read(y, n * k))).toEqual(words(valuesOf(blocks, type)));
        }
      }
    });

    test.each(FORMAT_NAMES)("made into %s: the bytes that its numbers give as f32", (name) => {
      const target = FORMATS[name];
      const blocks = randomBlocks((count) => dice.below(count), 18, type);
      // Small whole numbers times a power of two are q8 as they are.
      if (type === "MXFP4" && name === "q8") return;
      bench.clear();
      const k = 2 * BLOCKS[type].columns;
      const made = pack(blocks, type, 9, target, 2);
      const floats = bench.matrix(valuesOf(blocks, type), 9, k, target);
      bench.checkGuards();
      const bytes = packedBytes(9, k, target);
      expect(
        Buffer.compare(bench.bytes.subarray(made, made + bytes), bench.bytes.subarray(floats, floats + bytes)),
      ).toBe(0);
    });

    test("a scale that is not finite is refused by the first number of its block", () => {
      const { columns, bytes, halves } = BLOCKS[type];
      const k = 2 * columns;
      for (const at of type === "MXFP4" ? [0] : halves) {
        for (const bad of [0x7c00, 0xfc00, 0x7e01]) {
          for (let block = 0; block < 6; block++) {
            bench.clear();
            const blocks = randomBlocks((count) => dice.below(count), 6, type);
            if (type === "MXFP4") blocks[block * bytes] = 253 + (bad % 3);
            else new DataView(blocks.buffer).setUint16(block * bytes + at, bad, true);
            const src = place(blocks);
            const dst = bench.take(4 * 3 * k + packedBytes(3, k, Format.F32) + packedBytes(3, k, Format.Q2_K));
            const wanted = block * columns;
            expect(bench.kernels.expand(dst, src, 3 * k, Source[type])).toBe(wanted);
            for (const target of [FORMAT_OF[BLOCK_DTYPES[type]!], Format.F32, Format.Bf16, Format.Q4]) {
              expect(bench.pack({ dst, src, rows: 3, k, source: Source[type], target })).toEqual([wanted]);
            }
          }
        }
      }
    });
  });

  test("the formats that keep blocks are made of blocks only: another source traps", () => {
    bench.clear();
    const dst = bench.take(packedBytes(1, 32, Format.Q8_0));
    const fields = {
      dst,
      src: bench.floats(new Float32Array(32)),
      rows: 1,
      k: 32,
      source: Source.F32,
      target: Format.Q8_0,
    };
    expect(() => bench.pack(fields)).toThrow();
  });
});
