import { statfsSync, writeSync } from "node:fs";
import type { DType } from "../../src/base/dtype.ts";
import { mismatch, OptionError } from "../../src/base/errors.ts";

/** Numbers in [0, 1), from a seed. see: mulberry32 (Tommy Ettinger 2017) */
export function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Gaussian numbers, by Box and Muller. */
export function gaussian(random: () => number): () => number {
  return () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** f32 values as bytes of a number format; bf16 is cut off rather than rounded. */
export function encode(values: Float32Array, dtype: DType): Uint8Array {
  if (dtype === "f32") return new Uint8Array(values.buffer);
  if (dtype === "f16") return new Uint8Array(new Float16Array(values).buffer);
  const halves = new Uint16Array(values.buffer).filter((_, i) => i % 2 === 1);
  return new Uint8Array(halves.buffer);
}

/**
 * An endless supply of random bytes: one block, read round and round from a random unit of `unit` bytes on. Choose a
 * prime number of units, so that no two rows of a matrix are alike.
 */
export class Noise {
  readonly #block: Uint8Array;
  readonly #unit: number;
  readonly #random: () => number;

  constructor(block: Uint8Array, unit: number, random: () => number) {
    this.#block = block;
    this.#unit = unit;
    this.#random = random;
  }

  write(fd: number, bytes: number): void {
    const { length } = this.#block;
    let from = Math.floor(this.#random() * (length / this.#unit)) * this.#unit;
    for (let left = bytes; left > 0; ) {
      const written = writeSync(fd, this.#block, from, Math.min(left, length - from));
      left -= written;
      from = (from + written) % length;
    }
  }
}

/** Refuses a folder whose disk has no room for that many bytes. */
export function checkDisk(directory: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(directory);
  if (bavail * bsize < bytes * 1.02)
    throw new OptionError(mismatch(directory, `${gigabytes(bytes)} of free disk`, gigabytes(bavail * bsize)));
}

export function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
