import type { CheckpointHeaders, StoredTensor } from "../formats/checkpoint.ts";
import { Xxh64 } from "../machine/hash.ts";
import type { Kernels } from "../machine/kernels.ts";
import type { Program } from "../models/program.ts";
import { TensorNames } from "./names.ts";

/** Bytes that are read at a time. */
const STRETCH = 2 ** 20;

/**
 * A checkpoint without the second copy of a tied head. Where config.json ties the head to the embedding and both are
 * stored, transformers 5 ties them only if they are equal, and so does this: equal ones are then kept in memory once.
 * `kernels` is called only then.
 */
export async function withoutTiedCopies(
  { name, configName, config, tensors, adapters }: CheckpointHeaders,
  { weights }: Program,
  kernels: () => Kernels | Promise<Kernels>,
): Promise<CheckpointHeaders> {
  const kept = new Map(tensors);
  const stored = new TensorNames(tensors, name);
  for (const { tensors: names } of weights.values()) {
    const [first, second] = names.map((candidate) => stored.find(candidate));
    // The embedding is the first place where the table may be stored; the head's copy is dropped.
    const both = first && second && kept.has(first.name) && kept.has(second.name);
    if (both && (await same(first, second, await kernels()))) kept.delete(second.name);
  }
  return { name, configName, config, tensors: kept, adapters };
}

/** Whether two tensors are equal, by XXH64: each is read in one pass, because its bytes may be a stream. */
async function same(a: StoredTensor, b: StoredTensor, kernels: Kernels): Promise<boolean> {
  if (a.dtype !== b.dtype || `${a.shape}` !== `${b.shape}`) return false;
  const [first, second] = a.begin < b.begin ? [a, b] : [b, a];
  return (await digest(first, kernels)) === (await digest(second, kernels));
}

async function digest({ source, begin, end }: StoredTensor, kernels: Kernels): Promise<bigint> {
  const hash = new Xxh64(kernels);
  const bytes = new Uint8Array(Math.min(STRETCH, end - begin));
  for (let at = begin; at < end; at += STRETCH) {
    const part = bytes.subarray(0, end - at);
    await source.readInto(part, at);
    hash.update(part);
  }
  return hash.digest();
}
