import { LambentError, mismatch } from "../base/errors.ts";
import { abortable, tick } from "../base/tick.ts";
import { canonicalConfig } from "../formats/config.ts";
import type { Bank } from "../machine/bank.ts";
import { Xxh64 } from "../machine/hash.ts";
import type { Kernels } from "../machine/kernels.ts";
import { Machine } from "../machine/machine.ts";
import { fold } from "./fold.ts";
import type { Plan } from "./plan.ts";
import { readWeight } from "./read_weight.ts";
import { storedRows } from "./stored_rows.ts";
import { type PlacedWeight, type ResolvedWeight, storedRowBytes } from "./weights.ts";

/** How weights are read. */
export interface ReadingOptions {
  /** Bytes of available memory; a model that needs more is refused before anything is read. */
  readonly availableMemory?: number | undefined;
  /** Threads that compute, if the kernels have a pool; 1 by default. */
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with the bytes of weights read so far, and their total. */
  readonly onProgress?: ((loaded: number, total: number) => void) | undefined;
}

/**
 * Creates the memories of a plan and reads every weight straight into its place. Also returns XXH64 of the config and
 * of every weight as stored. Throws LambentError if there is not enough memory, ModelError for a number that is not
 * finite.
 */
export async function loadMachine(
  plan: Plan,
  config: Readonly<Record<string, unknown>>,
  kernels: Kernels,
  options: ReadingOptions = {},
): Promise<{ machine: Machine; hash: bigint }> {
  const { availableMemory = Infinity } = options;
  if (plan.memoryBytes > availableMemory) {
    throw new LambentError(mismatch("memory", `${plan.memoryBytes} bytes available`, availableMemory));
  }
  const machine = createMachine(kernels, plan, options.threads);
  const total = plan.weights.reduce((sum, weight) => sum + storedBytes(weight), 0);
  let loaded = 0;
  const digests = new Map<PlacedWeight, bigint>();
  const read = async (placed: PlacedWeight, columns?: Float32Array) => {
    const digest = new Xxh64(kernels);
    const reading = readWeight(placed, columns, machine, plan.staging[placed.bank] as number, async (bytes) => {
      digest.update(bytes);
      loaded += bytes.length;
      options.onProgress?.(loaded, total);
      await tick();
      options.signal?.throwIfAborted();
    });
    await abortable(reading, options.signal);
    const { factor } = placed.weight;
    if (factor !== undefined) digest.update(new Uint8Array(Float64Array.of(factor).buffer));
    digests.set(placed, digest.digest());
  };
  // In the order of the files, which may be streams: in one pass, except for norms that are folded into matrices.
  const folded = new Set(plan.foldings.flatMap(({ weight, bias }) => [weight, bias]));
  const [first, second] = [true, false].map((now) =>
    inFileOrder(plan.weights.filter(({ weight }) => folded.has(weight.name) === now)),
  );
  for (const placed of first as PlacedWeight[]) await read(placed);
  const kept = plan.hiddenStates.kept.map(({ weight: { bank, address, bytes }, address: to }) => {
    return { bank, address: to, bytes: (machine.banks[bank] as Bank).bytes(address, bytes).slice() };
  });
  const columns = fold(machine, plan.weights, plan.foldings);
  for (const placed of second as PlacedWeight[]) await read(placed, columns.get(placed.weight.name));
  // Last, because some of them are where weights were staged.
  for (const { bank, address, bytes } of [...plan.constants, ...kept]) {
    (machine.banks[bank] as Bank).bytes(address, bytes.length).set(bytes);
  }
  machine.tune();
  // Vectors, then matrices, in the order of the plan: the hash does not depend on the order of reading.
  const hash = new Xxh64(kernels).update(new TextEncoder().encode(canonicalConfig(config)));
  for (const rank of [1, 2]) {
    const ranked = plan.weights.filter(({ weight }) => weight.shape.length === rank);
    hash.update(new Uint8Array(BigUint64Array.from(ranked, (placed) => digests.get(placed) as bigint).buffer));
  }
  return { machine, hash: hash.digest() };
}

/** File after file, each from start to end. */
function inFileOrder(weights: readonly PlacedWeight[]): PlacedWeight[] {
  const files = [...new Set(weights.map(({ tensor }) => tensor.source))];
  const begins = new Map(weights.map((weight) => [weight, firstByte(weight)]));
  const begin = (weight: PlacedWeight) => begins.get(weight) as number;
  return weights.toSorted(
    (a, b) => files.indexOf(a.tensor.source) - files.indexOf(b.tensor.source) || begin(a) - begin(b),
  );
}

function createMachine(kernels: Kernels, plan: Plan, threads: number | undefined): Machine {
  try {
    return new Machine(kernels, plan, threads);
  } catch (error) {
    const { name, message } = error as Error;
    if (name !== "RangeError") throw error;
    throw new LambentError(mismatch("memory", `${plan.memoryBytes} bytes`, `less: ${message}`));
  }
}

/** Where a weight starts in its file. */
function firstByte(placed: ResolvedWeight): number {
  const { weight, tensor } = placed;
  const first = tensor.rows
    ? (storedRows(weight, tensor).stored[0] as number)
    : Math.min(...weight.rows.map(({ first }) => first));
  return tensor.begin + first * storedRowBytes(placed);
}

/** Bytes of a weight in the file. */
function storedBytes(placed: ResolvedWeight): number {
  return storedRowBytes(placed) * placed.weight.shape[0];
}
