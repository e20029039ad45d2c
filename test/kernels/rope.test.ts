import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Op } from "../../assembly/op.ts";
import { Angles, Clamp, Rope, Temper } from "../../assembly/op_positions.ts";
import { turns } from "../../src/models/positions.ts";
import * as reference from "../reference/math.ts";
import { Bench, bits, Dice, words, worst } from "./harness.ts";

const bench = await Bench.open();
const TURN = 2 ** 64;
const FAR = 2n ** 53n - 1n;

/** The record Angles of these positions: [positions][own, fixed][cos, sin][pairs]. */
function angles(
  positions: readonly bigint[],
  turnsPerPosition: readonly bigint[],
  { clamp = Clamp.None, limit = 0, origin = 0n, slices = 1, factors = [1, 1] as readonly number[] } = {},
): Float32Array {
  bench.clear();
  bench.step(positions.map((position) => ({ position, origin })));
  const pairs = turnsPerPosition.length;
  const count = 4 * pairs * positions.length;
  const out = bench.output(count);
  const address = bench.take(8 * pairs);
  for (const [i, value] of turnsPerPosition.entries()) bench.view.setBigUint64(address + 8 * i, value, true);
  const [factor = 1, fixedFactor = 1] = factors.map(bits);
  bench.execute(Op.Angles, Angles, { out, turns: address, pairs, clamp, limit, factor, fixedFactor }, { slices });
  bench.checkGuards();
  return bench.read(out, count);
}

/** cos and sin of an exact angle mod 2^64, in f64: the nearest quarter turn is taken away before anything is rounded. */
function exact(angle: bigint): [cos: number, sin: number] {
  const turn = BigInt.asUintN(64, angle);
  const quadrant = Number(((turn + (1n << 61n)) >> 62n) & 3n);
  const rest = (2 * Math.PI * Number(BigInt.asIntN(64, turn - (BigInt(quadrant) << 62n)))) / TURN;
  const [c, s] = [Math.cos(rest), Math.sin(rest)];
  return [
    [c, s],
    [-s, c],
    [-c, -s],
    [s, -c],
  ][quadrant] as [number, number];
}

/** A unit in the last place of the f32 nearest to the value. */
function ulp(value: number): number {
  return 2 ** (Math.max(-126, Math.floor(Math.log2(Math.abs(value)))) - 23);
}

function exactAngles(positions: readonly bigint[], turnsPerPosition: readonly bigint[]): number[] {
  return positions.flatMap((position) => {
    const all = turnsPerPosition.map((turn) => exact(position * turn));
    return [...all.map(([cos]) => cos), ...all.map(([, sin]) => sin)];
  });
}

