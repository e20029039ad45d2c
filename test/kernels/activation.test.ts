/** Activations, and through them the elementary functions: e^x and erf against Math and the reference, in f64. */
import { describe, expect, test } from "bun:test";
import { Elementwise, Op } from "../../assembly/op.ts";
import { erf, gelu, geluNew, silu } from "../reference/math.ts";
import { Bench, bits, Dice, worst } from "./harness.ts";

const bench = await Bench.open();

/** Exact in f32. */
const FACTOR = 1.75;

/** y of one row, with poison right behind every input. */
function elementwise(op: Op, a: Float32Array, b?: Float32Array, factor = 0): Float32Array {
  bench.clear();
  bench.rows(1);
  const n = a.length;
  const y = bench.output(n);
  const first = bench.floats(a);
  bench.execute(op, Elementwise, { y, a: first, b: b ? bench.floats(b) : first, n, factor: bits(factor) });
  bench.checkGuards();
  return bench.read(y, n);
}

/** `count` numbers from `from` to `to`, evenly. */
function range(from: number, to: number, count = 400_001): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => from + ((to - from) * i) / (count - 1));
}

/** Both signs of every magnitude: `perOctave` numbers in each from 2^from to 2^to. */
function octaves(from: number, to: number, perOctave = 500): Float32Array {
  const count = (to - from) * perOctave;
  const sizes = Array.from({ length: count }, (_, i) => 2 ** (from + i / perOctave));
  return Float32Array.from([...sizes, ...sizes.map((size) => -size), 0, -0]);
}

/** silu(x) as x / (1 + e^−x), the relative error of which is that of e^−x where x is far below 0. */
const ones = (x: Float32Array) => new Float32Array(x.length).fill(1);
const siluOf = (x: Float32Array) => elementwise(Op.SiluMul, x, ones(x));

describe("e^x", () => {
  test("silu on [−87, 88], 400,001 numbers: relative error below 3e-7", () => {
    const x = range(-87, 88);
    expect(worst(siluOf(x), Float64Array.from(x, silu), Math.abs)).toBeLessThan(3e-7);
  });

  // e^88.37, where e^x ends, is 2.4e38 = 1 / 4.2e-39.
  test("silu at every magnitude from 2^-149 to 2^126: within 3e-7 · |silu| + 4.3e-39 · |x| + 2^-149", () => {
    const x = octaves(-149, 126);
    const wanted = Float64Array.from(x, (value) => (value < -700 ? 0 : silu(value)));
    const unit = (y: number, i: number) => 3e-7 * Math.abs(y) + 4.3e-39 * Math.abs(x[i]!) + 2 ** -149;
    expect(worst(siluOf(x), wanted, unit)).toBeLessThan(1);
  });

  test("silu around ±87.33, ±88.37 and ±88.72: within 3e-7 · |silu| + 4.3e-39 · |x|; NaN and infinity stay", () => {
    const near = [87.33, 88.37, 88.72].flatMap((bound) => [...range(bound - 0.01, bound + 0.01, 1001)]);
    const x = Float32Array.from([...near, ...near.map((value) => -value)]);
    const unit = (y: number, i: number) => 3e-7 * Math.abs(y) + 4.3e-39 * Math.abs(x[i]!);
    expect(worst(siluOf(x), Float64Array.from(x, silu), unit)).toBeLessThan(1);
    expect([...siluOf(Float32Array.of(3e38, Infinity, NaN, 0, -0))]).toEqual([Math.fround(3e38), Infinity, NaN, 0, -0]);
  });
});

describe("erf", () => {
  test("gelu on [−6, 6], 400,001 numbers: within 3e-7 · |x| of the f64 reference", () => {
    const x = range(-6, 6);
    const wanted = Float64Array.from(x, gelu);
    expect(worst(elementwise(Op.Gelu, x), wanted, (_, i) => 3e-7 * Math.abs(x[i]!) + 1e-45)).toBeLessThan(1);
  });

  test("from |x| = 6 to 2^126 gelu is x or 0, within 1e-8 · |x|", () => {
    const x = octaves(3, 126);
    expect(
      worst(
        elementwise(Op.Gelu, x),
        x.map((value) => Math.max(0, value)),
        (_, i) => 1e-8 * Math.abs(x[i]!),
      ),
    ).toBeLessThan(1);
  });

  test("below |x| = 2^-3: 2e-7 relative, down to 2^-120", () => {
    const x = octaves(-120, -3).filter((value) => value !== 0);
    const wanted = Float64Array.from(x, (value) => 0.5 * value * (1 + erf(value / Math.SQRT2)));
    expect(worst(elementwise(Op.Gelu, x), wanted, Math.abs)).toBeLessThan(2e-7);
  });
});

