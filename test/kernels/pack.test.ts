import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Embed, Format, Gather, Op, Rows } from "../../assembly/op.ts";
import { Bench, Dice, packedBytes, perChunk } from "./harness.ts";

const bench = await Bench.open();
const FORMATS = { f32: Format.F32, bf16: Format.Bf16, f16: Format.F16 } as const;
const NAMES = Object.keys(FORMATS) as (keyof typeof FORMATS)[];
const bytesOf = (format: Format): number => (format === Format.F32 ? 4 : 2);

/** Whole numbers up to 255, exact in every format, as they are stored in `format`. */
function stored(values: Float32Array, format: Format): Uint8Array {
  if (format === Format.F32) return new Uint8Array(values.slice().buffer);
  if (format === Format.F16) return new Uint8Array(Float16Array.from(values).buffer);
  return new Uint8Array(Uint16Array.from(new Uint32Array(values.slice().buffer), (word) => word >>> 16).buffer);
}

function place(bytes: Uint8Array): number {
  const address = bench.take(bytes.length);
  bench.bytes.set(bytes, address);
  return address;
}

/** Where number (row, i) of a packed matrix [n, k] lies: [panel of 4 rows][chunk][4 rows][16 bytes]. */
function offset(row: number, i: number, k: number, format: Format): number {
  const chunk = perChunk(format);
  const panel = Math.floor(row / 4) * Math.ceil(k / chunk) + Math.floor(i / chunk);
  return (panel * 4 + (row % 4)) * 16 + (i % chunk) * bytesOf(format);
}

/** The packed bytes, from the layout's definition. Rows that are not written stay poison. */
function packed(values: Float32Array, firstRow: number, rows: number, n: number, k: number, format: Format) {
  const bytes = new Uint8Array(packedBytes(n, k, format)).fill(0xff);
  const width = bytesOf(format);
  const numbers = stored(values, format);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < Math.ceil(k / perChunk(format)) * perChunk(format); i++) {
      const at = offset(firstRow + row, i, k, format);
      if (i >= k) bytes.fill(0, at, at + width);
      else bytes.set(numbers.subarray((row * k + i) * width, (row * k + i + 1) * width), at);
    }
  }
  return bytes;
}

const KS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 15, 16, 17, 31, 33];

describe.each(NAMES)("from %s", (source) => {
  test.each(NAMES)("pack to %s, in two batches at any row: exact, zeros beyond k, other rows untouched", (target) => {
    const dice = new Dice(3);
    for (const n of [1, 2, 3, 4, 5, 7, 8, 9, 13]) {
      for (const k of KS) {
        bench.clear();
        const values = dice.whole(n * k, 255);
        const first = dice.below(n + 1);
        const dst = bench.take(packedBytes(n, k, FORMATS[target]));
        for (const [from, to] of [
          [0, first],
          [first, n],
        ] as const) {
          const src = place(stored(values.subarray(from * k, to * k), FORMATS[source]));
          const bad = bench.kernels.pack(dst, src, from, to - from, k, FORMATS[source], FORMATS[target]);
          expect(bad).toBe(-1);
        }
        bench.checkGuards();
        const wanted = packed(values, 0, n, n, k, FORMATS[target]);
        expect(Buffer.compare(bench.bytes.subarray(dst, dst + wanted.length), wanted)).toBe(0);
      }
    }
  });

  test("expand: exact, at most 12 bytes beyond the end", () => {
    for (let count = 1; count <= 20; count++) {
      bench.clear();
      const values = new Dice(count).whole(count, 255);
      const src = place(stored(values, FORMATS[source]));
      const dst = bench.take(4 * (count + 3));
      expect(bench.kernels.expand(dst, src, count, FORMATS[source])).toBe(-1);
      bench.checkGuards();
      expect(bench.read(dst, count)).toEqual(values);
    }
  });

  const bad = {
    f32: [0x7f800000, 0xff800000, 0x7fc00001, 0x7f800001],
    bf16: [0x7f80, 0xff80, 0x7fc1, 0xff81],
    f16: [0x7c00, 0xfc00, 0x7e01, 0xfc01],
  };
  test("the first number that is not finite is refused by its index, by pack to every format and by expand", () => {
    const property = fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 20 }),
      fc.nat(),
      fc.constantFrom(...bad[source]),
      (rows, k, place_, word) => {
        bench.clear();
        const at = place_ % (rows * k);
        const width = bytesOf(FORMATS[source]);
        const bytes = stored(new Dice(rows).whole(rows * k, 9), FORMATS[source]);
        const view = new DataView(bytes.buffer);
        // A second bad number behind the first changes nothing.
        for (const i of [at, Math.min(at + 1 + (place_ % 7), rows * k - 1)]) {
          if (width === 4) view.setUint32(4 * i, word, true);
          else view.setUint16(2 * i, word, true);
        }
        const src = place(bytes);
        const dst = bench.take(4 * (rows * k + 3) + packedBytes(rows, k, Format.F32));
        for (const target of NAMES) {
          expect([target, bench.kernels.pack(dst, src, 0, rows, k, FORMATS[source], FORMATS[target])]).toEqual([
            target,
            at,
          ]);
        }
        expect(bench.kernels.expand(dst, src, rows * k, FORMATS[source])).toBe(at);
        if (source === "f32") expect(bench.kernels.firstNonFinite(src, rows * k)).toBe(at);
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

test.each(NAMES)("embed from %s: every row of every shape, exact", (name) => {
  const dice = new Dice(5);
  for (const vocab of [1, 3, 4, 5, 9]) {
    for (const dim of [...KS, 64, 80]) {
      bench.clear();
      const values = dice.whole(vocab * dim, 255);
      const table = bench.matrix(values, vocab, dim, FORMATS[name]);
      const tokens = dice.shuffled(Array.from({ length: vocab }, (_, token) => token));
      bench.step(tokens.map((token) => ({ token })));
      const y = bench.output(vocab * dim);
      bench.execute(Op.Embed, Embed, { y, table, dim, format: FORMATS[name] }, { slices: 2 });
      bench.checkGuards();
      const wanted = tokens.flatMap((token) => [...values.subarray(token * dim, (token + 1) * dim)]);
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
    bench.execute(Op.Gather, Gather, { y, x: bench.floats(values), dim }, { rows: Rows.Logits, slices: 2 });
    bench.checkGuards();
    const wanted = [0, 3, 4].flatMap((row) => [...values.subarray(row * dim, (row + 1) * dim)]);
    expect([...bench.read(y, 3 * dim)]).toEqual(wanted);
  }
});
