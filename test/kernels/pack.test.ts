/** Matrices into their packed formats, vectors into f32, and the rows that leave them again. */

import { beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Format } from "../../assembly/layout.ts";
import { Embed, Gather, Op, Span } from "../../assembly/op.ts";
import { blockBytes, dequantize, quantizeWeights, scalePlace, writeRow } from "../reference/quantized.ts";
import {
  Bench,
  Dice,
  FORMAT_NAMES,
  FORMATS,
  packedBytes,
  packedPlace,
  perChunk,
  QUANTIZED_NAMES,
  SINGLE_BUILDS,
  STORED,
  STORED_NAMES,
} from "./harness.ts";

let bench = await Bench.open();
type Stored = keyof typeof STORED;
type Packed = keyof typeof FORMATS;
const isStored = (name: Packed): name is Stored => name in STORED;
const widthOf = (name: Stored): number => (name === "f32" ? 4 : 2);

/** Whole numbers up to 255, exact in every format, as they are stored in `format`. */
function stored(values: Float32Array, format: Stored): Uint8Array {
  if (format === "f32") return new Uint8Array(values.slice().buffer);
  if (format === "f16") return new Uint8Array(Float16Array.from(values).buffer);
  return new Uint8Array(Uint16Array.from(new Uint32Array(values.slice().buffer), (word) => word >>> 16).buffer);
}

function place(bytes: Uint8Array): number {
  const address = bench.take(bytes.length);
  bench.bytes.set(bytes, address);
  return address;
}

/** The packed bytes, from the layout's definition. Rows that are not written stay poison. */
function packed(values: Float32Array, n: number, k: number, name: Packed): Uint8Array {
  const bytes = new Uint8Array(packedBytes(n, k, FORMATS[name])).fill(0xff);
  if (!isStored(name)) {
    for (let row = 0; row < n; row++) {
      writeRow(bytes, row, k, name, quantizeWeights(values.subarray(row * k, (row + 1) * k), name));
    }
    return bytes;
  }
  const width = widthOf(name);
  const numbers = stored(values, name);
  const chunk = perChunk(FORMATS[name]);
  for (let row = 0; row < n; row++) {
    for (let i = 0; i < Math.ceil(k / chunk) * chunk; i++) {
      const at = packedPlace(row, i, k, FORMATS[name]);
      if (i >= k) bytes.fill(0, at, at + width);
      else bytes.set(numbers.subarray((row * k + i) * width, (row * k + i + 1) * width), at);
    }
  }
  return bytes;
}

const KS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 15, 16, 17, 31, 32, 33, 64, 65];

