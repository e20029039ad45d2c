import { CACHE_DTYPES, type CacheDType, DTYPES, type DType } from "../src/base/dtype.ts";
import { Engine, type LoadingOptions } from "../src/engine/engine.ts";
import { GREEDY } from "../src/engine/sampler.ts";
import { openDirectory } from "../src/formats/checkpoint.ts";
import { type Kernels, loadKernels } from "../src/machine/kernels.ts";
import type { Plan } from "../src/plan/plan.ts";
import { detectHost } from "../src/runtime/detect.ts";
import { directory } from "../src/sources/directory.ts";
import { type Cost, stepCost } from "./cost.ts";
import { Crew } from "./crew.ts";
import { timed } from "./interleave.ts";
import { Roof } from "./roof.ts";

export { CACHE_DTYPES, DTYPES };

/** Numbers of threads that are measured by default. */
export const THREADS = [1, 2];

/** How an engine under measurement is loaded; formats come from the command line as names. */
export interface Setup extends Omit<LoadingOptions, "dtype" | "cacheDtype" | "signal" | "onProgress"> {
  readonly dtype?: string | undefined;
  readonly cacheDtype?: string | undefined;
}

/** The options of an engine; throws for a format that there is not. */
function optionsOf({ dtype, cacheDtype, ...rest }: Setup): LoadingOptions {
  for (const [name, all] of [[dtype, DTYPES] as const, [cacheDtype, CACHE_DTYPES] as const]) {
    if (name !== undefined && !all.some((known) => known === name)) {
      throw new Error(`expected one of ${all.join(", ")}, found ${name}`);
    }
  }
  return { ...rest, dtype: dtype as DType | undefined, cacheDtype: cacheDtype as CacheDType | undefined };
}

export const BUILDS = {
  single: ["single-relaxed", "single-plain"],
  shared: ["shared-relaxed", "shared-plain"],
} as const;

/** The kernels for this many threads. */
async function openKernels(threads: number): Promise<Kernels> {
  const { kernels, startThread } = await detectHost();
  return loadKernels(kernels, BUILDS[threads > 1 ? "shared" : "single"], startThread);
}

/** An engine under measurement, and the read loop over its own memories. */
export class Subject {
  readonly engine: Engine;
  readonly threads: number;
  readonly #crew: Crew;
  readonly #roofs: readonly Roof[];

  private constructor(engine: Engine, threads: number, crew: Crew, roofs: readonly Roof[]) {
    this.engine = engine;
    this.threads = threads;
    this.#crew = crew;
    this.#roofs = roofs;
  }

  /** Loads the checkpoint in `path`. */
  static async open(path: string, setup: Setup = {}): Promise<Subject> {
    const { threads = 1 } = setup;
    const kernels = await openKernels(threads);
    const memories: WebAssembly.Memory[] = [];
    const watched: Kernels = {
      ...kernels,
      instantiate(memory) {
        memories.push(memory);
        return kernels.instantiate(memory);
      },
    };
    const checkpoint = await openDirectory(directory(path));
    try {
      const engine = await Engine.load(checkpoint, watched, optionsOf(setup));
      if (engine.threads !== threads) throw new Error(`expected ${threads} threads, found ${engine.threads}`);
      const crew = await Crew.open(threads);
      const roofs: Roof[] = [];
      // Beside the banks there is a small memory that hashes.
      const large = memories.filter(({ buffer }) => buffer.byteLength > 2 ** 18);
      for (const [i] of engine.plan.banks.entries()) {
        roofs.push(await Roof.over(large[i] as WebAssembly.Memory, crew));
      }
      return new Subject(engine, threads, crew, roofs);
    } finally {
      await checkpoint.close();
    }
  }

  get plan(): Plan {
    return this.engine.plan;
  }

  /** What a step of one token costs at `position`. */
  cost(position: number): Cost {
    return stepCost(this.plan, position);
  }

  /** Milliseconds in which the read loop reads as many bytes as such a step, from each of the engine's own memories. */
  read(position: number): number {
    const { layers, weights, weightBytes } = this.plan;
    const weightsRead = stepCost(this.plan, position, 0).bytes;
    const cacheRead = this.cost(position).bytes - weightsRead;
    const ms = this.#roofs.reduce((sum, roof, bank) => {
      const mine = weights.filter((weight) => weight.bank === bank);
      const ofWeights = mine.reduce((sum, { bytes }) => sum + bytes, 0) / weightBytes;
      const ofCaches = layers.filter((layer) => layer.bank === bank).length / layers.length;
      const begin = Math.min(...mine.map(({ address }) => address));
      return sum + roof.read(begin, weightsRead * ofWeights + cacheRead * ofCaches, this.threads);
    }, 0);
    // The engine's own threads need the cores now.
    this.#crew.rest();
    return ms;
  }

  /** A session that has read `position` tokens, as far as time can tell. */
  place(position: number): Place {
    return new Place(this.engine, position);
  }

  async close(): Promise<void> {
    await this.#crew.close();
    collect();
  }
}

/** Gives memories back now: engines are slow with many of them alive. */
export function collect(): void {
  const { Bun, gc } = globalThis as { Bun?: { gc(force: boolean): void }; gc?: () => void };
  if (Bun) Bun.gc(true);
  else gc?.();
}

/**
 * A session at some position whose keys and values are seeded random numbers: what it would cost to read so many tokens
 * first is not what is measured. Every step is taken from the same position.
 */
export class Place {
  readonly #engine: Engine;
  readonly #session: number;
  readonly #position: number;

  constructor(engine: Engine, position: number) {
    this.#engine = engine;
    this.#position = position;
    this.#session = engine.open(0, 1);
    const state = engine.state(this.#session);
    for (const [layer, { cache }] of engine.plan.layers.entries()) {
      fillRandom(engine.cacheBytes(state, layer, 0, cache.bytes));
    }
  }

  /** Milliseconds of one token: the step, the choice of the next, and everything around them. */
  decode(): Promise<number> {
    this.#reset(1);
    return timed(() => this.#engine.next(this.#session, GREEDY));
  }

  /** Milliseconds of reading `count` tokens. */
  prefill(count: number): Promise<number> {
    this.#reset(-1);
    const tokens = someTokens(count, this.#engine.program.vocabSize);
    return timed(() => this.#engine.append(this.#session, tokens));
  }

  close(): void {
    this.#engine.dispose(this.#session);
  }

  #reset(pending: number): void {
    const state = this.#engine.state(this.#session);
    state.position = this.#position;
    state.pending = pending;
  }
}

export function someTokens(count: number, vocabSize: number): number[] {
  return Array.from({ length: count }, (_, i) => (i * 7919 + 1) % vocabSize);
}

/**
 * Numbers of magnitude 0.25 to 0.5 and of both signs, whether they are read as f32 or as bf16; as bytes they are of all
 * sizes. Repeatable. see: xorshift32 (G. Marsaglia)
 */
export function fillRandom(bytes: Uint8Array): void {
  const block = new Uint32Array(Math.min(2 ** 16, Math.floor(bytes.length / 4)));
  let state = 0x9e3779b9;
  for (let i = 0; i < block.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    block[i] = 0x3e803e80 | (state & 0x807f807f);
  }
  const source = new Uint8Array(block.buffer);
  for (let at = 0; at < bytes.length; at += source.length) {
    bytes.set(source.subarray(0, Math.min(source.length, bytes.length - at)), at);
  }
}
