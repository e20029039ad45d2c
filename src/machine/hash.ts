import { Size } from "../../assembly/layout.ts";
import type { KernelExports } from "./kernel_exports.ts";
import type { Kernels } from "./kernels.ts";

/** Where bytes are put before they are hashed, and how many at a time. */
const STAGE = 65536;

interface Hasher {
  readonly kernels: KernelExports;
  readonly bytes: Uint8Array;
}

/** One small memory per module serves all hashes: live memories are few. */
const hashers = new WeakMap<Kernels, Hasher>();

function hasherOf(kernels: Kernels): Hasher {
  let hasher = hashers.get(kernels);
  if (!hasher) {
    const memory = new WebAssembly.Memory({ initial: 2, maximum: 2, shared: kernels.shared });
    hasher = { kernels: kernels.instantiate(memory), bytes: new Uint8Array(memory.buffer) };
    hashers.set(kernels, hasher);
  }
  return hasher;
}

/** XXH64 of no bytes at all, as `hex` gives it. */
export const HASH_OF_NOTHING = "ef46db3751d8e999";

/** XXH64 of a stream of bytes, seed 0. */
export class Xxh64 {
  readonly #hasher: Hasher;
  readonly #state: Uint8Array;

  constructor(kernels: Kernels) {
    this.#hasher = hasherOf(kernels);
    this.#hasher.kernels.hashInit(0);
    this.#state = this.#hasher.bytes.slice(0, Size.HashBytes);
  }

  update(data: Uint8Array): this {
    const { kernels, bytes } = this.#hasher;
    bytes.set(this.#state);
    for (let i = 0; i < data.length; i += STAGE) {
      const part = data.subarray(i, i + STAGE);
      bytes.set(part, STAGE);
      kernels.hashUpdate(0, STAGE, part.length);
    }
    this.#state.set(bytes.subarray(0, Size.HashBytes));
    return this;
  }

  /** The hash so far; the stream may go on. */
  digest(): bigint {
    this.#hasher.bytes.set(this.#state);
    return BigInt.asUintN(64, this.#hasher.kernels.hashDigest(0));
  }

  /** The hash so far, 16 hexadecimal digits. */
  hex(): string {
    return hex(this.digest());
  }
}

/** A hash as it is shown. */
export function hex(hash: bigint): string {
  return hash.toString(16).padStart(16, "0");
}
