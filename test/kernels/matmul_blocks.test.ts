/** Matmuls by matrices that keep the numbers of ggml's blocks. */
import { describe, expect, test } from "bun:test";
import { Source } from "../../assembly/layout.ts";
import { Matmul, Op } from "../../assembly/op.ts";
import { BLOCK_DTYPES } from "../../src/base/dtype.ts";
import { FORMATS as FORMAT_OF } from "../../src/plan/weights.ts";
import { BLOCKS, type BlockType, type Number32, numbersOf, randomBlocks } from "../reference/ggml.ts";
import { quantizeActivations } from "../reference/quantized.ts";
import { Bench, Dice, packedBytes, SINGLE_BUILDS, TUNINGS, words, worst } from "./harness.ts";

const benches = await Promise.all(SINGLE_BUILDS.map((build) => Bench.open(build)));
const TYPES = Object.keys(BLOCKS) as BlockType[];
const fround = Math.fround;

interface Problem {
  readonly type: BlockType;
  readonly n: number;
  readonly k: number;
  readonly rows: number;
  readonly x: Float32Array;
  readonly blocks: Uint8Array;
  readonly bias?: Float32Array | undefined;
  readonly residual?: Float32Array | undefined;
}

function matmulBy(bench: Bench, problem: Problem, slices: number, tuning: number): Float32Array {
  const { type, n, k, rows, x, blocks, bias, residual } = problem;
  const format = FORMAT_OF[BLOCK_DTYPES[type]!];
  bench.clear();
  bench.rows(rows, tuning);
  const y = bench.output(rows * n);
  const src = bench.take(blocks.length + 16);
  bench.bytes.set(blocks, src);
  const weight = bench.take(packedBytes(n, k, format));
  expect(bench.pack({ dst: weight, src, rows: n, k, source: Source[type], target: format })).toEqual([-1]);
  const fields = {
    ...{ y, x: bench.activations(x, k, format), weight, n, k, format, work: bench.work(slices) },
    ...{ bias: bias ? bench.floats(bias) : 0, residual: residual ? bench.floats(residual) : 0 },
  };
  bench.execute(Op.Matmul, Matmul, fields, { slices });
  bench.checkGuards();
  return bench.read(y, rows * n);
}

/** y[rows, n], the same bits by both builds. */
function matmul(problem: Problem, slices = 1, tuning = 4): Float32Array {
  const [plain, relaxed] = benches.map((bench) => matmulBy(bench, problem, slices, tuning));
  expect(words(relaxed!)).toEqual(words(plain!));
  return plain!;
}

/** In f32 in the documented order of additions, and in f64 with Σ |terms|. */
function reference({ type, n, k, rows, x, blocks, bias, residual }: Problem) {
  const kept = BLOCK_DTYPES[type]!;
  const part = kept === "q6_k" || kept === "q2_k" ? 16 : 32;
  const shifted = kept === "q4_k" || kept === "q5_k" || kept === "q2_k";
  const numbers = numbersOf(blocks, type);
  const ordered = new Float32Array(rows * n);
  const [sums, sizes] = [new Float64Array(rows * n), new Float64Array(rows * n)];
  for (let row = 0; row < rows; row++) {
    const { numbers: xs, scales } = quantizeActivations(x.subarray(row * k, (row + 1) * k));
    for (let column = 0; column < n; column++) {
      const at = row * n + column;
      let acc = 0;
      const term = (value: number) => {
        sums[at]! += value;
        sizes[at]! += Math.abs(value);
      };
      for (let begin = 0; begin < k; begin += part) {
        const { scale, minimum } = numbers[column * k + begin] as Number32;
        const xScale = scales[begin >> 5]!;
        let [sum, total] = [0, 0];
        for (let i = begin; i < begin + part; i++) {
          sum += xs[i]! * numbers[column * k + i]!.q;
          total += xs[i]!;
        }
        acc = fround(acc + fround(sum * fround(xScale * scale)));
        if (shifted) acc = fround(acc - fround(fround(total * xScale) * minimum));
        term(sum * xScale * scale);
        term(-total * xScale * minimum);
      }
      for (const more of [bias?.[column], residual?.[at]]) {
        if (more === undefined) continue;
        acc = fround(acc + more);
        term(more);
      }
      ordered[at] = acc;
    }
  }
  return { ordered, sums, sizes };
}

