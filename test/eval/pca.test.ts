/** PCA against numpy (test/golden/overlap.py), against cases with a known answer, and by its properties. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { pca } from "../../research/eval/pca.ts";
import { draw } from "../../src/base/random.ts";
import { ROOT } from "../setup.ts";

interface Golden {
  rows: number[][];
  mean: number[];
  components: number[][];
  explained: number[];
  scores: number[][];
}

const golden = JSON.parse(readFileSync(join(ROOT, "test/golden/fixtures/pca.json"), "utf8")) as Record<string, Golden>;

function expectNear(found: ArrayLike<number>, expected: readonly number[], tolerance: number): void {
  expect(found.length).toBe(expected.length);
  const distance = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - (found[i] as number))), 0);
  expect(distance).toBeLessThanOrEqual(tolerance);
}

const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, x, i) => sum + x * (b[i] as number), 0);

describe("numpy", () => {
  for (const [name, { rows, mean, components, explained, scores }] of Object.entries(golden)) {
    test(`${name}: mean, components, shares and scores within 1e-6 of the largest`, () => {
      const found = pca([Float32Array.from(rows.flat())], mean.length);
      expectNear(found.mean, mean, 1e-9 * Math.max(1, ...mean.map(Math.abs)));
      expectNear(found.components[0], components[0] as number[], 1e-6);
      expectNear(found.components[1], components[1] as number[], 1e-6);
      expectNear(found.explained, explained, 1e-9);
      expectNear(found.scores, scores.flat(), 1e-6 * Math.max(...scores.flat().map(Math.abs)));
    });
  }
});

describe("known answers", () => {
  test("an ellipse in a plane of 300 dimensions, centre far from 0, in parts of unequal size", () => {
    const dim = 300;
    const count = 1000;
    const rows = new Float32Array(count * dim).fill(8);
    for (let i = 0; i < count; i++) {
      const angle = (2 * Math.PI * i) / count;
      rows[i * dim + 17] = 8 + 3 * Math.cos(angle);
      rows[i * dim + 204] = 8 - 2 * Math.sin(angle);
    }
    const { mean, components, explained, scores } = pca([rows.subarray(0, 10 * dim), rows.subarray(10 * dim)], dim);
    expectNear(mean, new Array(dim).fill(8), 1e-6);
    for (const [component, at] of [
      [components[0], 17],
      [components[1], 204],
    ] as const) {
      expectNear(
        component,
        Array.from({ length: dim }, (_, j) => (j === at ? 1 : 0)),
        1e-6,
      );
    }
    expectNear(explained, [9 / 13, 4 / 13], 1e-6);
    expectNear(scores.subarray(0, 2), [3, 0], 1e-6);
  });

  test("two directions of equal variance are both found", () => {
    const rows = Float32Array.of(0, 5, 0, 0, -5, 0, 5, 0, 0, -5, 0, 0, 0, 0, 1, 0, 0, -1);
    const { explained, components } = pca([rows], 3);
    expectNear(explained, [50 / 102, 50 / 102], 1e-12);
    for (const component of components) expect(Math.abs(component[2] as number)).toBeLessThan(1e-6);
  });

  test("more directions than are kept before a restart, of slowly falling variance", () => {
    const dim = 400;
    const rows = new Float32Array(2 * dim * dim);
    // Axis j at ± its size: no two correlate.
    for (let j = 0; j < dim; j++) {
      rows[2 * j * dim + j] = 2 - j / dim;
      rows[(2 * j + 1) * dim + j] = j / dim - 2;
    }
    const { components } = pca([rows], dim);
    for (const i of [0, 1] as const) {
      expectNear(
        components[i],
        Array.from({ length: dim }, (_, j) => (j === i ? 1 : 0)),
        1e-5,
      );
    }
  });

  test("the sign: of entries of nearly the same size the first is positive", () => {
    const { components } = pca([Float32Array.of(1, -1, -1, 1, 2, -2, -2, 2)], 2);
    expectNear(components[0], [Math.SQRT1_2, -Math.SQRT1_2], 1e-9);
    expectNear(components[1], [Math.SQRT1_2, Math.SQRT1_2], 1e-9);
  });

  test("equal rows have no variance to share", () => {
    const { explained, scores } = pca([new Float32Array(12).fill(3)], 4);
    expect(explained).toEqual([0, 0]);
    expect([...scores].every((score) => score === 0)).toBe(true);
  });
});

test("properties: orthonormal, scores are projections and do not correlate, shares fall and are theirs, parts do not matter", () => {
  const sizes = fc.record({
    count: fc.integer({ min: 2, max: 60 }),
    dim: fc.integer({ min: 2, max: 50 }),
    seed: fc.integer({ min: 0, max: 1e6 }),
  });
  fc.assert(
    fc.property(sizes, ({ count, dim, seed }) => {
      const random = { seed, counter: 0 };
      const rows = Float32Array.from({ length: count * dim }, () => draw(random) * draw(random) * 10);
      const found = pca([rows], dim);
      const [a, b] = found.components;
      expectNear([dot(a, a), dot(a, b), dot(b, b)], [1, 0, 1], 1e-9);
      let variance = 0;
      const along = [0, 0, 0];
      for (let i = 0; i < count; i++) {
        const row = Float64Array.from(found.mean, (mean, j) => (rows[i * dim + j] as number) - mean);
        const score = [...found.scores.subarray(2 * i, 2 * i + 2)] as [number, number];
        expectNear(score, [dot(row, a), dot(row, b)], 1e-9);
        variance += dot(row, row);
        for (const [k, product] of [score[0] ** 2, score[1] ** 2, score[0] * score[1]].entries()) {
          along[k] = (along[k] as number) + product;
        }
      }
      expect(Math.abs(along[2] as number)).toBeLessThan(1e-6 * variance);
      expectNear(found.explained, [(along[0] as number) / variance, (along[1] as number) / variance], 1e-9);
      expect(found.explained[0]).toBeGreaterThanOrEqual(found.explained[1]);
      const cut = dim * (seed % count);
      expect(pca([rows.subarray(0, cut), rows.subarray(cut)], dim)).toEqual(found);
    }),
    { numRuns: 30 },
  );
});

test("too few rows or columns, broken rows, NaN and infinities are refused", () => {
  expect(() => pca([new Float32Array(4)], 1)).toThrow("dim: expected 2 or more, found 1");
  expect(() => pca([new Float32Array(4)], 4)).toThrow("rows: expected 2 or more, found 1");
  expect(() => pca([new Float32Array(4), new Float32Array(3)], 2)).toThrow("part: expected rows of 2 numbers, found 3");
  for (const bad of [NaN, Infinity]) {
    expect(() => pca([Float32Array.of(1, 2, bad, 4)], 2)).toThrow("rows: expected finite numbers");
  }
});
