/** Sessions that read and generate at once share steps: each gets, bit for bit, what it gets alone. */
import { afterAll, expect, setDefaultTimeout, spyOn, test } from "bun:test";
import fc from "fast-check";
import { OptionError } from "../../src/base/errors.ts";
import { tick } from "../../src/base/tick.ts";
import { type GenerateOptions, type LoadOptions, load, type Model, type Session } from "../../src/entry/index.ts";
import { Machine } from "../../src/machine/machine.ts";
import { POLICIES } from "../../src/plan/policy.ts";
import { FAMILIES, failure, freeSlots, removeTemporary, small, smallFolder, WILD } from "./small.ts";

setDefaultTimeout(240_000);
afterAll(removeTemporary);

const MOST = 64;

/** What a session does, one after the other. */
type Act =
  | { readonly kind: "append"; readonly tokens: number[] }
  /** As append, but aborted at once or after some turns of the event loop; the rest follows. */
  | { readonly kind: "cut"; readonly tokens: number[]; readonly turns: number }
  | { readonly kind: "generate"; readonly tokens: number; readonly seed: number }
  /** As generate, but the signal is aborted, or the reader leaves, behind so many tokens. */
  | { readonly kind: "abort" | "leave"; readonly tokens: number; readonly seed: number }
  | { readonly kind: "next"; readonly seed: number }
  /** Goes on in a copy; the first one is disposed of. */
  | { readonly kind: "fork" }
  | { readonly kind: "restore" };

interface Life {
  readonly prompt: number[];
  readonly acts: Act[];
  /** Turns of the event loop before each act, when others are there. */
  readonly pauses: number[];
}

const tokens = (least: number, most: number) =>
  fc.array(fc.integer({ min: 3, max: 59 }), { minLength: least, maxLength: most });
const count = fc.integer({ min: 1, max: 6 });
const seed = fc.integer({ min: 0, max: 1000 });
const act: fc.Arbitrary<Act> = fc.oneof(
  fc.record({ kind: fc.constant("append" as const), tokens: tokens(1, 40) }),
  fc.record({ kind: fc.constant("cut" as const), tokens: tokens(1, 90), turns: fc.nat(5) }),
  fc.record({ kind: fc.constantFrom("generate" as const, "abort" as const, "leave" as const), tokens: count, seed }),
  fc.record({ kind: fc.constant("next" as const), seed }),
  fc.constantFrom<Act>({ kind: "fork" }, { kind: "restore" }),
);
const life: fc.Arbitrary<Life> = fc.record({
  prompt: tokens(1, 60),
  acts: fc.array(act, { maxLength: 6 }),
  pauses: fc.array(fc.nat(4), { minLength: 6, maxLength: 6 }),
});
const setup: fc.Arbitrary<LoadOptions> = fc.record({
  attention: fc.constantFrom(...POLICIES),
  chunkSize: fc.constantFrom(1, 3, 16, 128),
  nLocal: fc.constantFrom(3, 8, 21),
  maxPositions: fc.constant(500),
});
/** Half of them so many that they do not fit into one step. */
const lives = fc.oneof(
  fc.array(life, { minLength: 2, maxLength: 6 }),
  fc.array(life, { minLength: 40, maxLength: MOST }),
);

/** Everything that a session gives in its life: ids, probabilities, logits. */
async function live(model: Model, { prompt, acts, pauses }: Life, company: boolean): Promise<unknown[]> {
  let session = await model.session({ seed: 1 });
  const given: unknown[] = [];
  await session.append(prompt);
  for (const [i, act] of acts.entries()) {
    for (let turns = company ? (pauses[i] as number) : 0; turns > 0; turns--) await tick();
    if (act.kind === "append") await session.append(act.tokens);
    else if (act.kind === "cut") await cut(session, act);
    else if (act.kind === "next") given.push(await session.next({ ...WILD, seed: act.seed }));
    else if (act.kind === "fork" || act.kind === "restore") session = await copy(model, session, act.kind);
    else given.push(...(await write(session, act.kind, act)));
    given.push([...new Uint32Array(((await session.logits()) ?? new Float32Array()).buffer)], session.length);
  }
  // In the midst of a step, as far as there is one.
  const cutOff = session.append(prompt).catch(() => {});
  if (company) for (let turns = prompt.length % 3; turns > 0; turns--) await tick();
  session.dispose();
  await cutOff;
  return given;
}

async function cut(session: Session, { tokens, turns }: { readonly tokens: number[]; readonly turns: number }) {
  const stop = new AbortController();
  const before = session.length;
  const reading = session.append(tokens, { signal: stop.signal }).catch((error) => error);
  for (let i = 0; i < turns; i++) await tick();
  stop.abort();
  await reading;
  await session.append(tokens.slice(session.length - before));
}

