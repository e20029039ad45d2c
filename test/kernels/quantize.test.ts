/** Activations and weights as whole numbers: what they are, how far they are from what they stand for, what is refused. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Embed, Matmul, Op, Quantize, Span } from "../../assembly/op.ts";
import * as q from "../reference/quantized.ts";
import { activationBytes, Bench, Dice, FORMATS, packedBytes, QUANTIZED_NAMES, SINGLE_BUILDS } from "./harness.ts";

const benches = await Promise.all(SINGLE_BUILDS.map((build) => Bench.open(build)));
const BOTH = SINGLE_BUILDS.flatMap((build, i) => QUANTIZED_NAMES.map((name) => ({ build, name, bench: benches[i]! })));
const KS = [1, 2, 3, 4, 5, 7, 8, 9, 29, 31, 32, 33, 36, 63, 64, 65, 100];

/** Numbers of many sizes, a few zeros among them. */
function spread(dice: Dice, count: number): Float32Array {
  return dice.floats(count).map((value) => (dice.below(9) === 0 ? 0 : value * 2 ** (dice.below(40) - 20)));
}

/** Rows whose largest numbers lie anywhere between 2^-110 and 2^120, and what a property needs to draw them. */
const ROW = fc.record({
  k: fc.integer({ min: 1, max: 70 }),
  size: fc.integer({ min: -110, max: 120 }),
  seed: fc.nat(),
});
function rowOf({ k, size, seed }: { k: number; size: number; seed: number }): Float32Array {
  const dice = new Dice(seed);
  return dice.floats(k).map((value) => {
    const small = dice.below(4) === 0 ? 2 ** -dice.below(12) : 1;
    return dice.below(9) === 0 ? 0 : (value || 1) * small * 2 ** size;
  });
}

/** The largest |number| of the block that number `at` is in. */
function largest(x: Float32Array, at: number): number {
  return Math.max(...x.subarray(32 * (at >> 5), 32 * (at >> 5) + 32).map(Math.abs));
}

/** A row of quantised activations, from its bytes: numbers, then scales, then sums. */
function readActivations(bench: Bench, address: number, k: number, name: q.QuantizedFormat) {
  const blocks = Math.ceil(k / 32);
  const wide = name === "q8";
  const numbers = Int32Array.from({ length: 32 * blocks }, (_, i) =>
    wide ? bench.view.getInt16(address + 2 * i, true) : bench.view.getInt8(address + i),
  );
  const behind = address + 32 * blocks * (wide ? 2 : 1);
  const scales = Float64Array.from(bench.read(behind, blocks));
  const sums = new Int32Array(bench.view.buffer.slice(behind + 4 * blocks, behind + 8 * blocks));
  return { numbers, scales, sums };
}

function quantize(bench: Bench, x: Float32Array, k: number, name: q.QuantizedFormat, slices = 1) {
  bench.clear();
  bench.rows(x.length / k);
  const address = bench.activations(x, k, FORMATS[name], slices);
  bench.checkGuards();
  const stride = activationBytes(k, FORMATS[name]);
  return Array.from({ length: x.length / k }, (_, row) => readActivations(bench, address + row * stride, k, name));
}

/** One row of weights, packed; and the same as Op.Embed gives it back. */
function packRow(bench: Bench, x: Float32Array, name: q.QuantizedFormat) {
  bench.clear();
  const k = x.length;
  const format = FORMATS[name];
  const table = bench.matrix(x, 1, k, format);
  bench.rows(1);
  const y = bench.output(k);
  bench.execute(Op.Embed, Embed, { y, table, dim: k, format, work: bench.work() });
  bench.checkGuards();
  const row = q.readRow(bench.bytes.subarray(table, table + packedBytes(1, k, format)), 0, k, name);
  return { ...row, embedded: bench.read(y, k) };
}