function draw(dice: Dice, type: BlockType, n: number, across: number, rows: number): Problem {
  const k = across * BLOCKS[type].columns;
  const spread = (count: number) => dice.floats(count).map((value) => value * 2 ** (dice.below(16) - 8));
  return {
    ...{ type, n, k, rows, x: spread(rows * k), blocks: randomBlocks((count) => dice.below(count), n * across, type) },
    bias: dice.below(2) ? spread(n) : undefined,
    residual: dice.below(2) ? spread(rows * n) : undefined,
  };
}

describe.each(TYPES)("%s, both builds", (type) => {
  test("every shape around the tiles, in slices: the documented order of additions bit for bit, near the f64 reference", () => {
    const dice = new Dice(1);
    const wide = BLOCKS[type].columns === 256;
    for (const n of [1, 3, 4, 7, 8, 9, 15, 16, 17, 33]) {
      for (const across of wide ? [1, 2] : [1, 2, 3, 5]) {
        for (const rows of wide ? [1, 2, 4, 5, 9] : [1, 2, 3, 4, 5, 6, 7, 8, 9]) {
          const problem = draw(dice, type, n, across, rows);
          const found = matmul(problem, 1 + dice.below(3), TUNINGS[dice.below(8)]);
          const { ordered, sums, sizes } = reference(problem);
          expect(words(found)).toEqual(words(ordered));
          expect(worst(found, sums, (_, i) => sizes[i]! || 1)).toBeLessThan(2e-6);
        }
      }
    }
  });

  test("the largest numbers everywhere, of every sign: no sum of whole numbers runs over", () => {
    const { columns, bytes, halves } = BLOCKS[type];
    const [n, rows] = [9, 5];
    for (const fill of [0, 0xff, 0x80, 0x7f]) {
      const blocks = new Uint8Array(n * bytes).fill(fill);
      const view = new DataView(blocks.buffer);
      for (let at = 0; at < blocks.length; at += bytes) {
        for (const half of halves) view.setFloat16(at + half, 1, true);
        if (type === "MXFP4") blocks[at] = 128;
      }
      // Signs by pairs of columns, which share a sum of 16 bits.
      for (const signs of [
        [1, 1],
        [-1, -1],
        [1, -1],
        [-1, 1],
      ] as const) {
        const x = Float32Array.from({ length: rows * columns }, (_, i) => 127 * signs[(i >> 1) & 1]!);
        const problem = { type, n, k: columns, rows, x, blocks };
        expect(words(matmul(problem))).toEqual(words(reference(problem).ordered));
      }
    }
  });

  test("every number of streams, and a row alone or among others: the same bits", () => {
    const dice = new Dice(4);
    for (const n of [1, 16, 65, 130]) {
      const problem = draw(dice, type, n, 2, 6);
      const wanted = words(matmul(problem, 1, 1));
      for (const tuning of TUNINGS)
        for (const slices of [1, 3]) expect(words(matmul(problem, slices, tuning))).toEqual(wanted);
      for (let row = 0; row < 6; row++) {
        const x = problem.x.slice(row * problem.k, (row + 1) * problem.k);
        const residual = problem.residual?.slice(row * n, (row + 1) * n);
        const alone = words(matmul({ ...problem, rows: 1, x, residual }, 2, TUNINGS[dice.below(8)]));
        expect(alone).toEqual(wanted.slice(row * n, (row + 1) * n));
      }
    }
  });
});
