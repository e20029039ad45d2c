/** What must not change a single bit: the policy below its window, the cutting of a text, company in a step, the build. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { CACHE_DTYPES } from "../../src/base/dtype.ts";
import { POLICIES, type PolicyOptions } from "../../src/plan/policy.ts";
import { BUILDS } from "../setup.ts";
import { Bare, type Token } from "./bare.ts";
import { engineOf, FAMILIES, firstDifference, oneByOne, PATIENCE, policyOf, randomIds, sameBits } from "./tiny.ts";

setDefaultTimeout(PATIENCE);

describe.each([...FAMILIES])(
  "%s: a policy is plain causal attention before its window is full, bit for bit",
  (family) => {
    const shapes: [nLocal: number, nGlobal: number, limit: number][] = [
      [1, 3, 1],
      [8, 0, 8],
      [8, 3, 30],
      [16, 40, 16],
      [70, 5, 70],
      [130, 10, 200],
    ];
    test.each(shapes)("nLocal %d, nGlobal %d, limit %d", async (nLocal, nGlobal, limit) => {
      const ids = randomIds(nLocal + 4, nLocal);
      const full = (await Bare.load(family, policyOf("full", {}, ids.length))).read(ids);
      for (const attention of POLICIES) {
        const shape = { nLocal, nGlobal, limit };
        const found = (await Bare.load(family, policyOf(attention, shape, ids.length))).read(ids);
        expect(firstDifference(found.slice(0, nLocal), full.slice(0, nLocal))).toBe(-1);
        // The next token is the first that forgets one: this test can fail.
        if (attention === "window") expect(firstDifference(found, full)).toBe(nLocal);
      }
    });
  },
);

const numbers = {
  attention: fc.constantFrom(...POLICIES),
  cacheDtype: fc.constantFrom(...CACHE_DTYPES),
  nLocal: fc.integer({ min: 1, max: 20 }),
  nGlobal: fc.integer({ min: 0, max: 9 }),
  beyond: fc.integer({ min: 0, max: 9 }),
  seed: fc.nat(),
};

describe.each([...FAMILIES, "gemma3-text", "gemma2"])(
  "%s: however a text is cut, it is read as token by token, bit for bit",
  (family) => {
    test("appended in any pieces, with any chunk size", async () => {
      const cases = fc.record({
        ...numbers,
        chunkSize: fc.integer({ min: 1, max: 70 }),
        pieces: fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 1, maxLength: 6 }),
      });
      const property = fc.asyncProperty(
        cases,
        async ({ attention, cacheDtype, nLocal, nGlobal, beyond, seed, chunkSize, pieces }) => {
          const tokens = pieces.reduce((sum, size) => sum + size, 0);
          const ids = randomIds(tokens, seed);
          const shape = { nLocal, nGlobal, limit: nLocal + beyond };
          const options = { ...policyOf(attention, shape, tokens + 1), cacheDtype };
          const single = await oneByOne(await engineOf(family, { ...options, chunkSize: 1 }), ids);
          const engine = await engineOf(family, { ...options, chunkSize });
          const session = engine.open(0, 1);
          let read = 0;
          for (const size of pieces) {
            await engine.append(session, ids.slice(read, read + size));
            read += size;
            const found = engine.logits(engine.state(session));
            if (read > 0 && !sameBits(found, single[read - 1] as Float32Array)) return false;
          }
          const rows: Float32Array[] = [];
          await engine.forward(engine.open(0, 1), ids, (row) => void rows.push(row.slice()));
          return firstDifference(rows, single) === -1;
        },
      );
      await fc.assert(property, { numRuns: 30, seed: 2 });
    });

    test("windows and chunks beyond the 64 keys of a block", async () => {
      const ids = randomIds(300, 3);
      for (const attention of POLICIES) {
        const shape: PolicyOptions = { nLocal: 70, nGlobal: 5, limit: 100 };
        const model = await Bare.load(family, { ...policyOf(attention, shape, 300), chunkSize: 150, maxSessions: 1 });
        const single = model.read(ids, 1);
        for (const size of [63, 64, 65, 71, 150]) expect(firstDifference(model.read(ids, size), single)).toBe(-1);
      }
    });
  },
);

describe.each([...FAMILIES, "gemma3-text"])("%s: a row does not depend on which rows share its step", (family) => {
  test("rows of three sessions in any order of runs give the bits of each session alone", async () => {
    const run = fc.tuple(fc.nat({ max: 2 }), fc.integer({ min: 1, max: 12 }));
    const cases = fc.record({
      ...numbers,
      origins: fc.tuple(fc.nat({ max: 3 }), fc.nat({ max: 200 }), fc.nat({ max: 2 ** 45 })),
      steps: fc.array(fc.uniqueArray(run, { selector: ([session]) => session, minLength: 1 }), { maxLength: 10 }),
    });
    const property = fc.asyncProperty(
      cases,
      async ({ attention, cacheDtype, nLocal, nGlobal, beyond, seed, origins, steps }) => {
        const texts = origins.map((_, i) => randomIds(120, seed + i));
        const shape = { nLocal, nGlobal, limit: nLocal + beyond };
        const options = { ...policyOf(attention, shape, 120), cacheDtype };
        const model = await Bare.load(family, { ...options, chunkSize: 36, maxSessions: 3 });
        const done = [0, 0, 0];
        const rows: Float32Array[][] = [[], [], []];
        for (const runs of steps) {
          const tokens = runs.flatMap(([session, count]): Token[] => {
            const origin = origins[session] as number;
            const begin = done[session] as number;
            done[session] = begin + count;
            const text = (texts[session] as number[]).slice(begin, begin + count);
            return text.map((token, i) => ({ session, token, position: origin + begin + i, origin }));
          });
          for (const [i, row] of model.step(tokens).entries()) rows[(tokens[i] as Token).session]?.push(row);
        }
        return rows.every((found, session) => {
          const text = (texts[session] as number[]).slice(0, found.length);
          return firstDifference(found, model.read(text, 1, origins[session])) === -1;
        });
      },
    );
    await fc.assert(property, { numRuns: 30, seed: 3 });
  });
});

test("the engine gives the bits of a bare step, and every build those of every other", async () => {
  const ids = randomIds(100, 4);
  for (const [family, cacheDtype] of FAMILIES.flatMap((name) => CACHE_DTYPES.map((dtype) => [name, dtype] as const))) {
    const options = { nLocal: 16, nGlobal: 3, limit: 20, chunkSize: 32, cacheDtype };
    const wanted = await oneByOne(await engineOf(family, options), ids);
    for (const build of BUILDS) {
      expect(firstDifference((await Bare.load(family, options, build)).read(ids), wanted)).toBe(-1);
    }
  }
});
