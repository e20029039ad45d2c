import { describe, expect, test } from "bun:test";
import { ThreadChoice } from "../../src/machine/thread_choice.ts";

/** A machine whose steps take `ms(threads)`, whose clock they move. */
function machine(most: number, ms: (threads: number, time: number) => number) {
  let time = 0;
  const choice = new ThreadChoice(most, () => time);
  const taken: number[] = [];
  return {
    taken,
    /** Steps for so many ms; the share of the time that the best number of threads would have taken. */
    run(duration: number, rows = 1): number {
      const end = time + duration;
      let ideal = 0;
      let real = 0;
      while (time < end) {
        const threads = choice.begin(rows);
        taken.push(threads);
        const step = ms(threads, time);
        ideal += Math.min(...Array.from({ length: most }, (_, i) => ms(i + 1, time)));
        real += step;
        time += step;
        choice.end();
      }
      return ideal / real;
    },
  };
}

const free = (threads: number) => 12 / threads + 0.3;
/** One core of the machine is busy: as soon as a thread is on it, all wait at every barrier. */
const busy = (most: number) => (threads: number) => (threads === most ? 40 : free(threads));

describe.each([2, 3, 4, 8, 16])("%i threads", (most) => {
  test("all of them take part on a machine that is free, but for rare trials", () => {
    const { run, taken } = machine(most, free);
    run(2000);
    expect(run(60_000)).toBeGreaterThan(0.985);
    expect(taken.at(-1)).toBe(most);
  });

  test("a busy core is noticed within a second, and so is that it is free again", () => {
    const half = (threads: number) => (threads > most / 2 ? 40 : free(threads));
    const { run } = machine(most, (threads, time) => (time > 5000 && time < 15_000 ? half : free)(threads));
    run(5000);
    run(1000);
    // Of the best number of threads, which is half of them here.
    expect(run(8500)).toBeGreaterThan(0.95);
    run(500);
    run(1500);
    expect(run(10_000)).toBeGreaterThan(0.95);
  });

  test("a core that was busy from the start", () => {
    const { run, taken } = machine(most, busy(most));
    run(3000);
    expect(taken.at(-1)).toBeLessThan(most);
    expect(run(20_000)).toBeGreaterThan(most === 2 ? 0.93 : 0.5);
  });
});

test("short steps: threads that sleep take longer to wake up than a step takes; what they do then counts", () => {
  let last = 1;
  let hot = 0;
  const machineWith = (slowStart: number) =>
    machine(2, (threads, time) => {
      // The engine compiles while the first steps run.
      if (time < slowStart) return threads === 2 ? 0.9 : 0.55;
      if (threads === last) hot++;
      else hot = 0;
      last = threads;
      return threads === 2 ? (hot === 0 ? 0.7 : 0.32) : 0.55;
    });
  for (const slowStart of [0, 100, 1000]) {
    const { run, taken } = machineWith(slowStart);
    run(slowStart + 2500);
    const before = taken.length;
    run(10_000);
    const rest = taken.slice(before);
    expect(rest.filter((threads) => threads === 2).length / rest.length).toBeGreaterThan(0.98);
  }
});

test("steps of another number of rows are not compared", () => {
  const { run, taken } = machine(2, (threads) => (threads === 2 ? 10 : 19));
  for (let i = 0; i < 40; i++) run(1, 1 + (i % 7));
  expect(new Set(taken)).toEqual(new Set([2]));
});

test("one thread stays one", () => {
  const { run, taken } = machine(1, free);
  run(10_000);
  expect(new Set(taken)).toEqual(new Set([1]));
});
