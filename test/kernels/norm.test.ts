import { describe, expect, test } from "bun:test";
import { Norm, Op, Span } from "../../assembly/op.ts";
import * as reference from "../reference/math.ts";
import { Bench, bits, Dice, flat, rowsOf, words, worst } from "./harness.ts";

const bench = await Bench.open();
const DIMS = [...Array.from({ length: 20 }, (_, i) => i + 1), 31, 33, 63, 64, 65, 80, 127, 512];
const KINDS = [
  { name: "rmsNorm", op: Op.RmsNorm, biased: false },
  { name: "layerNorm", op: Op.LayerNorm, biased: false },
  { name: "layerNorm with bias", op: Op.LayerNorm, biased: true },
];

function norm(op: Op, x: Float32Array, weight: Float32Array, bias: Float32Array | undefined, eps: number) {
  const dim = weight.length;
  bench.clear();
  bench.rows(x.length / dim);
  const y = bench.output(x.length);
  const words = { y, x: bench.floats(x), weight: bench.floats(weight), bias: bias ? bench.floats(bias) : 0 };
  bench.execute(op, Norm, { ...words, dim, eps: bits(eps), groups: 1 }, { slices: 2 });
  bench.checkGuards();
  return bench.read(y, x.length);
}

function wanted(op: Op, x: Float32Array, weight: Float32Array, bias: Float32Array | undefined, eps: number) {
  const rows = rowsOf(x, weight.length);
  const w = Float64Array.from(weight);
  if (op === Op.RmsNorm) return flat(reference.rmsNorm(rows, w, eps));
  return flat(reference.layerNorm(rows, w, bias ? Float64Array.from(bias) : null, eps));
}

describe.each(KINDS)("$name", ({ op, biased }) => {
  test("every dimension, 1 to 5 rows, tiny to large numbers: within 1e-6 · (1 + |y|) of the f64 reference", () => {
    const dice = new Dice(1);
    let largest = 0;
    for (const dim of DIMS) {
      for (const [scale, eps] of [
        [1, 1e-5],
        [1e-3, 1e-6],
        [1e4, 1e-5],
        [1e-12, 1e-5],
      ] as const) {
        const x = dice.floats(dim * (1 + (dim % 5)), scale);
        const weight = dice.floats(dim, 2);
        const bias = biased ? dice.floats(dim, 2) : undefined;
        const off = worst(norm(op, x, weight, bias, eps), wanted(op, x, weight, bias, eps), (y) => 1 + Math.abs(y));
        largest = Math.max(largest, off);
      }
    }
    expect(largest).toBeLessThan(1e-6);
  });

  test("eps decides where the numbers are smaller than it: 1e-6 relative", () => {
    const x = new Dice(2).floats(4 * 12, 1e-4);
    const weight = new Float32Array(12).fill(1);
    for (const eps of [1e-8, 1e-5, 0.5]) {
      const size = Math.max(...wanted(op, x, weight, undefined, eps).map(Math.abs));
      expect(
        worst(norm(op, x, weight, undefined, eps), wanted(op, x, weight, undefined, eps), () => size),
      ).toBeLessThan(1e-6);
    }
  });

  test("a row does not depend on the others, and y may be x", () => {
    const dice = new Dice(3);
    const x = dice.floats(5 * 18);
    const weight = dice.floats(18);
    const all = norm(op, x, weight, undefined, 1e-5);
    for (let row = 0; row < 5; row++) {
      const one = norm(op, x.slice(row * 18, (row + 1) * 18), weight, undefined, 1e-5);
      expect(words(all.slice(row * 18, (row + 1) * 18))).toEqual(words(one));
    }
    bench.clear();
    bench.rows(5);
    const y = bench.floats(x);
    bench.execute(op, Norm, { y, x: y, weight: bench.floats(weight), dim: 18, eps: bits(1e-5), groups: 1 });
    expect(words(bench.read(y, x.length))).toEqual(words(all));
  });
});

test("rmsNorm of heads is that of each head by itself; a residual is added, and may be y", () => {
  const dice = new Dice(5);
  for (const dim of [1, 3, 4, 6, 31, 64]) {
    for (const groups of [1, 2, 5]) {
      const [rows, width] = [3, dim * groups];
      const [x, residual, weight] = [dice.floats(rows * width, 3), dice.floats(rows * width, 3), dice.floats(dim, 2)];
      const heads = norm(Op.RmsNorm, x, weight, undefined, 1e-6);
      bench.clear();
      bench.rows(rows);
      const y = bench.floats(residual);
      const words = { y, x: bench.floats(x), weight: bench.floats(weight), dim, eps: bits(1e-6), groups, residual: y };
      bench.execute(Op.RmsNorm, Norm, words, { slices: 2 });
      bench.checkGuards();
      expect([...bench.read(y, rows * width)]).toEqual([...heads.map((value, i) => value + residual[i]!)]);
    }
  }
});

test("layerNorm of numbers far from 0 (1000 ± 1, dim 1 to 130): within 1e-4, the mean's own rounding", () => {
  const dice = new Dice(4);
  for (const dim of [2, 3, 5, 8, 63, 64, 130]) {
    const x = dice.floats(dim * 2).map((value) => 1000 + value);
    const weight = new Float32Array(dim).fill(1);
    const size = Math.sqrt(dim);
    const off = worst(
      norm(Op.LayerNorm, x, weight, undefined, 1e-5),
      wanted(Op.LayerNorm, x, weight, undefined, 1e-5),
      () => size,
    );
    expect(off).toBeLessThan(1e-4);
  }
});

test("Span.Logits: only as many rows as want logits", () => {
  bench.clear();
  bench.step([{}, {}, {}], [2]);
  const y = bench.output(2);
  const words = { y, x: bench.floats([3, -5]), weight: bench.floats([2]), dim: 1, eps: 0, groups: 1 };
  bench.execute(Op.RmsNorm, Norm, words, { span: Span.Logits });
  expect([...bench.read(y, 2)]).toEqual([2, NaN]);
});
