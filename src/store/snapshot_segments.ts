import { ModelError, mismatch } from "../base/errors.ts";
import { parseSafetensors } from "../formats/safetensors.ts";
import type { LogStore } from "./log_store.ts";

/**
 * Names of the segments that a snapshot's session needs, the newest first, as far as the store has them; [] for one without
 * a log. Throws ModelError for bytes that are no snapshot.
 */
export async function segmentsOf(store: LogStore, snapshot: Uint8Array): Promise<string[]> {
  const names: string[] = [];
  let next = number(snapshot, "snapshot", "log");
  while (next) {
    const name = next.toString(16).padStart(16, "0");
    const segment = await store.get(name);
    if (!segment) break;
    names.push(name);
    next = number(segment, `segment ${name}`, "predecessor");
  }
  return names;
}

/**
 * Deletes the segments that a snapshot's session needs and none of the others does; returns how many. A log whose session
 * was disposed of is deleted by itself, unless a snapshot was taken: what that one needs stays until it is deleted here.
 *
 * @example
 * await deleteSegments(fileLog("logs"), oldSnapshot, [theOneThatStays]);
 */
export async function deleteSegments(
  store: LogStore,
  snapshot: Uint8Array,
  others: readonly Uint8Array[] = [],
): Promise<number> {
  const kept = new Set<string>();
  for (const other of others) for (const name of await segmentsOf(store, other)) kept.add(name);
  const names = (await segmentsOf(store, snapshot)).filter((name) => !kept.has(name));
  for (const name of names) await store.delete(name);
  return names.length;
}

/** The first number of a tensor; 0 if there is none. */
function number(file: Uint8Array, name: string, tensor: string): bigint {
  const found = parseSafetensors(file, name).tensors.get(tensor);
  if (!found) return 0n;
  if (found.dtype !== "U64" || found.end - found.begin < 8)
    throw new ModelError(mismatch(`${name}: ${tensor}`, "U64", `${found.dtype} [${found.shape}]`));
  return new DataView(file.buffer, file.byteOffset + found.begin).getBigUint64(0, true);
}
