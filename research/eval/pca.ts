/**
 * The two directions of largest variance of rows, without their covariance matrix: block Lanczos (Golub, Underwood
 * 1977) with full orthogonalisation and restarts. The rows are read once per pass and never copied; in addition it
 * takes about 64 vectors of their length.
 */
import { mismatch } from "../../src/base/errors.ts";
import { draw } from "../../src/base/random.ts";

export interface Pca {
  /** f64[dim] */
  readonly mean: Float64Array;
  /** Two of f64[dim], length 1, orthogonal; the largest entry of each is positive. */
  readonly components: readonly [Float64Array, Float64Array];
  /** f64[n, 2]: the centred rows, projected onto the components. */
  readonly scores: Float64Array;
  /** The shares of all variance along the components; 0 if there is no variance. */
  readonly explained: readonly [number, number];
}

/** Directions per pass: as many as are wanted, so that two of equal variance are both found. */
const BLOCK = 2;
/** Directions that are kept before a restart from the best two. */
const BASIS = 32;
const RESTARTS = 100;
/** Allowed residual of a direction's image: relative to its own variance, and to the largest (rounding). */
const TOLERANCE = 1e-9;
const ROUNDING = 1e-12;

/** `parts`: any number of f32[rows, dim], fitted jointly. Throws RangeError for fewer than 2 rows or columns and for NaN. */
export function pca(parts: readonly Float32Array[], dim: number): Pca {
  const rows = new Rows(parts, dim);
  const random = { seed: 0, counter: 0 };
  let start: Float64Array[] = Array.from({ length: BLOCK }, () =>
    Float64Array.from({ length: dim }, () => draw(random) - 0.5),
  );
  for (let restart = 0; restart < RESTARTS; restart++) {
    const { best, converged } = improve(rows, start);
    start = best.map(({ vector }) => vector);
    if (!converged) continue;
    const components = start.map(upright) as [Float64Array, Float64Array];
    const explained = best.map(({ value }) => (rows.squares > 0 ? Math.max(value, 0) / rows.squares : 0));
    const scores = rows.project(components);
    return { mean: rows.mean, components, scores, explained: explained as [number, number] };
  }
  throw new RangeError(mismatch("PCA", `convergence within ${RESTARTS} restarts`, "none"));
}

interface Direction {
  /** f64[dim], length 1 */
  readonly vector: Float64Array;
  /** The sum of squares along it. */
  readonly value: number;
}

/** The best two directions in the space of `start`, its images, their images … */
function improve(rows: Rows, start: readonly Float64Array[]): { best: Direction[]; converged: boolean } {
  const basis: Float64Array[] = [];
  const images: Float64Array[] = [];
  for (let block = start; ; block = images.slice(-BLOCK)) {
    const known = basis.length;
    for (const vector of block) extend(basis, vector);
    images.push(...rows.images(basis.slice(known)));
    const best = eigen(basis.map((vector) => Float64Array.from(images, (image) => dot(vector, image)))).slice(0, BLOCK);
    const directions = best.map(({ value, vector }) => ({ value, vector: combine(basis, vector) }));
    const largest = (best[0] as Direction).value;
    const converged = best.every(({ value, vector }, i) => {
      const beside = combine(images, vector);
      add(beside, -value, (directions[i] as Direction).vector);
      return Math.sqrt(dot(beside, beside)) <= TOLERANCE * value + ROUNDING * largest;
    });
    if (converged || basis.length === known || basis.length + BLOCK > BASIS) return { best: directions, converged };
  }
}

/** Extends an orthonormal basis by the component of a vector orthogonal to it, unless that is rounding error. */
function extend(basis: Float64Array[], vector: Float64Array): void {
  const left = vector.slice();
  // Twice: the remainder of the first pass may be small, and its errors relatively large.
  for (let round = 0; round < 2; round++) for (const known of basis) add(left, -dot(known, left), known);
  const length = Math.sqrt(dot(left, left));
  if (length > ROUNDING * Math.sqrt(dot(vector, vector))) basis.push(left.map((x) => x / length));
}

/** Centred rows as the map v → Σ row · (row · v): the covariance times their number. */
class Rows {
  readonly #parts: readonly Float32Array[];
  readonly #dim: number;
  readonly #count: number;
  /** f64[dim] */
  readonly mean: Float64Array;
  /** The sum of squares of all centred values. */
  readonly squares: number;