describe("angles", () => {
  test("all round the turn, 200,000 angles and those next to every eighth: within 0.5001 ulp", () => {
    const dice = new Dice(1);
    const eighths = Array.from({ length: 8 }, (_, i) => BigInt(i) << 61n);
    const near = eighths.flatMap((angle) =>
      [-3n, -2n, -1n, 0n, 1n, 2n, 3n, 1n << 20n, 1n << 35n].map((d) => angle + d),
    );
    const random = Array.from(
      { length: 2e5 },
      () => (BigInt(dice.below(2 ** 32)) << 32n) | BigInt(dice.below(2 ** 32)),
    );
    const all = [...near, ...random].map((angle) => BigInt.asUintN(64, angle));
    for (let i = 0; i < all.length; i += 50_000) {
      const part = all.slice(i, i + 50_000);
      const wanted = exactAngles([1n], part);
      expect(worst(angles([1n], part).slice(0, 2 * part.length), wanted, ulp)).toBeLessThan(0.5001);
    }
  });

  test("at positions up to 2^53 − 1, of the exact position · turns mod 2^64: within 0.5001 ulp, in any slices", () => {
    const position = fc.oneof(fc.bigInt(0n, 200n), fc.bigInt(0n, FAR), fc.bigInt(FAR - 9n, FAR));
    const property = fc.property(
      fc.array(position, { minLength: 1, maxLength: 6 }),
      fc.array(fc.bigInt(0n, 2n ** 64n - 1n), { minLength: 1, maxLength: 9 }),
      position,
      fc.constantFrom(Clamp.Distance, Clamp.Sinks),
      fc.nat({ max: 2 ** 31 }),
      fc.integer({ min: 1, max: 4 }),
      (positions, all, origin, clamp, limit, slices) => {
        const found = angles(positions, all, { clamp, limit, origin, slices });
        const fixed = BigInt(limit) + (clamp === Clamp.Sinks ? origin : 0n);
        const wanted = exactAngles(
          positions.flatMap((own) => [own, fixed]),
          all,
        );
        expect(worst(found, wanted, ulp)).toBeLessThan(0.5001);
      },
    );
    fc.assert(property, { numRuns: 300 });
  });

  test("of RoPE's frequencies below position 10,000: within 1e-7 of cos and sin in f64", () => {
    const frequencies = reference.inverseFrequencies(64, 10000);
    const positions = [0, 1, 2, 17, 511, 4096, 9999];
    const found = angles(positions.map(BigInt), [...frequencies].map(turns), { clamp: Clamp.Distance, limit: 4096 });
    const wanted = positions
      .flatMap((own) => [own, 4096])
      .flatMap((position) => {
        const { cos, sin } = reference.turns(position, frequencies);
        return [...cos, ...sin];
      });
    expect(worst(found, wanted, () => 1)).toBeLessThan(1e-7);
  });
});

test("the factor of the position and that of the fixed one multiply before the rounding: within 0.5001 ulp", () => {
  const turn = turns(0.1);
  for (const factors of [
    [1.25, 1.5625],
    [0.75, 3],
  ]) {
    const found = angles([5n, 900n], [turn, 3n * turn], { clamp: Clamp.Distance, limit: 64, factors });
    const plain = exactAngles([5n, 64n, 900n, 64n], [turn, 3n * turn]);
    const wanted = plain.map((value, i) => value * (factors[(i >> 2) & 1] as number));
    expect(worst(found, wanted, ulp)).toBeLessThan(0.5001);
  }
});

describe("temper", () => {
  const beta = Math.fround(0.1);
  const factorOf = (n: number, original: number) => Math.fround(1 + beta * Math.log(1 + Math.floor(n / original)));
  const tempered = (
    positions: readonly bigint[],
    origin: bigint,
    words: { clamp?: Clamp; limit?: number },
    dim = 7,
  ) => {
    bench.clear();
    bench.step(positions.map((position) => ({ position, origin })));
    const x = bench.floats(new Float32Array(dim * positions.length).fill(1));
    bench.execute(Op.Temper, Temper, { y: x, x, dim, beta: bits(beta), original: 16, ...words }, { slices: 3 });
    bench.checkGuards();
    const found = bench.read(x, dim * positions.length);
    return positions.map((_, row) => {
      const own = found.subarray(row * dim, (row + 1) * dim);
      for (const value of own) expect(value).toBe(own[0] as number);
      return own[0] as number;
    });
  };

  test("every row by its own distance from the first token, wherever a text begins; 1 within the original length", () => {
    const far = [0, 1, 15, 16, 31, 32, 100, 1e6, 2 ** 40];
    for (const origin of [0n, 5n, 2n ** 53n - 2n ** 41n]) {
      const positions = far.map((n) => origin + BigInt(n));
      const found = tempered(positions, origin, {});
      for (const [i, n] of far.entries()) {
        expect(Math.abs((found[i] as number) - factorOf(n, 16))).toBeLessThan(n < 16 ? 1e-30 : 2.4e-7);
      }
    }
    for (let dim = 1; dim < 10; dim++) expect(tempered([40n], 0n, {}, dim)).toEqual([factorOf(40, 16)]);
  });

  test("at most as far as the limit, where distances are clamped", () => {
    for (const clamp of [Clamp.Distance, Clamp.Sinks]) {
      const found = tempered([10n, 47n, 48n, 64n, 2n ** 50n], 0n, { clamp, limit: 48 });
      expect(found).toEqual([10, 47, 48, 48, 48].map((n) => factorOf(n, 16)));
    }
  });
});

