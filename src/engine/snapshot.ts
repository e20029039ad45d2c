import { ModelError, mismatch } from "../base/errors.ts";
import { parseSafetensors, safetensorsHeader } from "../formats/safetensors.ts";
import { hex, Xxh64 } from "../machine/hash.ts";
import { CACHE_PARTS, CODED_PARTS } from "../plan/cache.ts";
import { isLogged } from "../plan/middle.ts";
import { StopStrings } from "../tokenizer/stop.ts";
import { TextStream } from "../tokenizer/stream.ts";
import type { Engine } from "./engine.ts";
import type { LogEnd } from "./log.ts";
import {
  ascii,
  bigInts,
  bytesOf,
  expectSame,
  type Field,
  formatFields,
  integers,
  NAME,
  padded,
  type Reader,
  readFormat,
  readTurnStarts,
  sameShape,
  turnFields,
} from "./snapshot_fields.ts";
import { logFields, readLogEnd } from "./snapshot_log.ts";
import { expectPolicy, layerPolicies, policyFields } from "./snapshot_policy.ts";
import { NO_TEXT, type SessionState, type TextState, TURNS, type Turn } from "./state.ts";

/**
 * The format of the fields below; a snapshot of another one is refused. Version 1 has the same fields but for
 * layer_policies, and is read as what it is where all layers have one policy. Version 3 is that of chats: it has turn_starts.
 * Version 4 is that of sessions with an nGlobal of their own, version 5 that of sessions with a log.
 */
const VERSION = 2;
const CHAT_VERSION = 3;
const OWN_VERSION = 4;
const LOG_VERSION = 5;
const TAIL_BYTES = StopStrings.MAX_BYTES;

/**
 * A session as a safetensors file of constant size: every field is a tensor whose shape depends on model and policy alone.
 * The last one is a checksum of all bytes before it, header included.
 */
export function writeSnapshot(engine: Engine, session: SessionState, text: TextState): Uint8Array<ArrayBuffer> {
  const fields = [...numbers(engine, session, text), ...memory(engine, session)];
  const header = safetensorsHeader([...fields, { name: "checksum", dtype: "U8", shape: [8] }]);
  const parts = [header, ...fields.map((field) => field.bytes)];
  const snapshot = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 8));
  let end = 0;
  for (const part of parts) {
    snapshot.set(part, end);
    end += part.length;
  }
  const hash = new Xxh64(engine.kernels).update(snapshot.subarray(0, end)).digest();
  new DataView(snapshot.buffer).setBigUint64(end, hash, true);
  return snapshot;
}

/** As writeSnapshot, once nothing waits any more to be written to the session's log: what a snapshot names is in the store. */
export async function takeSnapshot(
  engine: Engine,
  session: SessionState,
  text: TextState,
): Promise<Uint8Array<ArrayBuffer>> {
  session.log?.seal(session);
  const snapshot = writeSnapshot(engine, session, text);
  await session.log?.promise();
  return snapshot;
}

/** As readSnapshot, with the session's log, if it has one. Throws ModelError, which names it, for a segment that is not there or damaged. */
export async function restoreSnapshot(
  engine: Engine,
  snapshot: Uint8Array,
  signal?: AbortSignal,
): Promise<{ id: number; text: TextState }> {
  const { id, text, log } = readSnapshot(engine, snapshot);
  try {
    const session = engine.state(id);
    if (log) await session.log?.restore(session, log, signal);
  } catch (error) {
    engine.dispose(id);
    throw error;
  }
  return { id, text };
}

/**
 * Opens a session that goes on where the snapshot was taken, with the same bits where middle tokens are chosen alike; its
 * log, if it has one, is still to be read. Throws ModelError for a snapshot that is damaged, cut, of another version, model, dtype or policy.
 */