  constructor(parts: readonly Float32Array[], dim: number) {
    if (!(dim >= BLOCK)) throw new RangeError(mismatch("dim", `${BLOCK} or more`, dim));
    for (const part of parts) {
      if (part.length % dim !== 0) throw new RangeError(mismatch("part", `rows of ${dim} numbers`, part.length));
    }
    this.#parts = parts;
    this.#dim = dim;
    this.#count = parts.reduce((count, part) => count + part.length / dim, 0);
    if (this.#count < 2) throw new RangeError(mismatch("rows", "2 or more", this.#count));
    this.mean = new Float64Array(dim);
    const sum = new Float64Array(dim);
    this.#forEach((row) => add(sum, 1, row));
    this.mean = sum.map((x) => x / this.#count);
    let squares = 0;
    this.#forEach((row) => (squares += dot(row, row)));
    if (!Number.isFinite(squares)) throw new RangeError(mismatch("rows", "finite numbers", "NaN or an infinity"));
    this.squares = squares;
  }

  /** Applies it to one or two vectors, f64[dim] each, in one pass. */
  images(vectors: readonly Float64Array[]): Float64Array[] {
    const images = vectors.map(() => new Float64Array(this.#dim));
    this.#forEach((row) => {
      for (const [i, image] of images.entries()) add(image, dot(row, vectors[i] as Float64Array), row);
    });
    return images;
  }

  /** f64[n, 2] */
  project(components: readonly Float64Array[]): Float64Array {
    const scores = new Float64Array(this.#count * BLOCK);
    let at = 0;
    this.#forEach((row) => {
      for (const component of components) scores[at++] = dot(row, component);
    });
    return scores;
  }

  /** Calls with every centred row; the array is the same each time. */
  #forEach(call: (row: Float64Array) => void): void {
    const row = new Float64Array(this.#dim);
    for (const part of this.#parts) {
      for (let at = 0; at < part.length; at += row.length) {
        for (let j = 0; j < row.length; j++) row[j] = (part[at + j] as number) - (this.mean[j] as number);
        call(row);
      }
    }
  }
}

/** All eigenvectors of a symmetric matrix, largest value first, by Jacobi rotations (Golub, Van Loan, 8.5). */
function eigen(matrix: readonly Float64Array[]): Direction[] {
  const a = matrix.map((row) => row.slice());
  const at = (i: number, j: number): number => a[i]?.[j] as number;
  const vectors = a.map((_, i) => Float64Array.from(a, (_, j) => (i === j ? 1 : 0)));
  const nothing = 1e-16 * Math.max(...a.map((_, i) => Math.abs(at(i, i))));
  for (let sweep = 0, rotated = true; rotated && sweep < 50; sweep++) {
    rotated = false;
    for (let p = 0; p < a.length; p++) {
      for (let q = p + 1; q < a.length; q++) {
        if (Math.abs(at(p, q)) <= nothing) continue;
        rotated = true;
        const theta = (at(q, q) - at(p, p)) / (2 * at(p, q));
        const tan = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const cos = 1 / Math.sqrt(tan * tan + 1);
        const sin = tan * cos;
        for (const row of a) {
          const x = row[p] as number;
          row[p] = cos * x - sin * (row[q] as number);
          row[q] = sin * x + cos * (row[q] as number);
        }
        for (const rows of [a, vectors]) {
          const x = rows[p] as Float64Array;
          const y = rows[q] as Float64Array;
          rows[p] = x.map((xi, i) => cos * xi - sin * (y[i] as number));
          rows[q] = y.map((yi, i) => sin * (x[i] as number) + cos * yi);
        }
      }
    }
  }
  return vectors.map((vector, i) => ({ vector, value: at(i, i) })).sort((one, other) => other.value - one.value);
}

/** The vector or its negative: its largest entry is positive; of nearly equal ones the first. */
function upright(vector: Float64Array): Float64Array {
  const largest = vector.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const first = vector.find((x) => Math.abs(x) >= largest * (1 - 1e-6)) as number;
  return first < 0 ? vector.map((x) => -x) : vector;
}

function combine(vectors: readonly Float64Array[], factors: Float64Array): Float64Array {
  const sum = new Float64Array((vectors[0] as Float64Array).length);
  for (const [i, vector] of vectors.entries()) add(sum, factors[i] as number, vector);
  return sum;
}

/** sum += factor · vector */
function add(sum: Float64Array, factor: number, vector: Float64Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + factor * (vector[i] as number);
}

/** Four independent sums: additions would otherwise wait for each other. */
function dot(a: Float64Array, b: Float64Array): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let i = 0;
  for (; i + 4 <= a.length; i += 4) {
    s0 += (a[i] as number) * (b[i] as number);
    s1 += (a[i + 1] as number) * (b[i + 1] as number);
    s2 += (a[i + 2] as number) * (b[i + 2] as number);
    s3 += (a[i + 3] as number) * (b[i + 3] as number);
  }
  for (; i < a.length; i++) s0 += (a[i] as number) * (b[i] as number);
  return s0 + s1 + (s2 + s3);
}
