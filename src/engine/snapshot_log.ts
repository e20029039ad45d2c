/** What a snapshot says of a session's log: where it ends, and the codes of the tokens that are in no segment yet. */
import { ModelError, mismatch } from "../base/errors.ts";
import { LOG_SEGMENT } from "../store/log_store.ts";
import type { Log, LogEnd } from "./log.ts";
import { bytesOf, type Field, NAME, type Reader } from "./snapshot_fields.ts";
import type { SessionState } from "./state.ts";

/** The fields, of constant size. */
export function logFields(session: SessionState, { format, end: { last, count } }: Log): Field[] {
  const segment = new Uint8Array(format.bytes);
  format.copyCodes(session, segment, count * LOG_SEGMENT, false);
  const codes = format.layers.map(({ layer, means, pairs }): Field => {
    const bytes = segment.subarray(means, pairs);
    return { name: `layers.${layer}.open_codes`, dtype: "U8", shape: [bytes.length], bytes };
  });
  return [{ name: "log", dtype: "U64", shape: [2], bytes: bytesOf(BigUint64Array.of(last, BigInt(count))) }, ...codes];
}

/** Puts those codes into the session's slot. Throws ModelError if the log is not as long as the session. */
export function readLogEnd(session: SessionState, { format }: Log, read: Reader): LogEnd {
  const [last = 0n, found = 0n] = new BigUint64Array(read("log", "U64", 2).buffer);
  const count = Math.floor((session.position - session.origin) / LOG_SEGMENT);
  if (found !== BigInt(count)) throw new ModelError(mismatch(`${NAME}: log`, `${count} segments`, `${found}`));
  const segment = new Uint8Array(format.bytes);
  for (const { layer, means, pairs } of format.layers) {
    segment.set(read(`layers.${layer}.open_codes`, "U8", pairs - means), means);
  }
  format.copyCodes(session, segment, count * LOG_SEGMENT, true);
  return { last, count };
}