export function readSnapshot(engine: Engine, snapshot: Uint8Array): { id: number; text: TextState; log?: LogEnd } {
  const { tensors } = parseSafetensors(snapshot, NAME);
  const checksum = tensors.get("checksum");
  const end = snapshot.length - 8;
  if (checksum?.dtype !== "U8" || checksum.begin !== end) {
    throw new ModelError(mismatch(NAME, "a checksum as its last tensor", checksum ? "another place" : "none"));
  }
  const hash = new Xxh64(engine.kernels).update(snapshot.subarray(0, end)).digest();
  const stored = new DataView(snapshot.buffer, snapshot.byteOffset).getBigUint64(end, true);
  if (stored !== hash) throw new ModelError(mismatch(`${NAME}: checksum`, hex(hash), `${hex(stored)}: it is damaged`));
  // new Uint8Array copies; slice of a Node Buffer would be a view of a larger buffer.
  const read: Reader = (name, dtype, length) =>
    new Uint8Array(sameShape({ name, dtype, shape: [length] }, tensors.get(name), snapshot));
  const version = integers(read("version", "I64", 1)).join();
  const expected = versionOf(tensors.has("turn_starts"), tensors.has("n_global"), tensors.has("log"));
  if (version !== "1" || layerPolicies(engine.plan)) expectSame("version", `${expected}`, version);
  expectSame(
    "model_hash",
    hex(engine.modelHash),
    hex(new BigUint64Array(read("model_hash", "U64", 1).buffer)[0] ?? 0n),
  );
  expectSame("weight_dtype", dtypesOf(engine, true), ascii(read("weight_dtype", "U8", 32)));
  expectSame("cache_dtype", engine.plan.options.cacheDtype, ascii(read("cache_dtype", "U8", 8)));
  expectPolicy(engine.plan, read, tensors.has("middle"));
  expectSame("log (recallStore)", isLogged(engine.plan.policy) ? "one" : "none", tensors.has("log") ? "one" : "none");

  const id = engine.open(0, 0, tensors.has("n_global") ? readOwn(engine, read) : undefined);
  try {
    const state = restoreNumbers(engine, id, read);
    if (tensors.has("format")) state.format = readFormat(read);
    const { nLocal } = engine.plan.policy;
    if (tensors.has("turn_starts")) state.turnStarts = readTurnStarts(read, { ...state, nLocal });
    for (const field of memory(engine, state)) {
      // Older snapshots lack what was chosen last: nothing runs on at first.
      if (field.name.endsWith(".runs") && !tensors.has(field.name)) continue;
      field.bytes.set(sameShape(field, tensors.get(field.name), snapshot));
    }
    checkRuns(engine, state);
    if (state.hasLogits && !engine.logits(state).every(Number.isFinite)) {
      throw new ModelError(mismatch(`${NAME}: logits`, "finite numbers", "others"));
    }
    const text = tensors.has("text_turn") ? restoreText(read, engine.program.vocabSize) : restoreFirstText(read, state);
    return { id, text, ...(state.log && { log: readLogEnd(state, state.log, read) }) };
  } catch (error) {
    engine.dispose(id);
    throw error;
  }
}

/** Throws ModelError for distances of chosen keys at which none was in the middle: steps look there again. */
function checkRuns(engine: Engine, state: SessionState): void {
  for (const [layer, { cache }] of engine.plan.layers.entries()) {
    const { middle, parts, shapes, ring, pinned } = cache;
    if (!middle) continue;
    const { heads, places, bytes } = shapes.runs;
    const { buffer, byteOffset, length } = engine.cacheBytes(state, layer, parts.runs, heads * places * bytes);
    const distances = new Int32Array(buffer, byteOffset, length / 4);
    for (const [i, distance] of distances.entries()) {
      const place = Math.floor((4 * i) / bytes) % places;
      // The last token in that place.
      const token = state.position - 1 - ((state.position - 1 - place + places) % places);
      const most = Math.min(ring - 1 + middle.recallTokens, token - state.origin - Math.min(pinned, state.nGlobal));
      if (token < state.origin || distance === 0 || (distance >= ring && distance <= most)) continue;
      const expected = `0, or distances from ${ring} to ${most}`;
      throw new ModelError(mismatch(`${NAME}: layers.${layer}.runs`, expected, distance));
    }
  }
}

