/** The barrier when a thread is missing, with another patience: none hangs. */
import { afterEach, expect, test } from "bun:test";
import { Control } from "../../assembly/layout.ts";
import { alone, BUILD, control, LIMITS, NET, run, stopThreads, Threads, together } from "../machine/barrier.ts";
import { Model } from "../machine/model.ts";
import { compile, timeoutOf } from "./mutant.ts";

afterEach(stopThreads);

test(
  "a thread that never comes: with the abort flag set, before or while they wait, the others return early",
  async () => {
    const model = await Model.open("llama-gqa-tied", LIMITS, BUILD);
    const wanted = await run(model, () => alone(model));
    const threads = await Threads.start(model.bank.memory, 2, await compile(BUILD, [timeoutOf(3_600_000)]));
    const words = control(model);
    model.reset();
    model.machine.write(model.rows([[0, 9]]));

    words[Control.abort / 4] = 1;
    expect(await together(model, threads, 3)).toEqual([0, 0]);

    words.fill(0);
    const waiting = together(model, threads, 3);
    while (Atomics.load(words, Control.arrived / 4) < 2) await Bun.sleep(1);
    await Bun.sleep(20); // far more than they spin for
    Atomics.store(words, Control.abort / 4, 1);
    Atomics.notify(words, Control.generation / 4);
    expect(await waiting).toEqual([0, 0]);

    // With a control block as new, the same threads work again.
    words.fill(0);
    expect(await run(model, () => together(model, threads))).toEqual(wanted);
  },
  NET,
);

test(
  "a thread that never comes, and nobody who says so: after the timeout the others set the flag and return",
  async () => {
    const model = await Model.open("mpt-heads6", LIMITS, BUILD);
    const threads = await Threads.start(model.bank.memory, 2, await compile(BUILD, [timeoutOf(100)]));
    model.reset();
    model.machine.write(model.rows([[0, 9]]));
    expect(await together(model, threads, 3)).toEqual([0, 0]);
    expect(control(model)[Control.abort / 4]).toBe(1);
  },
  NET,
);
