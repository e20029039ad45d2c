/** Workers that are lost: never a hang, never a wrong bit, and the next step has new ones. */
import { afterEach, describe, expect, setDefaultTimeout, spyOn, test } from "bun:test";
import { Control } from "../../assembly/layout.ts";
import type { Engine } from "../../src/engine/engine.ts";
import type { StartThread } from "../../src/machine/pool.ts";
import { bun } from "../../src/runtime/bun.ts";
import { Crew } from "../machine/crew.ts";
import { compile, type Mutation, timeoutOf } from "./mutant.ts";

// Only a net for a hang.
setDefaultTimeout(30_000);

const OPTIONS = { nLocal: 16, nGlobal: 3, limit: 20, chunkSize: 16 };
const PROMPT = Array.from({ length: 20 }, (_, i) => (i * 7) % 61);
const LOST = "the step lost thread 1 of 3";
const CUT_OFF = /^session \d+ cannot go on: a step of it was cut off$/;

/** Thread 1 traps, or stays in its kernel, or thread 0 traps, as long as this word of the control block says so. */
const ORDER = 32;
enum Order {
  Work,
  Trap,
  Stay,
  TrapFirst,
}
const obedient: Mutation = {
  file: "index.ts",
  from: 'export { execute, run } from "./program";',
  to: `
    import { run as begin } from "./program";
    export { execute } from "./program";
    export function run(program: usize, step: usize, control: usize, thread: u32, threads: u32): u32 {
      if (thread == 1 && atomic.load<u32>(control, ${ORDER}) == ${Order.Trap}) unreachable();
      if (thread == 0 && atomic.load<u32>(control, ${ORDER}) == ${Order.TrapFirst}) unreachable();
      while (thread == 1 && atomic.load<u32>(control, ${ORDER}) == ${Order.Stay}) {}
      return begin(program, step, control, thread, threads);
    }`,
};
const crews: Crew[] = [];
const orders: (() => void)[] = [];

afterEach(() => {
  for (const release of orders.splice(0)) release();
  for (const crew of crews.splice(0)) crew.stop();
});

/** An engine with three threads, two sessions that have read the prompt, and what its next logits are to be. */
async function begin(timeout: number) {
  const crew = await Crew.open(bun.startThread, (build) => compile(build, [obedient, timeoutOf(timeout)]));
  crews.push(crew);
  const engine = await crew.engine("llama-gqa-tied", 3, OPTIONS);
  await crew.ready();
  const sessions = [engine.open(0, 1), engine.open(0, 1), engine.open(0, 1)] as const;
  for (const session of sessions) await engine.append(session, PROMPT);
  await engine.append(sessions[2], [5]);
  const memory = crew.workers[0]?.memories[0] as WebAssembly.Memory;
  const control = new Int32Array(memory.buffer, engine.plan.banks[0]?.control, 16);
  const order = (what: Order) => Atomics.store(control, ORDER / 4, what);
  orders.push(() => order(Order.Work));
  return { crew, engine, sessions, control, order, wanted: bits(engine, sessions[2]) };
}

function bits(engine: Engine, session: number): Uint32Array {
  return new Uint32Array(engine.logits(engine.state(session)).slice().buffer);
}

/** The session whose step failed is refused for good, but can be disposed of; the other goes on with three new threads. */
async function recovers({ crew, engine, sessions, control, wanted }: Awaited<ReturnType<typeof begin>>): Promise<void> {
  const [failed, other] = sessions;
  for (const call of [
    async () => engine.append(failed, [5]),
    async () => engine.fork(failed),
    async () => engine.state(failed),
  ]) {
    await expect(call()).rejects.toThrow(CUT_OFF);
  }
  await engine.append(other, [5]);
  expect(bits(engine, other)).toEqual(wanted);
  engine.dispose(failed);
  const fresh = engine.open(0, 1);
  await engine.append(fresh, PROMPT);
  await crew.ready(2);
  await engine.append(fresh, [5]);
  expect(bits(engine, fresh)).toEqual(wanted);
  // A worker that is gone before the step begins is replaced at once, and then all are.
  const { length } = crew.workers;
  expect([4, 5]).toContain(length);
  expect([crew.threads(length - 2), crew.threads(length - 1)]).toEqual([3, 3]);
  expect([control[Control.arrived / 4], control[Control.abort / 4]]).toEqual([0, 0]);
}