/** Everything but the slot. */
function numbers(engine: Engine, session: SessionState, text: TextState): Field[] {
  const { position, origin, pending, hasLogits, random } = session;
  const progress = [position, origin, pending, hasLogits ? 1 : 0, random.seed, random.counter];
  const { format, turnStarts, nGlobal, log } = session;
  const pinsFewer = nGlobal < engine.plan.policy.nGlobal;
  return [
    bigInts("version", [versionOf(turnStarts !== undefined, pinsFewer, log !== undefined)]),
    { name: "model_hash", dtype: "U64", shape: [1], bytes: bytesOf(BigUint64Array.of(engine.modelHash)) },
    { name: "weight_dtype", dtype: "U8", shape: [32], bytes: padded(dtypesOf(engine, true), 32) },
    { name: "cache_dtype", dtype: "U8", shape: [8], bytes: padded(engine.plan.options.cacheDtype, 8) },
    ...policyFields(engine.plan),
    bigInts("progress", progress),
    ...(pinsFewer ? [bigInts("n_global", [nGlobal])] : []),
    { name: "recent", dtype: "I32", shape: [session.recent.length], bytes: bytesOf(session.recent) },
    ...(format ? formatFields(format) : []),
    ...turnFields(turnStarts, position, engine.plan.policy.nLocal),
    ...(log ? logFields(session, log) : []),
    ...textFields(text),
  ];
}

function versionOf(inTurns: boolean, pinsFewer: boolean, logged: boolean): number {
  if (logged) return LOG_VERSION;
  if (pinsFewer) return OWN_VERSION;
  return inTurns ? CHAT_VERSION : VERSION;
}

/** The session's own nGlobal. */
function readOwn({ plan }: Engine, read: Reader): number {
  const [nGlobal = -1] = integers(read("n_global", "I64", 1));
  const most = plan.policy.nGlobal - 1;
  if (nGlobal >= 0 && nGlobal <= most) return nGlobal;
  throw new ModelError(mismatch(`${NAME}: n_global`, `a whole number from 0 to ${most}`, nGlobal));
}

function textFields({ stream, tail, turn, lastToken }: TextState): Field[] {
  const hidden = new Uint8Array(TAIL_BYTES);
  for (const i of tail.hidden) hidden[i] = 1;
  const turns = Int32Array.of(TURNS.indexOf(turn), lastToken);
  return [
    { name: "text_stream", dtype: "I32", shape: [stream.length], bytes: bytesOf(stream) },
    { name: "text_tail", dtype: "U8", shape: [TAIL_BYTES], bytes: padded(tail.shown, TAIL_BYTES) },
    { name: "text_whole_tail", dtype: "U8", shape: [TAIL_BYTES], bytes: padded(tail.whole, TAIL_BYTES) },
    { name: "text_hidden", dtype: "U8", shape: [TAIL_BYTES], bytes: hidden },
    { name: "text_turn", dtype: "I32", shape: [turns.length], bytes: bytesOf(turns) },
  ];
}

/** Snapshots of the first release know neither chats nor hidden text, and of the stream only what was generated. */
function restoreFirstText(read: Reader, { position, origin }: SessionState): TextState {
  const stream = readStream(read);
  const shown = readTail("text_tail", read);
  // The first token is BOS, or a text of nothing.
  const started = stream.some((entry) => entry !== -1) || position - origin < 2;
  return { ...NO_TEXT, stream: started ? stream : TextStream.BEHIND_TEXT, tail: { shown, whole: shown, hidden: [] } };
}

function readStream(read: Reader): Int32Array {
  return new Int32Array(read("text_stream", "I32", TextStream.STATE_LENGTH).buffer);
}