async function copy(model: Model, session: Session, kind: "fork" | "restore"): Promise<Session> {
  const copied = kind === "fork" ? await session.fork() : await model.restore(await session.snapshot());
  session.dispose();
  return copied;
}

async function write(
  session: Session,
  kind: "generate" | "abort" | "leave",
  { tokens, seed }: { readonly tokens: number; readonly seed: number },
) {
  const stop = new AbortController();
  const options: GenerateOptions = { ...WILD, seed, ignoreEos: true, signal: stop.signal };
  const generation = session.generate(undefined, { ...options, maxNewTokens: kind === "generate" ? tokens : 50 });
  const given: unknown[] = [];
  for await (const { id, logprob } of generation.tokens()) {
    given.push(id, logprob);
    if (given.length < 2 * tokens) continue;
    if (kind === "abort") stop.abort();
    if (kind === "leave") break;
  }
  const { logitsHash, newTokens, finishReason } = await generation.result;
  return [...given, logitsHash, newTokens, finishReason];
}

test.each([false, true])("2 to 64 at once, whatever they do and whenever (worker: %p)", async (worker) => {
  const run = async (family: string, options: LoadOptions, all: readonly Life[]) => {
    using model = await small(family, { ...options, worker, maxSessions: 2 * MOST });
    const alone: unknown[][] = [];
    for (const one of all) alone.push(await live(model, one, false));
    expect(await Promise.all(all.map((one) => live(model, one, true)))).toEqual(alone);
  };
  const cases = fc.asyncProperty(fc.constantFrom(...FAMILIES), setup, lives, run);
  await fc.assert(cases, { numRuns: worker ? 8 : 16 });
});

/** The rows of each step that is made while `work` goes on, as numbers by slot. */
async function stepsOf(
  work: () => Promise<unknown>,
  onStep = (_rows: number): void => {},
): Promise<ReadonlyMap<number, number>[]> {
  const steps: Map<number, number>[] = [];
  const run = Machine.prototype.run;
  const spy = spyOn(Machine.prototype, "run").mockImplementation(function (this: Machine, rows) {
    const step = new Map<number, number>();
    for (const { slot } of rows) step.set(slot, (step.get(slot) ?? 0) + 1);
    steps.push(step);
    onStep(rows.length);
    return run.call(this, rows);
  });
  try {
    await work();
  } finally {
    spy.mockRestore();
  }
  return steps;
}

const prompt = (length: number) => Array.from({ length }, (_, i) => 3 + (i % 50));

test("one that generates is in every step while another reads a prompt, and both get on", async () => {
  using model = await small("llama-gqa-tied", { chunkSize: 8, threads: 1 });
  const [writer, reader] = [await model.session(), await model.session()];
  await writer.append([5]);
  const steps = await stepsOf(async () => {
    const reading = reader.append(prompt(100));
    const generation = writer.generate(undefined, { ...WILD, seed: 2, maxNewTokens: 30, ignoreEos: true });
    await generation.result;
    await reading;
  });
  const shared = steps.filter((step) => step.size === 2);
  // 100 tokens in steps of 8 rows, of which the writer has one.
  expect(shared.length).toBeGreaterThanOrEqual(Math.floor(100 / 7) - 2);
  for (const step of shared.slice(0, -1))
    expect([...step]).toEqual(
      expect.arrayContaining([
        [0, 1],
        [1, 7],
      ]),
    );
  // No two steps one after the other without the writer, until it has ended.
  const last = steps.findLastIndex((step) => step.has(0));
  for (let i = 1; i <= last; i++) expect(steps[i - 1]?.has(0) || steps[i]?.has(0)).toBe(true);
});

test("while one generates, steps are as long as targetGap says; whole chunks again after it", async () => {
  const options = { chunkSize: 64, threads: 1 };
  using model = await small("llama-gqa-tied", { ...options, targetGap: 100 });
  // A step takes 10 ms for each of its rows.
  let now = 0;
  const clock = spyOn(performance, "now").mockImplementation(() => now);
  try {
    const [writer, reader] = [await model.session(), await model.session()];
    await writer.append([5]);
    const write = { ...WILD, seed: 2, maxNewTokens: 12, ignoreEos: true };
    const work = async () => {
      const reading = reader.append(prompt(400));
      const generation = writer.generate(undefined, write);
      await generation.result;
      await reading;
    };
    const steps = await stepsOf(work, (rows) => (now += 10 * rows));
    const sizes = steps.map((step) => [...step.values()].reduce((sum, rows) => sum + rows));
    const shared = sizes.filter((_, i) => steps[i]?.has(0));
    // The first one is as the step before it has been: a whole chunk, or the guess.
    expect(shared.length).toBeGreaterThan(5);
    for (const size of shared.slice(2)) expect(size).toBeLessThanOrEqual(11);
    expect(Math.max(...sizes.slice(steps.findLastIndex((step) => step.has(0)) + 2))).toBe(64);
  } finally {
    clock.mockRestore();
  }
});

