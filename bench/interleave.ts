import { Bench } from "tinybench";

/** How long a measurement goes on: milliseconds, and rounds at least. */
export interface Budget {
  readonly time: number;
  readonly rounds: number;
}

/** Something that is measured; does its work once and returns the milliseconds that count. */
export type Contender = () => number | Promise<number>;

/**
 * Measures contenders in turns, A B A B …: what the machine does meanwhile (another process, another mode of its memory)
 * meets all of them, so that ratios hold where times do not.
 */
export async function interleave<K extends string>(
  contenders: Readonly<Record<K, Contender>>,
  { time, rounds }: Budget,
): Promise<Samples<K>> {
  const entries = Object.entries(contenders) as [K, Contender][];
  const samples = new Map<K, number[]>();
  const restart = (): void => {
    for (const [name] of entries) samples.set(name, []);
  };
  const options = { time, iterations: rounds, warmupTime: time / 4, warmupIterations: Math.min(rounds, 3) };
  const bench = new Bench({ ...options, throws: true, setup: restart });
  bench.add("round", async () => {
    for (const [name, work] of entries) samples.get(name)?.push(await work());
  });
  await bench.run();
  return new Samples(samples);
}

/** Milliseconds of each contender, round by round. */
export class Samples<K extends string> {
  readonly #samples: ReadonlyMap<K, readonly number[]>;

  constructor(samples: ReadonlyMap<K, readonly number[]>) {
    this.#samples = samples;
  }

  /** Median milliseconds. */
  median(name: K): number {
    return median(this.#of(name));
  }

  /** The median over the rounds of a's time divided by b's. */
  ratio(a: K, b: K): number {
    const divisors = this.#of(b);
    return median(this.#of(a).map((ms, i) => ms / (divisors[i] as number)));
  }

  #of(name: K): readonly number[] {
    return this.#samples.get(name) ?? [];
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2) return sorted[middle] as number;
  return ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** Milliseconds that `work` takes. */
export async function timed(work: () => unknown): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}
