import { Size } from "../assembly/layout.ts";
import { Op } from "../assembly/op.ts";
import { Sampler } from "../src/engine/sampler.ts";
import type { Bank } from "../src/machine/bank.ts";
import { Xxh64 } from "../src/machine/hash.ts";
import { Machine } from "../src/machine/machine.ts";
import { keysAt } from "./cost.ts";
import { median } from "./interleave.ts";
import type { Subject } from "./subject.ts";

/** What a step consists of beside its records, by the method that does it. */
const METHODS = [
  ["step", Machine.prototype, "run"],
  ["choosing", Sampler.prototype, "choose"],
  ["hashing", Xxh64.prototype, "update"],
] as const;
export type Method = (typeof METHODS)[number][0];

/** Measures, while it is open, how long each of these methods took since the last `take`. */
export class Clock implements Disposable {
  #spent: Record<Method, number> = { step: 0, choosing: 0, hashing: 0 };
  readonly #originals: (() => void)[] = [];
  /** The machine that made the last step. */
  machine: Machine | undefined;

  constructor() {
    for (const [name, prototype, key] of METHODS) {
      const object = prototype as unknown as Record<string, (...args: unknown[]) => unknown>;
      const original = object[key] as (...args: unknown[]) => unknown;
      const clock = this;
      object[key] = function (this: unknown, ...args) {
        if (this instanceof Machine) clock.machine = this;
        const begin = performance.now();
        try {
          return original.apply(this, args);
        } finally {
          clock.#spent[name] += performance.now() - begin;
        }
      };
      this.#originals.push(() => {
        object[key] = original;
      });
    }
  }

  /** Milliseconds of each. */
  take(): Readonly<Record<Method, number>> {
    const spent = this.#spent;
    this.#spent = { step: 0, choosing: 0, hashing: 0 };
    return spent;
  }

  [Symbol.dispose](): void {
    for (const restore of this.#originals) restore();
  }
}

/** The records of one kind, alone and with one thread. */
export interface Kind {
  readonly name: string;
  readonly count: number;
  readonly ms: number;
  /** Weights, keys and values that they read. */
  readonly bytes: number;
  /** Multiplications and additions. */
  readonly operations: number;
}

/** Every kind of record of the machine's last step, which was one token at `position`; medians of `rounds`. */
export function recordTimes({ plan }: Subject, { banks }: Machine, position: number, rounds: number): Kind[] {
  const kinds = new Map<string, { count: number; times: number[]; bytes: number; operations: number }>();
  const caches = plan.layers.map(({ cache }) => cache).filter(({ ring }) => ring > 0);
  for (let round = 0; round < rounds; round++) {
    let attended = 0;
    const sums = new Map<string, number>();
    for (const [i, { bank: number, program }] of plan.segments.entries()) {
      const { kernels, plan: own } = banks[number] as Bank;
      for (const [j, { op, weightBytes, cacheBytes, flops }] of (plan.records[i] ?? []).entries()) {
        const cache = op === Op.Attention ? caches[attended++] : undefined;
        const visited = cache ? keysAt(cache, position) / (cache.ring + cache.pinned) : 1;
        const name = Op[op];
        const begin = performance.now();
        kernels.execute(program + j * Size.RecordBytes, own.step, 0, 1);
        sums.set(name, (sums.get(name) ?? 0) + performance.now() - begin);
        if (round > 0) continue;
        const kind = kinds.get(name) ?? { count: 0, times: [], bytes: 0, operations: 0 };
        const bytes = kind.bytes + weightBytes + cacheBytes * visited;
        kinds.set(name, { ...kind, count: kind.count + 1, bytes, operations: kind.operations + flops * visited });
      }
    }
    for (const [name, ms] of sums) kinds.get(name)?.times.push(ms);
  }
  return [...kinds].map(([name, { times, ...kind }]) => ({ name, ...kind, ms: median(times) }));
}