describe.each(BOTH)("activations, $build, $name", ({ bench, name }) => {
  test("numbers, scales and sums of every length, 1 to 5 rows, in slices: exactly as defined", () => {
    const dice = new Dice(1);
    for (const k of KS) {
      for (let rows = 1; rows <= 5; rows++) {
        const x = spread(dice, rows * k);
        const found = quantize(bench, x, k, name, 1 + dice.below(4));
        for (const [row, { sums, ...numbers }] of found.entries()) {
          const wanted = q.quantizeActivations(x.subarray(row * k, (row + 1) * k));
          expect<q.QuantizedRow>(numbers).toEqual(wanted);
          // Of columns 4j and 4j + 1, and of the others.
          const [low, high] = [0, 1].map((pair) => {
            return q.blockSums(wanted, {
              ...wanted,
              numbers: wanted.numbers.map((_, i) => +(((i >> 1) & 1) === pair)),
            });
          }) as [Float64Array, Float64Array];
          expect([...sums]).toEqual([...low].map((sum, i) => ((high[i] as number) << 16) | (sum & 0xffff)));
        }
      }
    }
  });

  test("halves go to the even number, the largest number to ±127", () => {
    const [row] = quantize(bench, Float32Array.of(127, 0.5, 1.5, 2.5, -0.5, -1.5, 126.5, -127), 8, name);
    expect([...row!.numbers.subarray(0, 8)]).toEqual([127, 0, 2, 2, 0, -2, 126, -127]);
    expect([...row!.scales]).toEqual([1]);
  });

  test("within max|x| · (0.5 / 127 + 2^-21) of what they stand for", () => {
    const property = fc.property(ROW, (drawn) => {
      const x = rowOf(drawn);
      const [row] = quantize(bench, x, x.length, name);
      const back = q.dequantize(row!, x.length);
      const bound = (at: number) => {
        const most = largest(x, at);
        return most <= q.SMALLEST ? most : most * (0.5 / 127 + 2 ** -21);
      };
      const off = x.findIndex((value, i) => !(Math.abs(value - back[i]!) <= bound(i)));
      expect(off).toBe(-1);
    });
    fc.assert(property, { numRuns: 200 });
  });

  test("zeros stay zeros, blocks below 2^-100 become zeros, one just above does not", () => {
    const x = new Float32Array(160);
    x.set([-0, 0, 5, 0], 32);
    x.fill(2 ** -100 * (1 - 2 ** -24), 64, 96);
    x.set([2 ** -149, -(2 ** -126)], 96);
    x.set([0, -(2 ** -100) * (1 + 2 ** -23)], 128);
    const [row] = quantize(bench, x, 160, name);
    expect([...row!.numbers].flatMap((number, i) => (number ? [[i, number]] : []))).toEqual([
      [34, 127],
      [129, -127],
    ]);
    expect([...row!.scales].map((scale) => scale > 0)).toEqual([false, true, false, false, true]);
    expect([...row!.scales].every((scale) => scale >= 0)).toBe(true);
  });

  test("a NaN, anywhere in its block, makes the scale NaN, and no other block's", () => {
    for (const k of [1, 3, 33, 63, 64, 70]) {
      const x = new Dice(k).floats(k);
      for (let at = 0; at < k; at++) {
        for (const sign of [0x7fc00000, 0xffc00000]) {
          const bad = x.slice();
          new Uint32Array(bad.buffer)[at] = sign;
          const [row] = quantize(bench, bad, k, name);
          expect([...row!.scales].map(Number.isNaN)).toEqual([...row!.scales].map((_, i) => i === at >> 5));
        }
      }
    }
  });

  test("NaN or infinity makes all of its row of a product not finite, and leaves the other rows their bits", () => {
    const dice = new Dice(8);
    const [n, k, rows] = [17, 70, 6];
    const format = FORMATS[name];
    const weight = dice.floats(n * k);
    weight.fill(0, 3 * k, 4 * k);
    const product = (x: Float32Array) => {
      bench.clear();
      bench.rows(rows);
      const y = bench.output(rows * n);
      const fields = {
        y,
        x: bench.activations(x, k, format),
        weight: bench.matrix(weight, n, k, format),
        n,
        k,
        format,
      };
      bench.execute(Op.Matmul, Matmul, { ...fields, work: bench.work() });
      return bench.read(y, rows * n);
    };
    const good = dice.floats(rows * k);
    const wanted = product(good);
    for (const value of [NaN, Infinity, -Infinity]) {
      for (const place of [0, 31, 40, 69]) {
        for (const row of [1, 5]) {
          const bad = good.slice();
          bad[row * k + place] = value;
          const found = product(bad);
          for (const [i, y] of found.entries()) {
            if (Math.floor(i / n) === row) expect(Number.isFinite(y)).toBe(false);
            else expect(y).toBe(wanted[i]!);
          }
        }
      }
    }
  });

  test("Span.Logits: only as many rows as want logits; every number is written by one slice, and by one only", () => {
    const [k, format] = [70, FORMATS[name]];
    const bytes = 2 * activationBytes(k, format);
    const x = spread(new Dice(3), 3 * k);
    const run = (slices: number, only: number) => {
      bench.clear();
      bench.step([{}, {}, {}], [0, 2]);
      const y = bench.take(bytes);
      const fields = { y, x: bench.floats(x), k, format };
      bench.execute(Op.Quantize, Quantize, fields, { span: Span.Logits, slices, only });
      bench.checkGuards();
      return bench.bytes.slice(y, y + bytes);
    };
    const wanted = run(1, 0);
    const poison = bench.bytes[bench.bytes.length - 1]!;
    for (const slices of [2, 3, 5, 9]) {
      const parts = Array.from({ length: slices }, (_, only) => run(slices, only));
      for (const [at, byte] of wanted.entries()) {
        // A slice that writes what was there before cannot be told from one that writes nothing.
        const found = parts.map((part) => part[at]!).filter((value) => value !== poison);
        expect(found).toEqual(byte === poison ? [] : [byte]);
      }
    }
  });
});

