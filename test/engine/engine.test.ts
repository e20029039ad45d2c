/** Sessions of an engine: what is refused, what an interrupted call leaves behind, and how much a text may hold. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { OptionError } from "../../src/base/errors.ts";
import { tick } from "../../src/base/tick.ts";
import type { Engine, NextToken } from "../../src/engine/engine.ts";
import { GREEDY, type Sampling } from "../../src/engine/sampler.ts";
import { engineOf, firstDifference, oneByOne, PATIENCE, randomIds, rowOf, sameBits, VOCAB } from "./tiny.ts";

setDefaultTimeout(PATIENCE);

const options = { nLocal: 16, nGlobal: 3, chunkSize: 16 };
const sampling: Sampling = { ...GREEDY, doSample: true, repetitionPenalty: 1.2 };
const engine = await engineOf("llama-gqa-tied", options);

/** The message of the OptionError that `action` ends in. */
async function optionError(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    if (error instanceof OptionError) return error.message;
    throw error;
  }
  return "no error";
}

async function generate(from: Engine, session: number, count: number): Promise<NextToken[]> {
  const chosen: NextToken[] = [];
  while (chosen.length < count) chosen.push(await from.next(session, sampling));
  return chosen;
}

/** The logits after `ids`, read in a session of its own. */
async function logitsAfter(ids: number[]): Promise<Float32Array> {
  return (await oneByOne(engine, ids)).at(-1) as Float32Array;
}

const position = (session: number): number => engine.state(session).position;
const row = (session: number): Float32Array => rowOf(engine, session);

describe("what is refused leaves a session as it was", () => {
  test.each([-1, VOCAB, 1.5, NaN, Infinity, "3", null, undefined])("token %p", async (bad) => {
    const session = engine.open(0, 1);
    await engine.append(session, [1, 2]);
    const before = row(session);
    const ids = [...randomIds(20, 1), bad as number];
    const message = `token 20: expected an id from 0 to ${VOCAB - 1}, found `;
    expect(await optionError(() => engine.append(session, ids))).toStartWith(message);
    expect(await optionError(() => engine.forward(session, ids, () => {}))).toStartWith(message);
    expect([position(session), sameBits(row(session), before)]).toEqual([2, true]);
    await engine.append(session, [3]);
    expect(sameBits(row(session), await logitsAfter([1, 2, 3]))).toBe(true);
    engine.dispose(session);
  });

  test("next before any token, and again after none", async () => {
    const session = engine.open(0, 1);
    const message = `session ${session} has no logits to choose from: append tokens first`;
    expect(await optionError(() => engine.next(session, GREEDY))).toBe(message);
    await engine.append(session, []);
    expect(await optionError(() => engine.next(session, GREEDY))).toBe(message);
    await engine.append(session, [5]);
    expect((await engine.next(session, GREEDY)).position).toBe(1);
    engine.dispose(session);
  });

  test("sampling options out of range", async () => {
    const session = engine.open(0, 1);
    await engine.append(session, [5]);
    const message = "topP: expected a number above 0, at most 1, found 2";
    expect(await optionError(() => engine.next(session, { ...GREEDY, topP: 2 }))).toBe(message);
    await engine.next(session, GREEDY);
    engine.dispose(session);
  });

  test("a second call while one is under way; other sessions are free", async () => {
    const [session, other] = [engine.open(0, 1), engine.open(0, 1)];
    const ids = randomIds(100, 2);
    const first = engine.append(session, ids);
    const message = `session ${session} is busy: it takes one call at a time`;
    expect(await optionError(() => engine.append(session, [1]))).toBe(message);
    expect(await optionError(() => engine.next(session, GREEDY))).toBe(message);
    expect(await optionError(() => engine.forward(session, [1], () => {}))).toBe(message);
    await engine.append(other, [1]);
    await first;
    expect(sameBits(row(session), await logitsAfter(ids))).toBe(true);
    await engine.next(session, GREEDY);
    for (const id of [session, other]) engine.dispose(id);
  });

  test("a session that was disposed", async () => {
    const session = engine.open(0, 1);
    engine.dispose(session);
    engine.dispose(session);
    const message = `session ${session} was disposed`;
    expect(await optionError(() => engine.append(session, [1]))).toBe(message);
    expect(await optionError(() => engine.next(session, GREEDY))).toBe(message);
    expect(await optionError(() => engine.fork(session))).toBe(message);
    expect(await optionError(() => engine.state(session))).toBe(message);
  });

  test("more sessions than maxSessions, opened or forked, until one is disposed; a slot is given clean", async () => {
    const small = await engineOf("gptj", { ...options, maxSessions: 2 });
    const sessions = [small.open(0, 1), small.open(0, 1)];
    const message = "session: expected at most 2 open at once, found 3";
    expect(await optionError(() => small.open())).toBe(message);
    expect(await optionError(() => small.fork(sessions[0] as number))).toBe(message);
    const ids = randomIds(40, 3);
    for (const session of sessions) await small.append(session, ids);
    small.dispose(sessions[0] as number);
    expect(firstDifference(await oneByOne(small, ids), await oneByOne(await engineOf("gptj", options), ids))).toBe(-1);
  });
});

