/** The 16-bit formats, number by number: what they hold, and how f32 is rounded to them. */

import { beforeAll, describe, expect, test } from "bun:test";
import { Format } from "../../assembly/layout.ts";
import { Embed, Op, Pack } from "../../assembly/op.ts";
import { Bench, Dice, FORMAT_NAMES, FORMATS, packedBytes, packedPlace, SINGLE_BUILDS, words } from "./harness.ts";

let bench = await Bench.open();
const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);
const half = new Uint16Array(1);
const float16 = new Float16Array(half.buffer);

function fromWord(value: number): number {
  word[0] = value;
  return float[0]!;
}

/** Each format by an independent definition: its value of a pattern, and the pattern nearest to a f64, even among two. */
const HALVES = {
  bf16: {
    format: Format.Bf16,
    value: (pattern: number): number => fromWord(pattern * 65536),
    nearest(value: number): number {
      const size = Math.abs(value);
      // 8 bits of significand, the last one at least 2^-133; adding 1.5 · 2^52 units rounds to whole ones, ties to even.
      let unit = 2 ** -133;
      while (size >= unit * 256) unit *= 2;
      const magic = 1.5 * 2 ** 52;
      float[0] = (size / unit + magic - magic) * unit;
      return (word[0]! >>> 16) | (value < 0 || Object.is(value, -0) ? 0x8000 : 0);
    },
  },
  f16: {
    format: Format.F16,
    value(pattern: number): number {
      half[0] = pattern;
      return float16[0]!;
    },
    nearest(value: number): number {
      float16[0] = value;
      return half[0]!;
    },
  },
};

/** Packs f32, some at a time, and gives the patterns. */
function patternsOf(values: Float32Array, format: Format): Uint16Array {
  const most = 65535;
  const patterns = new Uint16Array(values.length);
  for (let from = 0; from < values.length; from += most) {
    bench.clear();
    const part = values.subarray(from, from + most);
    const dst = bench.take(packedBytes(1, part.length, format));
    const src = bench.floats(part);
    expect(bench.pack({ dst, src, rows: 1, k: part.length, source: Format.F32, target: format })).toEqual([-1]);
    for (let i = 0; i < part.length; i++) {
      patterns[from + i] = bench.view.getUint16(dst + packedPlace(0, i, part.length, format), true);
    }
  }
  return patterns;
}

const CASES = SINGLE_BUILDS.flatMap((build) => (["bf16", "f16"] as const).map((name) => ({ build, name })));

describe.each(CASES)("$build, $name", ({ build, name }) => {
  beforeAll(async () => {
    bench = await Bench.open(build);
  });

  const { format, value, nearest } = HALVES[name];
  const all = Array.from({ length: 65536 }, (_, pattern) => pattern);
  const finite = all.filter((pattern) => Number.isFinite(value(pattern)));
  const others = all.filter((pattern) => !Number.isFinite(value(pattern)));

  test("every finite pattern becomes its f32, by pack, expand and embed, and comes back: exact", () => {
    bench.clear();
    const wanted = Float32Array.from(finite, value);
    const k = finite.length;
    const src = bench.take(2 * k);
    new Uint16Array(bench.view.buffer, src, k).set(finite);
    const vector = bench.output(k);
    const same = bench.take(packedBytes(1, k, format));
    const wide = bench.take(packedBytes(1, k, Format.F32));
    const rows = [bench.output(k), bench.output(k)];
    expect(bench.kernels.expand(vector, src, k, format)).toBe(-1);
    expect(bench.pack({ dst: same, src, rows: 1, k, source: format, target: format })).toEqual([-1]);
    expect(bench.pack({ dst: wide, src, rows: 1, k, source: format, target: Format.F32 })).toEqual([-1]);
    bench.rows(1);
    bench.execute(Op.Embed, Embed, { y: rows[0]!, table: same, dim: k, format });
    bench.execute(Op.Embed, Embed, { y: rows[1]!, table: wide, dim: k, format: Format.F32 });
    for (const address of [vector, ...rows]) expect(words(bench.read(address, k))).toEqual(words(wanted));
    expect(patternsOf(wanted, format)).toEqual(Uint16Array.from(finite));
  });

  test("every pattern that is not finite is refused, whatever the target", () => {
    expect(others.length).toBe(name === "bf16" ? 256 : 2048);
    const taken: number[] = [];
    bench.clear();
    const src = bench.take(10);
    const dst = bench.take(packedBytes(1, 5, Format.Q8));
    const fields = { dst, results: bench.take(4), src, rows: 1, k: 5, source: format, work: bench.work() };
    const packOne = (target: Format) => {
      bench.execute(Op.Pack, Pack, { ...fields, target });
      return bench.view.getInt32(fields.results, true);
    };
    for (const pattern of others) {
      const at = pattern % 5;
      new Uint16Array(bench.view.buffer, src, 5).fill(0).fill(pattern, at, at + 1);
      const found = FORMAT_NAMES.map((to) => packOne(FORMATS[to]));
      found.push(bench.kernels.expand(dst, src, 5, format));
      if (found.some((index) => index !== at)) taken.push(pattern);
    }
    expect(taken.slice(0, 5)).toEqual([]);
  });

  test("f32 becomes the nearest, even among two: around every pattern, between every two, and 300,000 random", () => {
    const positive = finite.filter((pattern) => pattern < 0x8000);
    const around = positive.flatMap((pattern) => {
      word[0] = 0;
      float[0] = value(pattern);
      const exact = word[0]!;
      float[0] = (value(pattern) + nextUp(pattern)) / 2; // exact: one bit more than the format has
      const middle = word[0]!;
      return [exact, exact + 1, middle - 1, middle, middle + 1].map(fromWord);
    });
    const dice = new Dice(9);
    const random = Array.from({ length: 3e5 }, () => fromWord(dice.below(2 ** 32)));
    const values = [...around, ...around.map((number) => -number), ...random].filter(
      (number) => Number.isFinite(number) && Number.isFinite(value(nearest(number))),
    );
    const found = patternsOf(Float32Array.from(values), format);
    const wrong = values.filter((number, i) => found[i] !== nearest(number));
    expect(wrong.slice(0, 5)).toEqual([]);
    expect(values.length).toBeGreaterThan(4e5);
  });

  /** The value after a pattern's, as if the format had no largest one. */
  function nextUp(pattern: number): number {
    const next = value(pattern + 1);
    return Number.isFinite(next) ? next : 2 * value(pattern) - value(pattern - 1);
  }

  test("the first f32 that would round to infinity is refused, the one before it is taken", () => {
    const largest = Math.max(...finite.map(value));
    float[0] = (largest + (2 * largest - value(finite.find((pattern) => value(pattern) === largest)! - 1))) / 2;
    const refused = float[0];
    word[0]! -= 1;
    const taken = float[0];
    for (const sign of [1, -1]) {
      bench.clear();
      const dst = bench.take(64 * 2);
      const src = bench.floats([1, sign * taken, 2, 3, 4, sign * refused, sign * 3e38]);
      expect(bench.pack({ dst, src, rows: 1, k: 7, source: Format.F32, target: format })).toEqual([5]);
      expect(bench.pack({ dst, src, rows: 1, k: 5, source: Format.F32, target: format })).toEqual([-1]);
      expect(patternsOf(Float32Array.of(sign * taken), format)[0]).toBe(nearest(sign * largest));
    }
  });
});