describe.each(BOTH)("weights, $build, $name", ({ bench, name }) => {
  /** By how much a number may be off: half a step, or what q4 cuts off; and the scale's rounding. */
  function bound(x: Float32Array, at: number): number {
    const most = largest(x, at);
    if (most <= q.SMALLEST) return most;
    // With q4 up to 9 steps lead to the largest number, of which 7 are there on the other side.
    return most * ((name === "q4" ? 2 / 9 : 0.5 / q.MOST[name]) + 2 ** -8);
  }

  test("within their bound of what they stand for; zeros stay zeros", () => {
    const property = fc.property(ROW, (drawn) => {
      const x = rowOf(drawn);
      const row = packRow(bench, x, name);
      const back = q.dequantize(row, x.length);
      expect(x.findIndex((value, i) => !(Math.abs(value - back[i]!) <= bound(x, i)))).toBe(-1);
      expect(x.findIndex((value, i) => value === 0 && back[i] !== 0)).toBe(-1);
      expect([...row.embedded]).toEqual([...back]);
      const { numbers, scales } = q.quantizeWeights(x, name);
      expect(row).toEqual({ numbers, scales, embedded: row.embedded });
    });
    fc.assert(property, { numRuns: 300 });
  });

  test("the largest number of either sign, alone and beside its opposite, and the scale", () => {
    const most = q.MOST[name];
    const numbers = (...x: number[]) => {
      const row = packRow(bench, Float32Array.from(x), name);
      return [row.scales[0]!, ...row.numbers.subarray(0, x.length)];
    };
    if (name === "q4") {
      expect(numbers(24, 0)).toEqual([-3, -8, 0]);
      expect(numbers(-24, 0)).toEqual([3, -8, 0]);
      expect(numbers(24, -24, 12)).toEqual([4, 6, -6, 3]);
      expect(numbers(-24, 21, 12)).toEqual([3, -8, 7, 4]);
    } else {
      expect(numbers(3 * most, 0)).toEqual([3, most, 0]);
      expect(numbers(-3 * most, 0)).toEqual([3, -most, 0]);
      expect(numbers(most, -most, 0.5, 1.5, -2.5)).toEqual([1, most, -most, 0, 2, -2]);
    }
  });

  test("blocks below 2^-100 become zeros with the scale 0, one just above does not", () => {
    const x = new Float32Array(128);
    x.fill(-(2 ** -100) * (1 - 2 ** -24), 0, 32);
    x.set([2 ** -149, -(2 ** -126)], 32);
    x.set([2 ** -100 * (1 + 2 ** -23)], 96);
    const { numbers, scales } = packRow(bench, x, name);
    expect([...numbers.subarray(0, 96)].every((number) => number === 0)).toBe(true);
    expect([...scales.subarray(0, 3)]).toEqual([0, 0, 0]);
    expect(Math.abs(numbers[96]! * scales[3]!)).toBeGreaterThan(2 ** -101);
  });
});
