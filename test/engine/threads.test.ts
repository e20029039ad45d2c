/** What is computed does not depend on how many threads compute it, nor on what else their pool does. */
import { afterAll, afterEach, expect, mock, spyOn, test } from "bun:test";
import { join } from "node:path";
import type { Engine, LoadingOptions } from "../../src/engine/engine.ts";
import { GREEDY } from "../../src/engine/sampler.ts";
import { Mail } from "../../src/machine/mailbox.ts";
import { ThreadChoice } from "../../src/machine/thread_choice.ts";
import { planModel } from "../../src/plan/plan_checkpoint.ts";
import { bun } from "../../src/runtime/bun.ts";
import { Crew } from "../machine/crew.ts";
import { MODELS, openEngine } from "../setup.ts";
import { checkpointOf, fixture, randomIds } from "./tiny.ts";

const SMALL: LoadingOptions = { nLocal: 16, nGlobal: 3, limit: 20, chunkSize: 16 };
const crews: Crew[] = [];

async function crewOf(...args: Parameters<typeof Crew.open>): Promise<Crew> {
  const crew = await Crew.open(...args);
  crews.push(crew);
  return crew;
}

// How many take part depends on the time that steps take; here all of them do.
spyOn(ThreadChoice.prototype, "begin").mockImplementation(function (this: ThreadChoice) {
  return this.most;
});

afterAll(() => mock.restore());

afterEach(() => {
  for (const crew of crews.splice(0)) crew.stop();
});

/** The hash of every row of logits, of prompts in chunks, of decoding, and of two sessions that take turns. */
async function hashOf(engine: Engine, seed = 1): Promise<string> {
  const sessions = [engine.open(0, 1), engine.open(5, 1)];
  const hashes: string[] = [];
  for (const [i, session] of sessions.entries()) {
    engine.begin(session, undefined, GREEDY);
    await engine.append(session, randomIds(40 + i, seed + i));
  }
  for (let n = 0; n < 8; n++) for (const session of sessions) await engine.next(session, GREEDY);
  for (const session of sessions) {
    hashes.push(engine.state(session).hash.hex());
    engine.dispose(session);
  }
  return hashes.join();
}

test.each([
  ["llama-gqa-tied", SMALL],
  ["mpt-heads6", SMALL],
  ["gptj", SMALL],
  ["gptj", { ...SMALL, nLocal: 47, limit: 56, recall: 3, recallLayers: [1], recallTokens: 20, recallBlocks: 1 }],
  ["gemma3-text", SMALL],
  ["gemma2", { ...SMALL, nLocal: 47, limit: 56, recall: 3, recallLayers: [1], recallTokens: 20 }],
  [join(MODELS, "lambent-llama-5m"), { nLocal: 32, chunkSize: 16 }],
] as const)("%s: 1, 2, 3 and 4 threads give the same bits as a build without threads", async (where, options) => {
  const crew = await crewOf();
  const alone = await crew.engine(where, 1, options);
  const wanted = await hashOf(alone);
  expect(alone.threads).toBe(1);
  expect(crew.workers.length).toBe(0);
  for (const threads of [2, 3, 4]) {
    const engine = await crew.engine(where, threads, options);
    expect(engine.threads).toBe(threads);
    await crew.ready();
    const before = crew.jobs;
    expect(await hashOf(engine)).toBe(wanted);
    // All of them had the same work, and no worker was started twice.
    expect(crew.jobs.length).toBe(threads - 1);
    const done = crew.jobs.map((jobs, i) => jobs - (before[i] ?? 0));
    expect(new Set(done)).toEqual(new Set([2 * 3 + 2 * 7]));
    for (let i = 0; i < threads - 1; i++) expect(crew.threads(i)).toBe(threads);
  }
  if (!where.includes("/")) return;
  const single = await openEngine(where, options);
  expect(await hashOf(single)).toBe(wanted);
});

test("workers that are still on their way are not waited for", async () => {
  const crew = await crewOf();
  const wanted = await hashOf(await crew.engine("gptj", 1, SMALL));
  // Their messages come when the test lets them.
  const held: (() => void)[] = [];
  const slow = await crewOf(() => {
    const thread = bun.startThread();
    return { ...thread, post: (message) => void held.push(() => thread.post(message)) };
  });
  const engine = await slow.engine("gptj", 3, SMALL);
  expect(await hashOf(engine)).toBe(wanted);
  expect(slow.jobs).toEqual([0, 0]);
  for (const post of held.splice(0, 1)) post();
  while (slow.workers[0]?.mailbox?.[Mail.handled] === 0) await Bun.sleep(1);
  expect(await hashOf(engine)).toBe(wanted);
  expect(slow.jobs).toEqual([20, 0]);
  expect(slow.threads(0)).toBe(2);
});

test("two models take turns on one pool, with threads of their own number", async () => {
  const crew = await crewOf();
  const names = ["llama-gqa-tied", "mpt-heads6"] as const;
  const wanted = await Promise.all(names.map(async (name) => hashOf(await crew.engine(name, 1, SMALL))));
  const first = await crew.engine(names[0], 2, SMALL);
  await crew.ready();
  const begun = hashOf(first);
  const second = await crew.engine(names[1], 3, SMALL);
  expect(await begun).toBe(wanted[0] as string);
  await crew.ready();
  expect(await Promise.all([hashOf(first), hashOf(second)])).toEqual(wanted as [string, string]);
  expect(crew.workers.length).toBe(2);
  const [one, two] = crew.jobs as [number, number];
  expect(two).toBe(20);
  expect(one).toBeGreaterThan(two);
});

test("a model in several banks", async () => {
  const crew = await crewOf();
  const wanted = await hashOf(await crew.engine("llama-untied", 1, SMALL));
  const checkpoint = await checkpointOf(fixture("llama-untied"));
  let bankBytes = 2 ** 18;
  const banks = () => {
    try {
      return planModel(checkpoint, { ...SMALL, bankBytes }).plan.banks.length;
    } catch {
      return Infinity; // no layer fits
    }
  };
  while (banks() > 3) bankBytes += 2048;
  const engine = await crew.engine("llama-untied", 2, { ...SMALL, bankBytes });
  expect(engine.plan.banks.length).toBeGreaterThan(1);
  await crew.ready();
  expect(await hashOf(engine)).toBe(wanted);
  expect(crew.jobs).toEqual([20 * engine.plan.segments.length]);
});

test("sessions that make the memory grow are seen by the workers", async () => {
  const crew = await crewOf();
  const options = { ...SMALL, nLocal: 512, limit: 512, maxSessions: 40 };
  const read = async (engine: Engine) => {
    const hashes: string[] = [];
    for (let i = 0; i < 40; i++) {
      const session = engine.open(0, 1);
      engine.begin(session, undefined, GREEDY);
      await engine.append(session, randomIds(5, i));
      await engine.next(session, GREEDY);
      hashes.push(engine.state(session).hash.hex());
    }
    return hashes;
  };
  const { plan } = await crew.engine("llama-gqa-tied", 1, options);
  expect(plan.banks[0]?.maximumBytes).toBeGreaterThan((plan.banks[0]?.initialBytes ?? 0) + 2 ** 20);
  const wanted = await read(await crew.engine("llama-gqa-tied", 1, options));
  const engine = await crew.engine("llama-gqa-tied", 3, options);
  await crew.ready();
  expect(await read(engine)).toEqual(wanted);
  expect(crew.jobs).toEqual([40, 40]);
});