describe.each(SINGLE_BUILDS)("%s", (build) => {
  beforeAll(async () => {
    bench = await Bench.open(build);
  });

  describe.each(STORED_NAMES)("from %s", (source) => {
    test.each(FORMAT_NAMES)(
      "pack to %s, in two batches at any row, in slices: every byte, other rows untouched",
      (target) => {
        const dice = new Dice(3);
        for (const n of [1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 33]) {
          for (const k of KS) {
            bench.clear();
            const values = dice.whole(n * k, 255);
            const first = dice.below(n + 1);
            const dst = bench.take(packedBytes(n, k, FORMATS[target]));
            const formats = { k, source: FORMATS[source], target: FORMATS[target] };
            for (const [firstRow, end] of [
              [0, first],
              [first, n],
            ] as const) {
              const src = place(stored(values.subarray(firstRow * k, end * k), source));
              const slices = 1 + dice.below(4);
              const results = bench.pack({ dst, src, firstRow, rows: end - firstRow, ...formats }, slices);
              expect(results).toEqual(new Array(slices).fill(-1));
            }
            bench.checkGuards();
            const wanted = packed(values, n, k, target);
            expect(Buffer.compare(bench.bytes.subarray(dst, dst + wanted.length), wanted)).toBe(0);
          }
        }
      },
    );

    test("expand: exact, at most 12 bytes beyond the end", () => {
      for (let count = 1; count <= 20; count++) {
        bench.clear();
        const values = new Dice(count).whole(count, 255);
        const src = place(stored(values, source));
        const dst = bench.take(4 * (count + 3));
        expect(bench.kernels.expand(dst, src, count, STORED[source])).toBe(-1);
        bench.checkGuards();
        expect(bench.read(dst, count)).toEqual(values);
      }
    });

    const bad = {
      f32: [0x7f800000, 0xff800000, 0x7fc00001, 0x7f800001],
      bf16: [0x7f80, 0xff80, 0x7fc1, 0xff81],
      f16: [0x7c00, 0xfc00, 0x7e01, 0xfc01],
    };
    test("every slice's first number that is not finite is refused by its index, by pack to every format and by expand", () => {
      const property = fc.property(
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 70 }),
        fc.nat(),
        fc.constantFrom(...bad[source]),
        fc.integer({ min: 1, max: 7 }),
        (rows, k, where, word, slices) => {
          bench.clear();
          const first = where % (rows * k);
          // A second bad number behind the first is another slice's, or changes nothing.
          const places = [first, Math.min(first + 1 + (where % (2 * k)), rows * k - 1)];
          const bytes = stored(new Dice(rows).whole(rows * k, 9), source);
          const view = new DataView(bytes.buffer);
          for (const i of places) {
            if (source === "f32") view.setUint32(4 * i, word, true);
            else view.setUint16(2 * i, word, true);
          }
          const src = place(bytes);
          const dst = bench.take(
            4 * (rows * k + 3) + packedBytes(rows, k, Format.F32) + packedBytes(rows, k, Format.Q8),
          );
          const rowBegin = (slice: number) => Math.floor((rows * slice) / slices);
          const wanted = Array.from({ length: slices }, (_, slice) => {
            const isIn = (at: number) => at >= k * rowBegin(slice) && at < k * rowBegin(slice + 1);
            return places.find(isIn) ?? -1;
          });
          for (const target of FORMAT_NAMES) {
            const formats = { source: STORED[source], target: FORMATS[target] };
            expect([target, ...bench.pack({ dst, src, rows, k, ...formats }, slices)]).toEqual([target, ...wanted]);
          }
          expect(bench.kernels.expand(dst, src, rows * k, STORED[source])).toBe(first);
          if (source === "f32") expect(bench.kernels.firstNonFinite(src, rows * k)).toBe(first);
          bench.checkGuards();
        },
      );
      fc.assert(property, { numRuns: 200 });
    });
  });

  test("firstNonFinite: −1 where all are finite, whatever lies behind them", () => {
    for (let count = 0; count <= 9; count++) {
      bench.clear();
      const p = bench.floats([...new Array<number>(count).fill(-3.4e38), NaN]);
      expect(bench.kernels.firstNonFinite(p, count)).toBe(-1);
      expect(bench.kernels.firstNonFinite(p, count + 1)).toBe(count);
    }
  });

  test.each(FORMAT_NAMES)("embed from %s: every row of every shape, the numbers that are packed", (name) => {
    const dice = new Dice(5);
    for (const vocab of [1, 3, 4, 5, 9, 17, 33]) {
      for (const dim of [...KS, 80]) {
        bench.clear();
        const values = dice.whole(vocab * dim, 255);
        const table = bench.matrix(values, vocab, dim, FORMATS[name]);
        const tokens = dice.shuffled(Array.from({ length: vocab }, (_, token) => token));
        bench.step(tokens.map((token) => ({ token })));
        const y = bench.output(vocab * dim);
        const fields = { y, table, dim, format: FORMATS[name], work: bench.work(2) };
        bench.execute(Op.Embed, Embed, fields, { slices: 2 });
        bench.checkGuards();
        const wanted = tokens.flatMap((token) => {
          const row = values.subarray(token * dim, (token + 1) * dim);
          return [...(isStored(name) ? row : dequantize(quantizeWeights(row, name), dim))];
        });
        expect([...bench.read(y, vocab * dim)]).toEqual(wanted);
      }
    }
  });

  test("gather: the rows that want logits, in their order", () => {
    for (const dim of [1, 3, 4, 7, 16]) {
      bench.clear();
      const values = new Dice(dim).floats(5 * dim);
      bench.step([{}, {}, {}, {}, {}], [0, 3, 4]);
      const y = bench.output(3 * dim);
      bench.execute(Op.Gather, Gather, { y, x: bench.floats(values), dim }, { span: Span.Logits, slices: 2 });
      bench.checkGuards();
      const wanted = [0, 3, 4].flatMap((row) => [...values.subarray(row * dim, (row + 1) * dim)]);
      expect([...bench.read(y, 3 * dim)]).toEqual(wanted);
    }
  });

  describe.each(QUANTIZED_NAMES)("firstBadBlock of %s", (name) => {
    const [n, k] = [35, 70]; // 3 panels of 3 blocks
    const blocks = 9;

    function open(): number {
      bench.clear();
      const address = bench.take(blocks * blockBytes(name));
      bench.bytes.fill(0, address, address + blocks * blockBytes(name));
      bench.pack({
        ...{ dst: address, src: bench.floats(new Dice(1).floats(n * k)), rows: n, k },
        ...{ source: FORMATS.f32, target: FORMATS[name] },
      });
      return address;
    }

    test("what pack has made is good, and what lies behind it does not matter", () => {
      const address = open();
      for (let count = 0; count <= blocks; count++) {
        expect(bench.kernels.firstBadBlock(address, count, FORMATS[name])).toBe(-1);
      }
      expect(bench.kernels.firstBadBlock(address, blocks + 1, FORMATS[name])).toBe(blocks);
    });

    test("a scale that is not finite, of any row of any block; the largest finite ones are good", () => {
      const address = open();
      for (let row = 0; row < 48; row++) {
        for (let block = 0; block < 3; block++) {
          const at = address + scalePlace(row, block, k, name);
          const before = bench.view.getUint16(at, true);
          const found = [0x7f80, 0xff80, 0x7f81, 0xffff, 0x7fc0, 0x7f7f, 0xff7f].map((bits) => {
            bench.view.setUint16(at, bits, true);
            return bench.kernels.firstBadBlock(address, blocks, FORMATS[name]);
          });
          const index = 3 * Math.floor(row / 16) + block;
          expect(found).toEqual([index, index, index, index, index, -1, -1]);
          bench.view.setUint16(at, before, true);
        }
      }
    });

    test(name === "q7" ? "a byte of 128 and more, anywhere" : "every byte of numbers is good", () => {
      const address = open();
      for (let at = 0; at < blocks * blockBytes(name); at++) {
        if (at % blockBytes(name) < 32) continue;
        const before = bench.bytes[address + at]!;
        const found = [127, 128, 255].map((byte) => {
          bench.bytes[address + at] = byte;
          return bench.kernels.firstBadBlock(address, blocks, FORMATS[name]);
        });
        const index = name === "q7" ? Math.floor(at / blockBytes(name)) : -1;
        expect(found).toEqual([-1, index, index]);
        bench.bytes[address + at] = before;
      }
    });
  });
});
