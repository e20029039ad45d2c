import { ModelError, mismatch, OptionError } from "../base/errors.ts";
import { isOf } from "../base/realm.ts";
import { parseSafetensors } from "../formats/safetensors.ts";
import { hex } from "../machine/hash.ts";
import { firstReached, LOG_SEGMENT, type LogStore, USED } from "./log_store.ts";

/** The name of the last segment of a snapshot's log; undefined if it has none. */
export function lastSegment(snapshot: Uint8Array): string | undefined {
  const [last = 0n] = numbers(snapshot, "snapshot", "log");
  return last ? hex(last) : undefined;
}

/**
 * Names of the segments that a snapshot's session can still reach, the newest first, as far as the store has them; [] for one
 * without a log. Throws ModelError for bytes that are no snapshot, and for a segment that does not belong there; OptionError
 * for what is no store.
 */
export async function segmentsOf(store: LogStore, snapshot: Uint8Array): Promise<string[]> {
  if (typeof store?.get !== "function")
    throw new OptionError(mismatch("store", 'one that has segments, such as fileLog("logs")', store));
  const [last = 0n, count = 0n] = numbers(snapshot, "snapshot", "log");
  const [position = 0n, origin = 0n] = numbers(snapshot, "snapshot", "progress");
  const [, , nLocal = 0n] = numbers(snapshot, "snapshot", "policy");
  const [, , recallTokens = 0n] = numbers(snapshot, "snapshot", "middle");
  const policy = { nLocal: Number(nLocal), recallTokens: Number(recallTokens) };
  const reached = firstReached(Number(position - origin), policy);
  const names: string[] = [];
  let next = last;
  for (let number = Number(count) - 1; next && number >= reached; number--) {
    const name = hex(next);
    const segment = await store.get(name);
    if (!segment) break;
    const [first] = numbers(segment, `segment ${name}`, "first_token");
    if (first !== BigInt(number * LOG_SEGMENT))
      throw new ModelError(mismatch(`segment ${name}: first_token`, `${number * LOG_SEGMENT}`, `${first}`));
    names.push(name);
    [next = 0n] = numbers(segment, `segment ${name}`, "predecessor");
  }
  return names;
}

/**
 * Deletes the segments that a snapshot's session can still reach and none of the others' can; returns how many. A log whose
 * session was disposed of is deleted by itself, unless a snapshot was taken: what that one needs stays until it is deleted here.
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
  for (const name of names) {
    await store.delete(name);
    await store.delete(name + USED);
  }
  return names.length;
}

/** The whole numbers of a tensor; [] if there is none. */
function numbers(file: Uint8Array, name: string, tensor: string): bigint[] {
  if (!isOf("Uint8Array", file)) throw new ModelError(mismatch(name, "bytes", file));
  const found = parseSafetensors(file, name).tensors.get(tensor);
  if (!found) return [];
  if (found.dtype !== "U64" && found.dtype !== "I64")
    throw new ModelError(mismatch(`${name}: ${tensor}`, "U64 or I64", found.dtype));
  const view = new DataView(file.buffer, file.byteOffset + found.begin, found.end - found.begin);
  return Array.from({ length: view.byteLength / 8 }, (_, i) => view.getBigUint64(8 * i, true));
}
