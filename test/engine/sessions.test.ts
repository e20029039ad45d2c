/** Sessions of one engine do not meet: each gives what it gives alone, bit for bit. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { tick } from "../../src/base/tick.ts";
import type { NextToken } from "../../src/engine/engine.ts";
import { GREEDY, type Sampling } from "../../src/engine/sampler.ts";
import { readSnapshot, writeSnapshot } from "../../src/engine/snapshot.ts";
import { NO_TEXT } from "../../src/engine/state.ts";
import { samplerOf } from "./samplers.ts";
import { engineOf, firstDifference, oneByOne, PATIENCE, randomIds, rowOf, sameBits, VOCAB } from "./tiny.ts";

setDefaultTimeout(PATIENCE);

const sampling: Sampling = { ...GREEDY, doSample: true, repetitionPenalty: 1.2 };
const engine = await engineOf("llama-gqa-tied", { nLocal: 16, nGlobal: 3, chunkSize: 16 });

async function generate(session: number, count: number): Promise<NextToken[]> {
  const chosen: NextToken[] = [];
  while (chosen.length < count) chosen.push(await engine.next(session, sampling));
  return chosen;
}

/** The logits after `ids`, read in a session of its own. */
async function logitsAfter(ids: number[]): Promise<Float32Array> {
  return (await oneByOne(engine, ids)).at(-1) as Float32Array;
}

test("three that generate at once give what each gives alone", async () => {
  const prompts = [randomIds(5, 7), randomIds(90, 8), randomIds(33, 9)];
  const run = async (prompt: number[], i: number): Promise<NextToken[]> => {
    const session = engine.open(i * 1000, i);
    await engine.append(session, prompt);
    const chosen = await generate(session, 60);
    engine.dispose(session);
    return chosen;
  };
  const alone: NextToken[][] = [];
  for (const [i, prompt] of prompts.entries()) alone.push(await run(prompt, i));
  expect(await Promise.all(prompts.map(run))).toEqual(alone);
  expect(new Set(alone.flat().map(({ id }) => id)).size).toBeGreaterThan(20);
});

test("two that are read at once get their own logits, however long the reader takes", async () => {
  const texts = [randomIds(70, 16), randomIds(70, 17)];
  const read = async (ids: number[]): Promise<Float32Array[]> => {
    const session = engine.open(0, 1);
    const rows: Float32Array[] = [];
    await engine.forward(session, ids, async (logits) => {
      rows.push(logits.slice());
      await tick();
    });
    engine.dispose(session);
    return rows;
  };
  const alone = [await read(texts[0] as number[]), await read(texts[1] as number[])];
  const together = await Promise.all(texts.map(read));
  for (const [i, rows] of together.entries()) expect(firstDifference(rows, alone[i] as Float32Array[])).toBe(-1);
});

test("a fork goes its own way, from the same random numbers and penalty counts", async () => {
  const ids = randomIds(50, 10);
  const session = engine.open(0, 5);
  await engine.append(session, ids);
  await generate(session, 10);
  const fork = engine.fork(session);
  const chosen = await generate(session, 30);
  expect(await generate(fork, 30)).toEqual(chosen);
  const second = engine.fork(session);
  await engine.append(session, randomIds(20, 11));
  engine.dispose(session);
  const third = engine.open(0, 1); // takes the slot of the first
  await engine.append(third, randomIds(40, 12));
  expect(await generate(second, 20)).toEqual(await generate(fork, 20));
  for (const id of [fork, second, third]) engine.dispose(id);
});

test("the penalty counts the last nLocal tokens, of the prompt and chosen, whatever else is in the engine", async () => {
  const session = engine.open(0, 3);
  const text = randomIds(40, 18);
  await engine.append(session, text);
  const sampler = samplerOf(VOCAB);
  const strong = { ...sampling, repetitionPenalty: 3 };
  const random = { seed: 3, counter: 0 };
  for (let i = 0; i < 40; i++) {
    const { id } = await engine.next(session, strong);
    const logits = await logitsAfter(text);
    const recent = Int32Array.from(text.slice(-16));
    expect(id).toBe(sampler.choose(logits, strong, { recent, position: 16, length: 16, newTokens: 0 }, random).id);
    text.push(id);
  }
  engine.dispose(session);
});

test("one that is disposed while it reads writes nothing more to its slot", async () => {
  const ids = randomIds(64, 13);
  const wanted = await logitsAfter(ids);
  const leaving = engine.open(0, 1);
  const reading = engine.append(leaving, randomIds(400, 14)).catch(() => {});
  await tick();
  engine.dispose(leaving);
  const session = engine.open(0, 1);
  await engine.append(session, ids);
  await reading;
  expect(sameBits(rowOf(engine, session), wanted)).toBe(true);
  await engine.append(session, randomIds(10, 15));
  expect(sameBits(rowOf(engine, session), await logitsAfter([...ids, ...randomIds(10, 15)]))).toBe(true);
  engine.dispose(session);
});

test("a session may pin fewer first tokens than the model, and no more; its snapshot says so", async () => {
  const engine = await engineOf("llama-gqa-tied", { nLocal: 8, nGlobal: 3, maxSessions: 4 });
  for (const nGlobal of [-1, 1.5, 4]) {
    expect(() => engine.open(0, 1, nGlobal)).toThrow(
      `nGlobal: expected a whole number from 0 to 3, the model's, found ${nGlobal}`,
    );
  }
  const session = engine.open(0, 1, 2);
  await engine.append(session, randomIds(30, 1));
  const snapshot = writeSnapshot(engine, engine.state(session), NO_TEXT);
  expect(engine.state(readSnapshot(engine, snapshot).id).nGlobal).toBe(2);
  const whole = writeSnapshot(engine, engine.state(engine.open(0, 1)), NO_TEXT);
  expect(snapshot.length).toBeGreaterThan(whole.length);
});