test("those that read prompts share a step evenly", async () => {
  using model = await small("llama-gqa-tied", { chunkSize: 9, threads: 1 });
  const sessions = await Promise.all([30, 30, 2].map(() => model.session()));
  const steps = await stepsOf(() => Promise.all(sessions.map((session, i) => session.append(prompt([30, 30, 2][i]!)))));
  const rows = steps.slice(0, 3).map((step) => [0, 1, 2].map((slot) => step.get(slot) ?? 0));
  expect(rows).toEqual([
    [4, 3, 2],
    [4, 5, 0],
    [4, 5, 0],
  ]);
});

test("where a step has fewer rows than there are sessions, each has its turn", async () => {
  using model = await small("llama-gqa-tied", { chunkSize: 2, threads: 1 });
  const sessions = await Promise.all(Array.from({ length: 7 }, () => model.session({ seed: 1 })));
  const steps = await stepsOf(() => Promise.all(sessions.map((session) => session.append(prompt(20)))));
  for (const slot of sessions.keys()) {
    const mine = steps.flatMap((step, i) => (step.has(slot) ? [i] : []));
    // 7 sessions in steps of 2: every fourth step at the latest.
    for (const [i, at] of mine.entries()) expect(at - (mine[i - 1] ?? -1)).toBeLessThanOrEqual(4);
  }
});

test.each([false, true])("an abort is heard whoever makes the steps (worker: %p)", async (worker) => {
  using model = await small("llama-gqa-tied", { chunkSize: 2, worker, threads: 1 });
  const [first, second] = [await model.session(), await model.session()];
  const stop = new AbortController();
  const long = prompt(20_000);
  const ends = [first.append(long), second.append(long, { signal: stop.signal })].map((end) => end.catch(String));
  await tick();
  stop.abort("enough");
  expect(await ends[1]).toBe("enough");
  expect(second.length).toBeLessThan(long.length);
  first.dispose();
  expect(await ends[0]).toMatch(/disposed/);
});

test.each([false, true])(
  "a generation keeps its settings, or says that another one has begun (worker: %p)",
  async (worker) => {
    using model = await small("llama-gqa-tied", { worker, threads: 1 });
    const options: GenerateOptions = { ...WILD, seed: 7, maxNewTokens: 12, ignoreEos: true };
    using session = await model.session();
    const tokens = session.generate([5], options).tokens();
    await tokens.next();
    // Greedy choice says the same again and again here, sampling at this temperature does not.
    await session.next({ seed: 9, temperature: 0 });
    const ids: number[] = [];
    for (let i = 0; i < 5; i++) ids.push((await tokens.next()).value.id);
    expect(new Set(ids).size).toBeGreaterThan(2);
    await session.generate(undefined, { maxNewTokens: 0 }).text();
    expect((await failure(OptionError, () => tokens.next())).message).toBe(
      "another generation has begun in the session",
    );
  },
);

test.each([false, true])(
  "a session that is disposed of between tokens ends its generation (worker: %p)",
  async (worker) => {
    using model = await small("llama-gqa-tied", { worker, threads: 1 });
    const session = await model.session();
    const tokens = session.generate([5], { ...WILD, maxNewTokens: 12, ignoreEos: true }).tokens();
    await tokens.next();
    session.dispose();
    expect((await failure(OptionError, () => tokens.next())).message).toMatch(/^session \d+ was disposed$/);
  },
);

test("a session that opens as its model ends gives its slot back to the others of the engine", async () => {
  const folder = smallFolder("llama-gqa-tied");
  const options = { nLocal: 8, maxSessions: 3, threads: 1 };
  using stays = await load(folder, options);
  const open = async (wait: boolean) => {
    const goes = await load(folder, options);
    const opening = goes.session({ wait });
    const writing = goes.generate([5], { maxNewTokens: 3 }).text();
    goes.dispose();
    await Promise.allSettled([opening, writing]);
  };
  await open(false);
  const all = await Promise.all([1, 2, 3].map(() => stays.session()));
  const waiting = open(true);
  for (const session of all) session.dispose();
  await waiting;
  expect(await freeSlots(stays)).toBe(3);
});