describe("geluTanh", () => {
  test("on [−12, 12], 400,001 numbers: within 4e-7 · |x| of the f64 reference", () => {
    const x = range(-12, 12);
    const wanted = Float64Array.from(x, geluNew);
    expect(worst(elementwise(Op.GeluTanh, x), wanted, (_, i) => 4e-7 * Math.abs(x[i]!) + 1e-45)).toBeLessThan(1);
  });

  test("loses nothing to cancellation: 3e-6 relative on [−5, 12] of x / (1 + e^−2u)", () => {
    const x = range(-5, 12).filter((value) => value !== 0);
    const wanted = Float64Array.from(x, (value) => {
      const u = Math.sqrt(2 / Math.PI) * (value + 0.044715 * value ** 3);
      return value / (1 + Math.exp(-2 * u));
    });
    expect(worst(elementwise(Op.GeluTanh, x), wanted, Math.abs)).toBeLessThan(3e-6);
  });

  test("at every magnitude to 2^126: x or 0, within 1e-7 · |x|", () => {
    const x = octaves(4, 126);
    const wanted = x.map((value) => Math.max(0, value));
    expect(worst(elementwise(Op.GeluTanh, x), wanted, (_, i) => 1e-7 * Math.abs(x[i]!))).toBeLessThan(1);
  });
});

describe("tanh", () => {
  const soft = (x: Float32Array, cap: number) => elementwise(Op.SoftCap, x, undefined, cap);

  test("on [−10, 10], 400,001 numbers: relative error below 5e-7", () => {
    const x = range(-10, 10).filter((value) => value !== 0);
    expect(worst(soft(x, 1), Float64Array.from(x, Math.tanh), Math.abs)).toBeLessThan(5e-7);
  });

  test("at every magnitude to 2^126: 5e-7 relative, and cap · 2^-142; caps of 1, 30 and 50; NaN stays", () => {
    const x = octaves(-149, 126);
    for (const cap of [1, 30, 50]) {
      const wanted = Float64Array.from(x, (value) => cap * Math.tanh(value / cap));
      expect(worst(soft(x, cap), wanted, (y) => 5e-7 * Math.abs(y) + cap * 2 ** -142)).toBeLessThan(1);
    }
    expect([...soft(Float32Array.of(NaN, Infinity, -Infinity, 0, -0), 30)].map(Math.round)).toEqual([
      NaN,
      30,
      -30,
      0,
      -0,
    ]);
  });
});

describe("every length from 1 to 35, 1 to 5 rows, in slices", () => {
  const ops = [
    { name: "siluMul", op: Op.SiluMul, f: (a: number, b: number) => silu(a) * b },
    { name: "gelu", op: Op.Gelu, f: gelu },
    { name: "geluTanh", op: Op.GeluTanh, f: geluNew },
    { name: "geluTanhMul", op: Op.GeluTanhMul, f: (a: number, b: number) => geluNew(a) * b },
    { name: "scale", op: Op.Scale, f: (a: number) => a * FACTOR },
    { name: "softCap", op: Op.SoftCap, f: (a: number) => FACTOR * Math.tanh(a / FACTOR) },
  ];
  test.each(ops)("$name within 6e-7 · (1 + |y|)", ({ op, f }) => {
    const dice = new Dice(6);
    for (let n = 1; n <= 35; n++) {
      bench.clear();
      const rows = 1 + (n % 5);
      bench.rows(rows);
      const [a, b] = [dice.floats(rows * n, 4), dice.floats(rows * n, 4)];
      const y = bench.output(rows * n);
      const words = { y, a: bench.floats(a), b: bench.floats(b), n, factor: bits(FACTOR) };
      bench.execute(op, Elementwise, words, { slices: 1 + (n % 3) });
      bench.checkGuards();
      const wanted = Float64Array.from(a, (value, i) => f(value, b[i]!));
      const off = worst(bench.read(y, rows * n), wanted, (value) => 1 + Math.abs(value));
      expect(off).toBeLessThan(6e-7);
    }
  });

  test.each(ops)(
    "$name: every output is written by one slice, and by one only, with the bits of one slice",
    ({ op }) => {
      const [rows, n] = [3, 7];
      const [a, b] = [new Dice(1).floats(rows * n), new Dice(2).floats(rows * n)];
      const run = (slices: number, only: number) => {
        bench.clear();
        bench.rows(rows);
        const y = bench.output(rows * n);
        const words = { y, a: bench.floats(a), b: bench.floats(b), n, factor: bits(FACTOR) };
        bench.execute(op, Elementwise, words, { slices, only });
        bench.checkGuards();
        return bench.read(y, rows * n);
      };
      const wanted = run(1, 0);
      for (const slices of [1, 2, 3, 5, 6, 12]) {
        const written: (number | undefined)[] = new Array(rows * n).fill(undefined);
        for (let only = 0; only < slices; only++) {
          for (const [i, y] of run(slices, only).entries()) {
            if (Number.isNaN(y)) continue;
            expect(written[i]).toBeUndefined();
            written[i] = y;
          }
        }
        expect(written).toEqual([...wanted]);
      }
    },
  );

  test("clip, exact; NaN stays", () => {
    const dice = new Dice(8);
    for (let dim = 1; dim <= 35; dim++) {
      bench.clear();
      const rows = 1 + (dim % 5);
      bench.rows(rows);
      const bound = Math.fround(0.1 * (1 + (dim % 9)));
      const values = dice.floats(rows * dim);
      if (dim > 3) values.set([NaN, Infinity, -Infinity], dim - 3);
      const y = bench.floats(values);
      bench.execute(Op.Clip, Elementwise, { y, a: y, n: dim, factor: bits(bound) }, { slices: 1 + (dim % 3) });
      bench.checkGuards();
      const wanted = values.map((value) => Math.max(-bound, Math.min(bound, value)));
      expect([...bench.read(y, rows * dim)]).toEqual([...wanted]);
    }
  });
});