describe("in the middle of a step", () => {
  test("a worker that traps: all return at once", async () => {
    // Who waits for the barrier's patience fails.
    const parts = await begin(60_000);
    parts.order(Order.Trap);
    await expect(parts.engine.append(parts.sessions[0], [5])).rejects.toThrow(LOST);
    parts.order(Order.Work);
    await recovers(parts);
  });

  test("a worker that was terminated: the others wait for it no longer than the barrier's patience", async () => {
    const parts = await begin(200);
    parts.order(Order.Stay);
    parts.crew.workers[0]?.thread.terminate();
    await expect(parts.engine.append(parts.sessions[0], [5])).rejects.toThrow("the step lost thread 1");
    parts.order(Order.Work);
    await recovers(parts);
  });

  test("a worker that is late: no step begins before it is out of its kernel", async () => {
    const parts = await begin(200);
    parts.order(Order.Stay);
    await expect(parts.engine.append(parts.sessions[0], [5])).rejects.toThrow(LOST);
    let ended = false;
    const next = parts.engine.append(parts.sessions[2], [6]).finally(() => {
      ended = true;
    });
    await Bun.sleep(300);
    expect(ended).toBe(false);
    parts.order(Order.Work);
    await next;
    await recovers(parts);
  });

  test("a worker that does not come back: steps are refused as long as it is away", async () => {
    const parts = await begin(200);
    parts.order(Order.Stay);
    const timer = spyOn(globalThis, "setTimeout");
    await expect(parts.engine.append(parts.sessions[0], [5])).rejects.toThrow(LOST);
    const next = parts.engine.append(parts.sessions[2], [6]);
    const [late, patience] = timer.mock.calls[0] as [() => void, number];
    timer.mockRestore();
    expect(patience).toBe(10_000);
    late();
    const message = "threads of a step that failed are still running";
    await expect(next).rejects.toThrow(message);
    await expect(parts.engine.append(parts.sessions[2], [6])).rejects.toThrow(message);
    parts.order(Order.Work);
    await Promise.all(parts.crew.workers.map(({ thread }) => thread.ended));
    await recovers(parts);
  });

  test("thread 0 itself: the others come out, and the session is refused", async () => {
    const parts = await begin(60_000);
    parts.order(Order.TrapFirst);
    await expect(parts.engine.append(parts.sessions[0], [5])).rejects.toThrow(WebAssembly.RuntimeError);
    parts.order(Order.Work);
    await recovers(parts);
  });
});

test("a worker that ends between two steps is replaced", async () => {
  const { crew, engine, sessions, wanted } = await begin(60_000);
  const { thread } = crew.workers[0] as Crew["workers"][number];
  thread.terminate();
  await thread.ended;
  await engine.append(sessions[0], [5]);
  expect(bits(engine, sessions[0])).toEqual(wanted);
  await crew.ready(1);
  await engine.append(sessions[1], [5]);
  expect(bits(engine, sessions[1])).toEqual(wanted);
  expect(crew.workers.length).toBe(3);
  expect([1, 2].map((worker) => crew.threads(worker))).toEqual([3, 3]);
});

describe("where no worker can be started, one thread does everything", () => {
  const failures: [string, StartThread][] = [
    [
      "starting throws",
      () => {
        throw new Error("no threads here");
      },
    ],
    ["they end at once", () => ({ post() {}, terminate() {}, ended: Promise.resolve() })],
  ];
  test.each(failures)("%s", async (_, start) => {
    const { engine: other, sessions, wanted } = await begin(60_000);
    expect(bits(other, sessions[2])).toEqual(wanted);
    const crew = await Crew.open(start);
    const engine = await crew.engine("llama-gqa-tied", 3, OPTIONS);
    const session = engine.open(0, 1);
    await engine.append(session, PROMPT);
    await engine.append(session, [5]);
    expect(bits(engine, session)).toEqual(wanted);
    expect(engine.threads).toBe(1);
    // Nobody tries again and again.
    expect(crew.workers.length).toBeLessThanOrEqual(2);
  });
});
