/** Whole turns of a chat leave the window, and a session pins as many first tokens as it asks for: against the mask written out literally, however they are read. */
import { expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { readSnapshot, writeSnapshot } from "../../src/engine/snapshot.ts";
import { NO_TEXT } from "../../src/engine/state.ts";
import { deviation } from "../setup.ts";
import { dense, engineOf, FAMILIES, PATIENCE, randomIds, rowOf } from "./tiny.ts";

setDefaultTimeout(PATIENCE);

/** By the definition: local keys of p start with the first turn that its window has, once the window has left the text's start. */
function beginIn(starts: readonly number[], nLocal: number): (p: number) => number {
  return (p) => {
    for (let j = Math.max(0, p - nLocal + 1); p >= nLocal && j <= p; j++) if (starts.includes(j)) return j;
    return 0;
  };
}

const cases = fc.record({
  attention: fc.constantFrom("lambda" as const, "window" as const, "sinks" as const, "lambda-only" as const),
  nLocal: fc.integer({ min: 1, max: 24 }),
  nGlobal: fc.integer({ min: 0, max: 8 }),
  /** Of nGlobal, what the session has. */
  own: fc.integer({ min: 0, max: 8 }),
  tokens: fc.integer({ min: 2, max: 80 }),
  turns: fc.uniqueArray(fc.nat({ max: 79 }), { maxLength: 12 }),
  pieces: fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 8 }),
  origin: fc.constantFrom(0, 7, 2 ** 40),
  seed: fc.nat(),
});

test.each([...FAMILIES])(
  "%s: logits within 2e-4 of the f64 reference; the same bits in pieces, forks and snapshots",
  async (family) => {
    const property = fc.asyncProperty(cases, async ({ tokens, turns, pieces, origin, seed, own, ...shape }) => {
      const ids = randomIds(tokens, seed);
      const starts = turns.filter((turn) => turn < tokens).sort((a, b) => a - b);
      const limit = shape.nLocal + 3;
      const pinned = Math.min(own, shape.attention === "window" ? 0 : shape.nGlobal);
      const wanted = dense(family, ids, { ...shape, pinned, limit, begin: beginIn(starts, shape.nLocal) });
      const engine = await engineOf(family, { ...shape, limit, maxSessions: 4, chunkSize: 16 });
      const whole = engine.open(origin, 1, pinned);
      await engine.append(whole, ids, undefined, { turnStarts: starts });
      const last = rowOf(engine, whole);
      expect(deviation(last, wanted.at(-1)!)).toBeLessThan(2e-4);

      let one = engine.open(origin, 1, pinned);
      for (let from = 0, i = 0; from < tokens; i++) {
        const to = Math.min(tokens, from + pieces[i % pieces.length]!);
        const mine = starts.filter((start) => start >= from && start < to).map((start) => start - from);
        if (i % 3 === 1) {
          const fork = engine.fork(one);
          engine.dispose(one);
          one = fork;
        }
        if (i % 3 === 2) {
          const { id } = readSnapshot(engine, writeSnapshot(engine, engine.state(one), NO_TEXT));
          engine.dispose(one);
          one = id;
        }
        await engine.append(
          one,
          ids.slice(from, to),
          undefined,
          i === 0 || mine.length > 0 ? { turnStarts: mine } : {},
        );
        expect(deviation(rowOf(engine, one), wanted[to - 1]!)).toBeLessThan(2e-4);
        from = to;
      }
      expect([...rowOf(engine, one)]).toEqual([...last]);
      const bytes = (id: number) => writeSnapshot(engine, engine.state(id), NO_TEXT);
      expect(bytes(one)).toEqual(bytes(whole));
    });
    await fc.assert(property, { numRuns: 25 });
  },
);

test("an append that is cut off leaves no turns of tokens that it has not read", async () => {
  const shape = { attention: "lambda" as const, nLocal: 8, nGlobal: 2, chunkSize: 4, maxSessions: 2 };
  const engine = await engineOf(FAMILIES[0]!, shape);
  const ids = randomIds(400, 1);
  const turns = Array.from({ length: 40 }, (_, i) => 10 * i);
  const [cut, whole] = [engine.open(0, 1), engine.open(0, 1)];
  const controller = new AbortController();
  const read = engine.append(cut, ids, controller.signal, { turnStarts: turns });
  while (engine.state(cut).position < 12) await new Promise((resolve) => setTimeout(resolve));
  controller.abort();
  await read.catch(() => {});
  const { position } = engine.state(cut);
  expect(position).toBeLessThan(400);
  await engine.append(cut, ids.slice(position));
  await engine.append(whole, ids.slice(0, position), undefined, {
    turnStarts: turns.filter((start) => start < position),
  });
  await engine.append(whole, ids.slice(position));
  expect([...rowOf(engine, cut)]).toEqual([...rowOf(engine, whole)]);
});
