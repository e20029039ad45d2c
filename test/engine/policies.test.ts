/** Every attention policy against the mask written out literally, pair by pair, in f64 (test/reference). */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { CACHE_DTYPES } from "../../src/base/dtype.ts";
import { POLICIES, type PolicyName, type PolicyOptions } from "../../src/plan/policy.ts";
import { deviation } from "../setup.ts";
import { Bare } from "./bare.ts";
import { dense, FAMILIES, PATIENCE, policyOf, randomIds } from "./tiny.ts";

setDefaultTimeout(PATIENCE);

const BOUND = 2e-4;

interface Case {
  readonly attention: PolicyName;
  readonly shape: PolicyOptions;
  readonly tokens: number;
  readonly chunks: readonly number[];
  readonly seed?: number;
}

/** The largest deviation of the logits after every token, over all ways to cut the text into chunks. */
async function worst(family: string, { attention, shape, tokens, chunks, seed = tokens }: Case): Promise<number> {
  const ids = randomIds(tokens, seed);
  const wanted = dense(family, ids, { ...shape, attention });
  const chunkSize = Math.max(...chunks);
  const model = await Bare.load(family, { ...policyOf(attention, shape, tokens), chunkSize, maxSessions: 1 });
  let largest = 0;
  for (const size of chunks) {
    for (const [p, row] of model.read(ids, size).entries()) {
      const off = deviation(row, wanted[p] as Float64Array);
      if (!(off <= largest)) largest = off;
    }
  }
  return largest;
}

/** Windows, and texts of one to six of them. Every policy takes the numbers that it knows. */
const shapes: [string, PolicyOptions, number][] = [
  ["window 8, 3 pinned", { nGlobal: 3, nLocal: 8 }, 48],
  ["window 8, ceiling 13", { nGlobal: 3, nLocal: 8, limit: 13 }, 48],
  ["window 16, the text one window", { nGlobal: 5, nLocal: 16 }, 16],
  ["window 16, nothing pinned", { nGlobal: 0, nLocal: 16 }, 50],
  ["window 13, 2 pinned", { nGlobal: 2, nLocal: 13, limit: 14 }, 70],
  ["window 4, more pinned than local", { nGlobal: 7, nLocal: 4 }, 24],
  ["window 4, more pinned than local, ceiling 9", { nGlobal: 7, nLocal: 4, limit: 9 }, 24],
  ["window 1", { nGlobal: 0, nLocal: 1 }, 6],
  ["window 1, 3 pinned, ceiling 5", { nGlobal: 3, nLocal: 1, limit: 5 }, 20],
  ["ceiling beyond the text", { nGlobal: 2, nLocal: 8, limit: 1000 }, 40],
  // These cross the boundaries of the kernel's blocks, which are 64 keys long.
  ["window 70", { nGlobal: 5, nLocal: 70 }, 200],
  ["window 64, ceiling 100", { nGlobal: 4, nLocal: 64, limit: 100 }, 200],
  ["window 100, 66 pinned", { nGlobal: 66, nLocal: 100, limit: 130 }, 250],
];

for (const family of FAMILIES) {
  describe(`${family}: logits equal the dense mask's within 2e-4 · (1 + |logit|)`, () => {
    for (const attention of POLICIES) {
      test(`${attention}: ${shapes.length} shapes, in chunks of 1, 7, 64 and 128`, async () => {
        for (const [name, shape, tokens] of shapes) {
          const off = await worst(family, { attention, shape, tokens, chunks: [1, 7, 64, 128] });
          expect({ name, off, good: off < BOUND }).toEqual({ name, off, good: true });
        }
      });
    }

    test("any policy, any numbers, any chunks", async () => {
      const cases = fc.record({
        attention: fc.constantFrom(...POLICIES),
        nLocal: fc.integer({ min: 1, max: 24 }),
        nGlobal: fc.integer({ min: 0, max: 12 }),
        beyond: fc.integer({ min: 0, max: 20 }),
        tokens: fc.integer({ min: 1, max: 72 }),
        chunkSize: fc.integer({ min: 1, max: 80 }),
        seed: fc.nat(),
      });
      await fc.assert(
        fc.asyncProperty(cases, async ({ attention, nLocal, nGlobal, beyond, tokens, chunkSize, seed }) => {
          const shape = { nLocal, nGlobal, limit: nLocal + beyond };
          return (await worst(family, { attention, shape, tokens, chunks: [chunkSize], seed })) < BOUND;
        }),
        { numRuns: 40, seed: 1 },
      );
    });
  });
}

test("the bound tells the policies from each other, and from one more key, less key or another ceiling", () => {
  const ids = randomIds(48, 48);
  for (const family of FAMILIES) {
    const last = (attention: PolicyName, change: PolicyOptions = {}) =>
      dense(family, ids, { nGlobal: 3, nLocal: 8, limit: 11, attention, ...change }).at(-1) as Float64Array;
    const others = [
      ...POLICIES.filter((name) => name !== "lambda").map((name) => last(name)),
      ...[{ limit: 12 }, { nLocal: 9 }, { nGlobal: 2 }].map((change) => last("lambda", change)),
    ];
    for (const other of others) expect(deviation(other, last("lambda"))).toBeGreaterThan(10 * BOUND);
  }
});

/** The root mean square of all logits' deviations, over that of the logits. */
function relativeError(found: readonly Float32Array[], wanted: readonly Float64Array[]): number {
  const [off, all] = [0, 1].map((share) =>
    found.reduce((sum, row, p) => {
      const line = wanted[p] as Float64Array;
      return row.reduce((part, x, i) => part + ((share ? 0 : x) - (line[i] as number)) ** 2, sum);
    }, 0),
  ) as [number, number];
  return Math.sqrt(off / all);
}

describe.each([...FAMILIES])("%s: logits near the dense mask's, with keys and values in every format", (family) => {
  const within = { f32: [0, 1e-5], bf16: [1e-4, 0.01], int8: [1e-4, 0.02] } as const;
  test.each(CACHE_DTYPES)("%s", async (cacheDtype) => {
    const shape = { nGlobal: 3, nLocal: 20, limit: 24 };
    for (const attention of POLICIES) {
      const ids = randomIds(90, 5);
      const model = await Bare.load(family, { ...policyOf(attention, shape, 90), cacheDtype, maxSessions: 1 });
      const off = relativeError(model.read(ids), dense(family, ids, { ...shape, attention }));
      const [least, most] = within[cacheDtype];
      expect(off).toBeWithin(least, most);
    }
  });
});
