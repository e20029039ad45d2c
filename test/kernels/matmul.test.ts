import { beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Format, Matmul, Op, Rows } from "../../assembly/op.ts";
import { linear } from "../reference/math.ts";
import { Bench, Dice, flat, rowsOf, SINGLE_BUILDS, words, worst } from "./harness.ts";

let bench = await Bench.open();
const FORMATS = [
  { name: "f32", op: Op.MatmulF32, format: Format.F32 },
  { name: "bf16", op: Op.MatmulBf16, format: Format.Bf16 },
  { name: "f16", op: Op.MatmulF16, format: Format.F16 },
] as const;
const fround = Math.fround;

interface Case {
  readonly n: number;
  readonly k: number;
  readonly rows: number;
  readonly x: Float32Array;
  readonly weight: Float32Array;
  readonly bias: Float32Array | undefined;
}

/** y[rows, n] of the kernel; nothing but y was written. */
function matmul(
  { n, k, rows, x, weight, bias }: Case,
  { op, format }: (typeof FORMATS)[number],
  slices = 1,
  only = -1,
): Float32Array {
  bench.clear();
  bench.rows(rows);
  const y = bench.output(rows * n);
  const words = { y, x: bench.floats(x), weight: bench.matrix(weight, n, k, format), n, k };
  bench.execute(op, Matmul, { ...words, bias: bias ? bench.floats(bias) : 0 }, { slices, only });
  bench.checkGuards();
  return bench.read(y, rows * n);
}

function reference({ k, x, weight, bias }: Case): Float64Array {
  return flat(linear(rowsOf(x, k), Float64Array.from(weight), bias ? Float64Array.from(bias) : null));
}

const CASES = SINGLE_BUILDS.flatMap((build) => FORMATS.map((format) => ({ build, ...format })));

describe.each(CASES)("$build, $name", ({ build, ...format }) => {
  beforeAll(async () => {
    bench = await Bench.open(build);
  });

  test("whole numbers, every n and k around the tiles, 1 to 5 rows, with bias and without: exact", () => {
    const dice = new Dice(1);
    const wrong: string[] = [];
    for (const n of [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 33]) {
      for (const k of [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 15, 16, 17, 31, 32, 33]) {
        for (let rows = 1; rows <= 5; rows++) {
          const bias = (n + k + rows) & 1 ? dice.whole(n, 99) : undefined;
          const problem = { n, k, rows, x: dice.whole(rows * k, 60), weight: dice.whole(n * k, 60), bias };
          const found = matmul(problem, format);
          if (worst(found, reference(problem), () => 1) > 0) wrong.push(`[${rows},${k}] · [${n},${k}]ᵀ ${!!bias}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  test("numbers of any size within 2e-6 · (Σ|x·w| + |bias|) of the f64 reference", () => {
    const shape = { n: fc.integer({ min: 1, max: 70 }), k: fc.integer({ min: 1, max: 300 }) };
    const more = { rows: fc.integer({ min: 1, max: 6 }), biased: fc.boolean(), seed: fc.nat() };
    fc.assert(
      fc.property(fc.record({ ...shape, ...more }), ({ n, k, rows, biased, seed }) => {
        const dice = new Dice(seed);
        const spread = (count: number) => dice.floats(count).map((value) => value * 2 ** (dice.below(16) - 8));
        const weight = rounded(spread(n * k), format.format);
        const problem = { n, k, rows, x: spread(rows * k), weight, bias: biased ? spread(n) : undefined };
        const sizes = reference({
          ...problem,
          x: problem.x.map(Math.abs),
          weight: weight.map(Math.abs),
          bias: problem.bias?.map(Math.abs),
        });
        expect(worst(matmul(problem, format), reference(problem), (_, i) => sizes[i]!)).toBeLessThan(2e-6);
      }),
      { numRuns: 60 },
    );
  });

  test("adds in the order that the kernel documents, whatever the company: bit for bit", () => {
    const dice = new Dice(7);
    for (const [n, k] of [
      [5, 1],
      [3, 9],
      [7, 30],
      [4, 64],
      [2, 133],
    ] as const) {
      const weight = rounded(dice.floats(n * k), format.format);
      const bias = dice.floats(n);
      for (const rows of [1, 2, 3, 5]) {
        const x = dice.floats(rows * k);
        const wanted = Float32Array.from({ length: rows * n }, (_, i) => {
          const [row, column] = [Math.floor(i / n), i % n];
          const terms = (at: number) => fround(weight[column * k + at]! * x[row * k + at]!);
          return fround(ordered(k, terms, format.format) + bias[column]!);
        });
        for (const slices of [1, 3]) {
          expect(words(matmul({ n, k, rows, x, weight, bias }, format, slices))).toEqual(words(wanted));
        }
      }
    }
  });
});

test("every output is written by one slice, and by one only", () => {
  const dice = new Dice(2);
  for (const n of [1, 4, 5, 13, 33]) {
    const problem = { n, k: 3, rows: 2, x: dice.floats(6), weight: dice.floats(3 * n), bias: undefined };
    for (const slices of [1, 2, 3, 5, 12]) {
      const writers = new Int32Array(2 * n);
      for (let only = 0; only < slices; only++) {
        for (const [i, y] of matmul(problem, FORMATS[0], slices, only).entries()) if (!Number.isNaN(y)) writers[i]!++;
      }
      expect(writers).toEqual(new Int32Array(2 * n).fill(1));
    }
  }
});

test("Rows.Logits: only as many rows as want logits", () => {
  bench.clear();
  bench.step([{}, {}, {}, {}], [1, 3]);
  const y = bench.output(4 * 2);
  const words = { y, x: bench.floats([1, 2, 3, 4]), weight: bench.matrix([1, 10], 2, 1, Format.F32), n: 2, k: 1 };
  bench.execute(Op.MatmulF32, Matmul, words, { rows: Rows.Logits });
  expect([...bench.read(y, 8)]).toEqual([1, 10, 2, 20, NaN, NaN, NaN, NaN]);
});

/** The lanes add every fourth term (f32), or every eighth and its neighbour; then (l0 + l1) + (l2 + l3). */
function ordered(k: number, term: (at: number) => number, format: Format): number {
  const lanes = [0, 0, 0, 0];
  for (let at = 0; at < k; at++) {
    const lane = format === Format.F32 ? at & 3 : (at >> 1) & 3;
    lanes[lane] = fround(lanes[lane]! + term(at));
  }
  return fround(fround(lanes[0]! + lanes[1]!) + fround(lanes[2]! + lanes[3]!));
}

/** Numbers that the format holds exactly. */
function rounded(values: Float32Array, format: Format): Float32Array {
  if (format === Format.F16) return Float32Array.from(Float16Array.from(values));
  if (format === Format.F32) return values;
  const words = new Uint32Array(values.buffer);
  return new Float32Array(words.map((word) => word & 0xffff0000).buffer);
}
