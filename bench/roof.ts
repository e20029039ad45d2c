import type { Crew } from "./crew.ts";
import { loops } from "./loops/compile.ts";

/** The multiply loops: operations of one turn. The host's faster loop is the peak. */
export const PEAKS = {
  f32: { loops: ["multiplyFloats"], operations: 96 },
  i16: { loops: ["multiplyShorts"], operations: 192 },
  i8: { loops: ["multiplyBytes", "multiplyBytesToShorts"], operations: 384 },
} as const;
export type PeakName = keyof typeof PEAKS;

const TURNS = 20_000;
/** Bytes per step of the read loop. */
const READ_STEP = 128;

/** What this machine can do at most, by loops over the memory that the measured code works on. */
export class Roof {
  readonly #crew: Crew;
  readonly #instance: number;

  private constructor(crew: Crew, instance: number) {
    this.#crew = crew;
    this.#instance = instance;
  }

  static async over(memory: WebAssembly.Memory, crew: Crew): Promise<Roof> {
    return new Roof(crew, await crew.instantiate(await loops(isShared(memory)), memory));
  }

  /** Milliseconds in which `threads` threads read `bytes` bytes from `address` on, a stretch each. */
  read(address: number, bytes: number, threads: number): number {
    const part = Math.floor(bytes / threads / READ_STEP) * READ_STEP;
    return this.#crew.call(this.#instance, "read", threads, (thread) => [address + thread * part, part]);
  }

  /** Milliseconds of `operations(peak, threads)` multiplications and additions. */
  multiply(peak: PeakName, threads: number): number {
    const times = PEAKS[peak].loops.map((loop) => this.#crew.call(this.#instance, loop, threads, () => [TURNS]));
    return Math.min(...times);
  }

  operations(peak: PeakName, threads: number): number {
    return TURNS * PEAKS[peak].operations * threads;
  }
}

function isShared(memory: WebAssembly.Memory): boolean {
  return !(memory.buffer instanceof ArrayBuffer);
}
