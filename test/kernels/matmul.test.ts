import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Matmul, Op, Span } from "../../assembly/op.ts";
import * as q from "../reference/quantized.ts";
import * as harness from "./harness.ts";
import { Bench, Dice, FORMAT_NAMES, FORMATS, words, worst } from "./harness.ts";

const benches = await Promise.all(harness.SINGLE_BUILDS.map((build) => Bench.open(build)));
const fround = Math.fround;
type Name = keyof typeof FORMATS;

interface Problem {
  readonly n: number;
  readonly k: number;
  readonly rows: number;
  readonly x: Float32Array;
  /** Numbers that a float format holds exactly. */
  readonly weight: Float32Array;
  readonly bias: Float32Array | undefined;
  readonly residual: Float32Array | undefined;
}

interface How {
  readonly slices?: number;
  readonly only?: number;
  readonly tuning?: number;
  /** The residual is y. */
  readonly inPlace?: boolean;
}

/** y[rows, n] of one build's kernel; nothing but y was written. */
function matmulBy(bench: Bench, problem: Problem, name: Name, how: How): Float32Array {
  const { n, k, rows, x, weight, bias, residual } = problem;
  const { slices = 1, only = -1, tuning = 4, inPlace = false } = how;
  const format = FORMATS[name];
  bench.clear();
  bench.rows(rows, tuning);
  const y = residual && inPlace ? bench.floats(residual) : bench.output(rows * n);
  const fields = {
    ...{ y, x: bench.activations(x, k, format), weight: bench.matrix(weight, n, k, format), n, k, format },
    bias: bias ? bench.floats(bias) : 0,
    residual: residual ? (inPlace ? y : bench.floats(residual)) : 0,
    work: bench.work(slices),
  };
  bench.execute(Op.Matmul, Matmul, fields, { slices, only });
  bench.checkGuards();
  return bench.read(y, rows * n);
}

/** y[rows, n], the same bits by both builds. */
function matmul(problem: Problem, name: Name, how: How = {}): Float32Array {
  const [plain, relaxed] = benches.map((bench) => matmulBy(bench, problem, name, how)) as [Float32Array, Float32Array];
  if (!same(plain, relaxed)) throw new Error(`the builds differ: ${plain} and ${relaxed}`);
  return plain;
}

function same(a: Float32Array, b: Float32Array): boolean {
  return Buffer.compare(new Uint8Array(a.buffer), new Uint8Array(b.buffer)) === 0;
}

interface Wanted {
  /** In f64. */
  readonly sums: Float64Array;
  /** Σ |terms| of each sum. */
  readonly sizes: Float64Array;
  /** In f32, in the order of additions that the kernels document. */
  readonly ordered: Float32Array;
}

/** What y must be; the terms are products of numbers, or of whole blocks' integers and scales. */
function reference({ n, k, rows, x, weight, bias, residual }: Problem, name: Name): Wanted {
  const count = rows * n;
  const wanted = { sums: new Float64Array(count), sizes: new Float64Array(count), ordered: new Float32Array(count) };
  const rowsOf = (values: Float32Array, number: number) =>
    Array.from({ length: number }, (_, i) => values.subarray(i * k, (i + 1) * k));
  const isFloat = name in harness.STORED;
  const quantizedX = isFloat ? [] : rowsOf(x, rows).map((row) => q.quantizeActivations(row));
  const quantizedW = isFloat ? [] : rowsOf(weight, n).map((row) => q.quantizeWeights(row, name as q.QuantizedFormat));
  for (let i = 0; i < count; i++) {
    const [row, column] = [Math.floor(i / n), i % n];
    const terms = isFloat
      ? floatTerms(x.subarray(row * k, (row + 1) * k), weight.subarray(column * k, (column + 1) * k))
      : quantizedTerms(quantizedX[row]!, quantizedW[column]!);
    const added = [bias?.[column] ?? 0, residual?.[i] ?? 0] as const;
    for (const term of [...terms.exact, ...added]) {
      wanted.sums[i]! += term;
      wanted.sizes[i]! += Math.abs(term);
    }
    let ordered = terms.ordered;
    if (bias) ordered = fround(ordered + added[0]);
    if (residual) ordered = fround(ordered + added[1]);
    wanted.ordered[i] = ordered;
  }
  return wanted;
}