describe.each(["full", "ceiling-only"] as const)("maxPositions under %s", (attention) => {
  const load = () => engineOf("llama-gqa-tied", { attention, maxPositions: 40, limit: 16, chunkSize: 16 });
  const message = (found: number) =>
    `maxPositions: expected at most 40 tokens under ${attention} attention, found ${found}`;

  test("a text that does not fit is refused as a whole, and the session goes on", async () => {
    const bounded = await load();
    const ids = randomIds(41, 4);
    const wanted = await oneByOne(bounded, ids.slice(0, 40));
    for (const count of [0, 30]) {
      const session = bounded.open(0, 1);
      await bounded.append(session, ids.slice(0, count));
      expect(await optionError(() => bounded.append(session, ids.slice(count)))).toBe(message(41));
      expect(await optionError(() => bounded.forward(session, ids.slice(count), () => {}))).toBe(message(41));
      expect(bounded.state(session).position).toBe(count);
      await bounded.append(session, ids.slice(count, 40));
      expect(sameBits(bounded.logits(bounded.state(session)), wanted[39] as Float32Array)).toBe(true);
      bounded.dispose(session);
    }
  });

  test("generation ends at the token beyond", async () => {
    const bounded = await load();
    const session = bounded.open(100, 1);
    await bounded.append(session, randomIds(38, 5));
    const chosen = await generate(bounded, session, 3);
    expect(chosen.map((token) => token.position)).toEqual([138, 139, 140]);
    expect(await optionError(() => bounded.next(session, sampling))).toBe(message(41));
    expect(bounded.state(session)).toMatchObject({ position: 140, pending: chosen[2]?.id as number });
    bounded.dispose(bounded.fork(session));
  });
});

describe("an AbortSignal", () => {
  test("ends a long prefill with its reason; position says what was read, and reading goes on from there", async () => {
    const ids = randomIds(400, 6);
    const wanted = await logitsAfter(ids);
    for (const call of ["append", "forward"] as const) {
      const session = engine.open(0, 1);
      const controller = new AbortController();
      const reading =
        call === "append"
          ? engine.append(session, ids, controller.signal)
          : engine.forward(session, ids, () => {}, controller.signal);
      const ended = reading.then(
        () => "read",
        (error) => error,
      );
      for (let i = 0; i < 3; i++) await tick();
      const reason = new Error("enough");
      controller.abort(reason);
      expect(await ended).toBe(reason);
      const read = position(session);
      expect(read % 16).toBe(0);
      expect(read).toBeGreaterThan(0);
      expect(read).toBeLessThan(400);
      // There may be no logits to choose from now, but never old ones.
      if (call === "append")
        expect(await optionError(() => engine.next(session, GREEDY))).toContain("has no logits to choose from");
      await engine.append(session, ids.slice(read));
      expect(sameBits(row(session), wanted)).toBe(true);
      expect((await engine.next(session, GREEDY)).position).toBe(400);
      engine.dispose(session);
    }
  });

  test("that is aborted already reads nothing", async () => {
    const session = engine.open(0, 1);
    const signal = AbortSignal.abort();
    expect(engine.append(session, [1, 2], signal)).rejects.toBe(signal.reason);
    await tick();
    expect(position(session)).toBe(0);
    engine.dispose(session);
  });
});