describe.each(["half", "interleaved"] as const)("rope, %s", (layout) => {
  test("every head and rotary dimension, 1 to 5 rows, own and fixed angles: within 3e-7 of the f64 reference", () => {
    const dice = new Dice(2);
    let largest = 0;
    for (const headDim of [...Array.from({ length: 20 }, (_, i) => i + 1), 64, 80, 128]) {
      for (const rotaryDim of new Set([2, 4, 6, 8, 10, headDim - 2, headDim].filter((dim) => dim % 2 === 0))) {
        if (rotaryDim < 2 || rotaryDim > headDim) continue;
        const [rows, heads, fixed] = [1 + dice.below(5), 1 + dice.below(4), dice.below(2)];
        const angles = dice.floats(2 * rows * rotaryDim);
        const x = dice.floats(rows * heads * headDim);
        const wanted = Float64Array.from({ length: x.length });
        for (let row = 0; row < rows; row++) {
          const at = (2 * row + fixed) * rotaryDim;
          const cos = Float64Array.from(angles.subarray(at, at + rotaryDim / 2));
          const sin = Float64Array.from(angles.subarray(at + rotaryDim / 2, at + rotaryDim));
          for (let head = 0; head < heads; head++) {
            const begin = (row * heads + head) * headDim;
            const one = Float64Array.from(x.subarray(begin, begin + headDim));
            wanted.set(reference.rotate(one, { cos, sin }, layout), begin);
          }
        }
        const found = rope(x, angles, { rows, heads, headDim, rotaryDim, fixed, layout });
        largest = Math.max(
          largest,
          worst(found, wanted, () => 1),
        );
        // What is not rotated passes through untouched.
        for (let i = 0; i < x.length; i++) if (i % headDim >= rotaryDim) expect(found[i]).toBe(x[i]!);
      }
    }
    expect(largest).toBeLessThan(3e-7);
  });

  test("a rotation keeps every pair's length and the angle between two positions: 3e-7", () => {
    const frequencies = [...reference.inverseFrequencies(16, 100)].map(turns);
    const x = new Dice(3).floats(16);
    const shape = { rows: 1, heads: 1, headDim: 16, rotaryDim: 16, fixed: 0, layout };
    const at = (position: bigint) => rope(x, angles([position], frequencies), shape);
    const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
    expect(words(at(0n))).toEqual(words(x));
    for (const far of [1n, 1000n, 2n ** 40n, FAR - 7n]) {
      expect(Math.abs(dot(at(far), at(far)) / dot(x, x) - 1)).toBeLessThan(3e-7);
      expect(Math.abs(dot(at(far + 7n), at(far)) - dot(at(7n), x)) / dot(x, x)).toBeLessThan(3e-7);
    }
  });
});

interface Shape {
  readonly rows: number;
  readonly heads: number;
  readonly headDim: number;
  readonly rotaryDim: number;
  readonly fixed: number;
  readonly layout: reference.RopeLayout;
}

function rope(x: Float32Array, cosSin: Float32Array, { rows, layout, ...shape }: Shape): Float32Array {
  bench.clear();
  bench.rows(rows);
  const y = bench.output(x.length);
  const interleaved = layout === "interleaved" ? 1 : 0;
  bench.execute(
    Op.Rope,
    Rope,
    { y, x: bench.floats(x), angles: bench.floats(cosSin), ...shape, interleaved },
    { slices: 2 },
  );
  bench.checkGuards();
  return bench.read(y, x.length);
}