/** Lane l adds every fourth term from l on; then (l0 + l1) + (l2 + l3). */
function floatTerms(x: Float32Array, weight: Float32Array) {
  const exact = Float64Array.from(x, (value, at) => value * weight[at]!);
  const lanes = [0, 0, 0, 0];
  for (const [at, term] of exact.entries()) lanes[at & 3] = fround(lanes[at & 3]! + fround(term));
  return { exact, ordered: fround(fround(lanes[0]! + lanes[1]!) + fround(lanes[2]! + lanes[3]!)) };
}

/** Blocks one after the other, each a whole number times both its scales. */
function quantizedTerms(x: q.QuantizedRow, w: q.QuantizedRow) {
  const sums = q.blockSums(x, w);
  const ordered = sums.reduce((acc, sum, i) => fround(acc + fround(sum * fround(x.scales[i]! * w.scales[i]!))), 0);
  return { exact: sums.map((sum, i) => sum * x.scales[i]! * w.scales[i]!), ordered };
}

/** Numbers of a few sizes; weights are exact in the float formats. */
function draw(dice: Dice, n: number, k: number, rows: number, name: Name): Problem {
  const spread = (count: number) => dice.floats(count).map((value) => value * 2 ** (dice.below(16) - 8));
  const weight = rounded(spread(n * k), name);
  const bias = dice.below(2) ? spread(n) : undefined;
  return { n, k, rows, x: spread(rows * k), weight, bias, residual: dice.below(3) ? spread(rows * n) : undefined };
}

/** Whole numbers of which every block has the largest, so that quantising changes none and every sum is exact. */
function drawWhole(dice: Dice, n: number, k: number, rows: number, name: Name): Problem {
  const most = name in harness.STORED ? 60 : q.MOST[name as q.QuantizedFormat];
  const whole = (count: number, largest: number) => {
    const values = dice.whole(count * k, largest);
    for (let i = 0; i < values.length; i++) {
      // q4 has numbers to 7 of the sign that its block's largest number has not.
      if (largest === 8 && Math.abs(values[i]!) === 8) values[i] = 7;
      if ((i % k) % 32 === 0) values[i] = dice.below(2) ? largest : -largest;
    }
    return values;
  };
  const bias = dice.below(2) ? dice.whole(n, 999) : undefined;
  const residual = dice.below(3) ? dice.whole(rows * n, 999) : undefined;
  return { n, k, rows, x: whole(rows, 127), weight: whole(n, most), bias, residual };
}

/** Numbers that the format holds exactly, where it is a float format. */
function rounded(values: Float32Array, name: Name): Float32Array {
  if (name === "f16") return Float32Array.from(Float16Array.from(values));
  if (name !== "bf16") return values;
  return new Float32Array(new Uint32Array(values.buffer).map((word) => word & 0xffff0000).buffer);
}

/** Every n, k and number of rows around the tiles, in 1, 2 and 3 slices; what is wrong. */
function sweep(name: Name, make: typeof draw, isWrong: (found: Float32Array, wanted: Wanted) => boolean): string[] {
  const dice = new Dice(1);
  const wrong: string[] = [];
  for (const n of [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33]) {
    for (const k of [1, 3, 4, 31, 32, 33, 63, 64, 65, 100]) {
      for (let rows = 1; rows <= 9; rows++) {
        const problem = make(dice, n, k, rows, name);
        const wanted = reference(problem, name);
        for (const slices of [1, 2, 3]) {
          const how = { slices, tuning: harness.TUNINGS[dice.below(8)]!, inPlace: dice.below(2) > 0 };
          if (isWrong(matmul(problem, name, how), wanted)) {
            const { bias, residual } = problem;
            wrong.push(
              `[${rows},${k}] · [${n},${k}]ᵀ ${JSON.stringify({ ...how, bias: !!bias, residual: !!residual })}`,
            );
          }
        }
      }
    }
  }
  return wrong;
}