function restoreText(read: Reader, vocabSize: number): TextState {
  const stream = readStream(read);
  const shown = readTail("text_tail", read);
  const whole = readTail("text_whole_tail", read);
  const hidden = [...read("text_hidden", "U8", TAIL_BYTES)].flatMap((flag, i) => (flag ? [i] : []));
  const [turn = -1, lastToken = -2] = new Int32Array(read("text_turn", "I32", 2).buffer);
  const good = TURNS[turn] !== undefined && lastToken >= -1 && lastToken < vocabSize;
  if (!good) throw new ModelError(mismatch(`${NAME}: text_turn`, "a turn and a token", `${turn}, ${lastToken}`));
  return { stream, tail: { shown, whole, hidden }, turn: TURNS[turn] as Turn, lastToken };
}

/** The slot: last logits, and every part of every layer's cache. Views of Wasm memory. */
function memory(engine: Engine, session: SessionState): Field[] {
  const logits = engine.logits(session);
  const fields: Field[] = [{ name: "logits", dtype: "F32", shape: [logits.length], bytes: bytesOf(logits) }];
  for (const [layer, { cache }] of engine.plan.layers.entries()) {
    for (const part of CACHE_PARTS) {
      const { heads, places, bytes: each, dtype, shape } = cache.shapes[part];
      // With a log they are in it, and behind it in fields of their own.
      if (cache.parts[part] < 0 || (CODED_PARTS.has(part) && session.log)) continue;
      const bytes = engine.cacheBytes(session, layer, cache.parts[part], heads * places * each);
      fields.push({ name: `layers.${layer}.${part}`, dtype, shape, bytes });
    }
  }
  return fields;
}

/** Puts the numbers of a snapshot into a fresh session, each checked: they become addresses and token ids. */
function restoreNumbers(engine: Engine, id: number, read: Reader): SessionState {
  const state = engine.state(id);
  const [position, origin, pending, hasLogits, seed, counter] = integers(read("progress", "I64", 6));
  const recent = new Int32Array(read("recent", "I32", state.recent.length).buffer);
  const { vocabSize } = engine.program;
  const isToken = (token: number) => token >= -1 && token < vocabSize;
  const stranger = recent.find((token) => !isToken(token));
  if (stranger !== undefined) {
    throw new ModelError(mismatch(`${NAME}: recent`, `ids from -1 to ${vocabSize - 1}`, stranger));
  }
  const good =
    [position, origin, seed, counter].every((number) => Number.isSafeInteger(number) && (number as number) >= 0) &&
    (position as number) >= (origin as number) &&
    (position as number) - (origin as number) <= engine.plan.maxPositions &&
    isToken(pending as number) &&
    (hasLogits === 0 || hasLogits === 1);
  if (!good) throw new ModelError(mismatch(`${NAME}: progress`, "numbers of a session of this model", "others"));
  state.recent.set(recent);
  return Object.assign(state, {
    position,
    origin,
    pending,
    hasLogits: hasLogits === 1,
    random: { seed, counter },
  }) as SessionState;
}

/** A tail without its padding. A byte order mark is a character like any other. */
function readTail(name: string, read: Reader): string {
  try {
    const bytes = read(name, "U8", TAIL_BYTES);
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes).replace(/\0+$/, "");
  } catch (error) {
    if (error instanceof ModelError) throw error;
    throw new ModelError(mismatch(`${NAME}: ${name}`, "UTF-8 text", "bytes that are not"));
  }
}

/** The formats of the matrices, such as "bf16" or "bf16,f32"; `short`: "kept" for all that keep numbers as stored. */
export function dtypesOf({ plan }: Pick<Engine, "plan">, short = false): string {
  const matrices = plan.weights.filter(({ weight }) => weight.shape.length === 2 && !weight.dtype);
  return [...new Set(matrices.map(({ kept, dtype }) => (short && kept ? "kept" : dtype)))].sort().join();
}
