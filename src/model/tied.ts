import type { Checkpoint, StoredTensor } from "../formats/checkpoint.ts";
import { programOf } from "./index.ts";
import type { CheckpointHeaders } from "./planning.ts";

/** Bytes that are compared at a time. */
const STRETCH = 2 ** 20;

/**
 * A checkpoint without the second copy of a tied head. Where config.json ties the head to the embedding and both are
 * stored, transformers 5 ties them only if they are equal, and so do we: equal ones are then kept in memory once.
 */
export async function withoutTiedCopies({ name, config, tensors }: Checkpoint): Promise<CheckpointHeaders> {
  const kept = new Map(tensors);
  for (const { tensors: names } of programOf(config, `${name}/config.json`).weights.values()) {
    const [first, second] = names.map((candidate) => kept.get(candidate));
    // The embedding comes first among the places of the table; it is the head's copy that goes.
    if (first && second && (await same(first, second))) kept.delete(second.name);
  }
  return { name, config, tensors: kept };
}

async function same(a: StoredTensor, b: StoredTensor): Promise<boolean> {
  const length = a.end - a.begin;
  if (a.dtype !== b.dtype || `${a.shape}` !== `${b.shape}`) return false;
  const left = new Uint8Array(STRETCH);
  const right = new Uint8Array(STRETCH);
  for (let done = 0; done < length; done += STRETCH) {
    const bytes = Math.min(STRETCH, length - done);
    await a.source.readInto(left.subarray(0, bytes), a.begin + done);
    await b.source.readInto(right.subarray(0, bytes), b.begin + done);
    for (let i = 0; i < bytes; i++) if (left[i] !== right[i]) return false;
  }
  return true;
}