describe.each(FORMAT_NAMES)("%s, both builds", (name) => {
  test("whole numbers, every shape around the tiles, in slices, with bias and residual and without: exact", () => {
    expect(sweep(name, drawWhole, (found, { sums }) => worst(found, sums, () => 1) > 0)).toEqual([]);
  });

  test("numbers of any size, every shape around the tiles: the documented order of additions, bit for bit", () => {
    expect(sweep(name, draw, (found, { ordered }) => !same(found, ordered))).toEqual([]);
  });

  test("numbers of any size within 2e-6 · Σ|terms| of the f64 reference", () => {
    const shape = { n: fc.integer({ min: 1, max: 70 }), k: fc.integer({ min: 1, max: 300 }) };
    const more = { rows: fc.integer({ min: 1, max: 9 }), slices: fc.integer({ min: 1, max: 7 }), seed: fc.nat() };
    fc.assert(
      fc.property(fc.record({ ...shape, ...more }), ({ n, k, rows, slices, seed }) => {
        const problem = draw(new Dice(seed), n, k, rows, name);
        const { sums, sizes } = reference(problem, name);
        const found = matmul(problem, name, { slices, tuning: harness.TUNINGS[seed % 8]! });
        expect(worst(found, sums, (_, i) => sizes[i]! || 1)).toBeLessThan(2e-6);
      }),
      { numRuns: 60 },
    );
  });

  test("the largest numbers everywhere, of either sign: no sum of whole numbers runs over", () => {
    const [n, k, rows] = [17, 96, 5];
    const most = name in harness.STORED ? 127 : q.MOST[name as q.QuantizedFormat];
    for (const [signX, signW] of [
      [1, 1],
      [1, -1],
      [-1, 1],
      [-1, -1],
    ] as const) {
      const x = new Float32Array(rows * k).fill(127 * signX);
      const weight = new Float32Array(n * k).fill(most * signW);
      // Stored as 15 in all places but one, which decides the sign.
      if (name === "q4") for (let i = 0; i < n * k; i++) if (i % 32) weight[i] = -7 * signW;
      const problem = { n, k, rows, x, weight, bias: undefined, residual: undefined };
      expect(worst(matmul(problem, name), reference(problem, name).sums, () => 1)).toBe(0);
    }
  });

  test("every number of streams, products by fours or by pairs: the same bits", () => {
    const dice = new Dice(4);
    for (const n of [1, 16, 65, 150]) {
      for (const rows of [1, 2, 4, 6]) {
        const problem = draw(dice, n, 130, rows, name);
        const wanted = words(matmul(problem, name, { tuning: 1 }));
        for (const tuning of harness.TUNINGS) {
          for (const slices of [1, 3]) expect(words(matmul(problem, name, { tuning, slices }))).toEqual(wanted);
        }
      }
    }
  });

  test("a row alone has the bits that it has among 2 to 9 rows", () => {
    const dice = new Dice(7);
    for (const [n, k] of [
      [5, 1],
      [3, 9],
      [17, 30],
      [33, 64],
      [20, 133],
    ] as const) {
      for (let rows = 2; rows <= 9; rows++) {
        const problem = draw(dice, n, k, rows, name);
        const together = matmul(problem, name);
        for (let row = 0; row < rows; row++) {
          const x = problem.x.slice(row * k, (row + 1) * k);
          const residual = problem.residual?.slice(row * n, (row + 1) * n);
          const alone = matmul({ ...problem, rows: 1, x, residual }, name);
          expect(same(alone, together.slice(row * n, (row + 1) * n))).toBe(true);
        }
      }
    }
  });

  test("every output is written by one slice, and by one only", () => {
    const dice = new Dice(2);
    for (const n of [1, 4, 5, 13, 33, 70]) {
      for (const rows of [2, 5]) {
        const problem = { ...drawWhole(dice, n, 3, rows, name), residual: undefined };
        for (const slices of [1, 2, 3, 5, 12]) {
          const writers = new Int32Array(rows * n);
          for (let only = 0; only < slices; only++) {
            for (const [i, y] of matmul(problem, name, { slices, only }).entries()) if (!Number.isNaN(y)) writers[i]!++;
          }
          expect(writers).toEqual(new Int32Array(rows * n).fill(1));
        }
      }
    }
  });

  test("Span.Logits: only as many rows as want logits", () => {
    const bench = benches[0]!;
    const format = FORMATS[name];
    // Scales are whole numbers.
    const most = name in harness.STORED ? 1 : q.MOST[name as q.QuantizedFormat];
    bench.clear();
    bench.step([{}, {}, {}, {}], [1, 3]);
    const y = bench.output(4 * 2);
    const x = bench.activations(Float32Array.of(127, 254, 381, 508), 1, format);
    const fields = { y, x, weight: bench.matrix([most, 2 * most], 2, 1, format), n: 2, k: 1, format };
    bench.execute(Op.Matmul, Matmul, { ...fields, work: bench.work() }, { span: Span.Logits });
    const wanted = [127, 254, 254, 508].map((value) => value * most);
    expect([...bench.read(y, 8)]).toEqual([...wanted, NaN, NaN, NaN, NaN]);
  });
});
