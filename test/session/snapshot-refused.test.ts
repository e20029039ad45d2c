/** What is no snapshot of this model is refused in one line that names the field, and takes no slot. */
import { afterAll, afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { ModelError } from "../../src/base/errors.ts";
import type { LoadOptions, Model } from "../../src/entry/index.ts";
import { changed, fieldsOf, put, reshaped, snapshotOf } from "./forge.ts";
import { BOS, failure, freeSlots, removeTemporary, small, WILD } from "./small.ts";

/** FUZZ_RUNS multiplies how often is damaged what is damaged at random. */
const RUNS = Number(process.env.FUZZ_RUNS ?? 1);
const SLOTS = 2;
setDefaultTimeout(60_000 * RUNS);

let model: Model;
let snapshot: Uint8Array<ArrayBuffer>;

/** A text of 25 tokens, the last of them chosen but not read. */
async function snapshotFrom(source: Model): Promise<Uint8Array<ArrayBuffer>> {
  using session = await source.session({ seed: 3 });
  await session.generate([BOS, 5, 6, 7, 8], { ...WILD, maxNewTokens: 20, ignoreEos: true }).text();
  return await session.snapshot();
}

beforeEach(async () => {
  model = await small("llama-gqa-tied", { maxSessions: SLOTS });
  snapshot = await snapshotFrom(model);
});
afterEach(async () => expect(await freeSlots(model)).toBe(SLOTS));
afterAll(removeTemporary);

const refusal = async (bytes: Uint8Array, by = model) => (await failure(ModelError, () => by.restore(bytes))).message;

test("10,000 damaged copies are refused", async () => {
  let state = 1;
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const { length } = snapshot;
  const header = 8 + Number(new DataView(snapshot.buffer).getBigUint64(0, true));
  const damages: Record<string, () => Uint8Array> = {
    "one byte": () => flip(random(length)),
    "one byte of the header": () => flip(random(header)),
    "one byte of the length or the checksum": () => flip(random(2) ? random(8) : length - 1 - random(8)),
    "some bytes": () => {
      const copy = snapshot.slice();
      for (let i = 2 + random(30); i > 0; i--) copy[random(length)] = random(256);
      return copy;
    },
    "a cut": () => snapshot.slice(0, random(2) ? random(length) : random(header + 8)),
    "a beginning that is missing": () => snapshot.slice(1 + random(length)),
    "bytes behind": () => {
      const longer = new Uint8Array(length + 1 + random(100));
      longer.set(snapshot);
      if (random(2)) longer.set(snapshot.subarray(0, longer.length - length), length);
      return longer;
    },
    "two ranges that changed places": () => {
      const size = 1 + random(300);
      const [a, b] = [random(length - size), random(length - size)];
      const copy = snapshot.slice();
      copy.copyWithin(a, b, b + size);
      copy.set(snapshot.subarray(a, a + size), b);
      return copy;
    },
    "a range of zeros": () => {
      const at = random(length);
      return snapshot.slice().fill(0, at, at + 1 + random(1000));
    },
  };
  const flip = (at: number) => {
    const copy = snapshot.slice();
    (copy[at] as number) ^= 1 << random(8);
    return copy;
  };
  const refused = Object.fromEntries(Object.keys(damages).map((kind) => [kind, 0]));
  const messages = new Set<string>();
  const kinds = Object.entries(damages);
  for (let run = 0; run < 10_000 * RUNS; ) {
    const [kind, damage] = kinds[random(kinds.length)] as (typeof kinds)[number];
    const bytes = damage();
    if (Buffer.compare(bytes, snapshot) === 0) continue;
    run++;
    const message = await refusal(bytes);
    if (!message.startsWith("snapshot: ") || message.length > 400) throw new Error(`${kind}: ${message}`);
    (refused[kind] as number)++;
    messages.add(message.replace(/\d+/g, "0"));
  }
  for (const count of Object.values(refused)) expect(count).toBeGreaterThan(900 * RUNS);
  expect(messages.size).toBeGreaterThan(100);
  using restored = await model.restore(snapshot);
  expect(restored.length).toBe(25);
});

test("distances of chosen tokens at which none was in the middle are refused", async () => {
  using recalling = await small("llama-gqa-tied", { nLocal: 32, recall: 3, recallLayers: [1], recallTokens: 30 });
  using session = await recalling.session({ seed: 1 });
  await session.append(Array.from({ length: 80 }, (_, i) => (i * i + 5) % 40));
  const taken = await session.snapshot();
  // Of the last token, number 79, which is in place 15 of 32 with 8 keys each.
  const runs = (distance: number) => changed(taken, "layers.1.runs", put(15 * 8, distance));
  for (const distance of [1, 31, 62, 3000, -1, 2 ** 31 - 1]) {
    const message = `snapshot: layers.1.runs: expected 0, or distances from 32 to 61, found ${distance}`;
    expect(await refusal(await runs(distance), recalling)).toBe(message);
  }
  for (const distance of [0, 32, 61]) (await recalling.restore(await runs(distance))).dispose();
});

test("bytes of every other kind are refused", async () => {
  for (const bytes of [0, 1, 7, 8, 16, 100].map((size) => new Uint8Array(size))) await refusal(bytes);
  await refusal(new TextEncoder().encode("{}"));
  await refusal(new TextEncoder().encode("version https://git-lfs.github.com/spec/v1\n"));
  expect(await refusal(await snapshotOf(fieldsOf(snapshot).slice(0, -1)))).toContain("checksum");
  expect(await refusal(await snapshotOf(fieldsOf(snapshot).reverse()))).toContain("checksum");
});

const others: [string, string, Parameters<typeof small>[0], LoadOptions, RegExp][] = [
  ["another model's", "model_hash", "llama-mha", {}, /expected [0-9a-f]{16}, found [0-9a-f]{16}$/],
  ["another family's", "model_hash", "gptj", {}, /expected [0-9a-f]{16}, found [0-9a-f]{16}$/],
  ["another policy's", "policy", "llama-gqa-tied", { attention: "window" }, /expected lambda .*, found window /],
  ["one of another nLocal", "policy", "llama-gqa-tied", { nLocal: 9, limit: 8 + 1 }, /nLocal 8.*, found .*nLocal 9/],
  ["one of another nGlobal", "policy", "llama-gqa-tied", { nGlobal: 2 }, /nGlobal 3.*, found .*nGlobal 2/],
  ["one of another limit", "policy", "llama-gqa-tied", { limit: 12 }, /limit 8.*, found .*limit 12/],
  ["one of other weights", "weight_dtype", "llama-gqa-tied", { dtype: "bf16" }, /expected f32, found bf16$/],
  ["one of another cache", "cache_dtype", "llama-gqa-tied", { cacheDtype: "int8" }, /expected f32, found int8$/],
];
test.each(others)("%s snapshot is refused by %s", async (_, field, fixture, options, expected) => {
  const message = await refusal(await snapshotFrom(await small(fixture, options)));
  expect(message).toStartWith(`snapshot: ${field}: `);
  expect(message).toMatch(expected);
});

/** progress: position, origin, pending, hasLogits, seed, counter. */
const [POSITION, ORIGIN, PENDING, HAS_LOGITS, SEED, COUNTER] = [0, 1, 2, 3, 4, 5];
const forged: [string, string, ReturnType<typeof put> | (() => undefined)][] = [
  ["a version of the future", "version", put(0, 3)],
  ["no version", "version", () => undefined],
  ["another cache dtype", "cache_dtype", put(0, ...new TextEncoder().encode("bf16"))],
  ["a policy that is none", "policy", put(0, 77)],
  ["a pending token beyond the vocabulary", "progress", put(PENDING, 1e9)],
  ["a pending token just beyond the vocabulary", "progress", put(PENDING, 61)],
  ["a pending token below -1", "progress", put(PENDING, -2)],
  ["a position before the origin", "progress", put(POSITION, 3, 4)],
  ["a negative position", "progress", put(POSITION, -5, -9)],
  ["a position above 2^53", "progress", put(POSITION, 2 ** 60)],
  ["a negative origin", "progress", put(ORIGIN, -1)],
  ["a flag of 2", "progress", put(HAS_LOGITS, 2)],
  ["a negative seed", "progress", put(SEED, -1)],
  ["a negative counter", "progress", put(COUNTER, -1)],
  ["a number too few", "progress", reshaped(5)],
  ["a number too many", "progress", reshaped(7)],
  ["progress of another type", "progress", (field) => ({ ...field, dtype: "U64" })],
  ["a recent id beyond the vocabulary", "recent", put(2, 61)],
  ["a recent id below -1", "recent", put(0, -2)],
  ["too few recent ids", "recent", reshaped(7)],
  ["too many recent ids", "recent", reshaped(9)],
  ["NaN logits", "logits", put(5, Number.NaN)],
  ["infinite logits", "logits", put(60, -Infinity)],
  ["logits of another shape", "logits", reshaped(60)],
  ["logits of another shape and as many bytes", "logits", (field) => ({ ...field, shape: [1, 61] })],
  ["logits of another type", "logits", (field) => ({ ...field, dtype: "I32" })],
  ["keys of another shape", "layers.1.kRing", reshaped(2, 9, 8)],
  ["keys of another order", "layers.0.kRing", reshaped(8, 2, 8)],
  ["no pinned values", "layers.1.vPinned", () => undefined],
  ["too long a stop-string tail", "text_tail", reshaped(300)],
  ["a stop-string tail that is not UTF-8", "text_tail", put(0, ...new Array(256).fill(0xff))],
  ["a text stream of another shape", "text_stream", reshaped(5)],
  ["a text stream that strips what it cannot", "text_stream", put(0, 7)],
  ["a text stream with a whole character", "text_stream", put(1, 65)],
  ["a text stream of no bytes", "text_stream", put(1, 1000)],
];
test.each(forged)("%s in a snapshot whose checksum is right: refused by %s", async (_, field, change) => {
  const message = await refusal(await changed(snapshot, field, change));
  expect(message).toStartWith("snapshot: ");
  expect(message).toContain(`${field}: `);
  expect(message).toMatch(/: expected .+, found .+/);
});

test("a position beyond maxPositions is refused under full attention", async () => {
  const full = await small("llama-gqa-tied", { attention: "full", maxPositions: 30 });
  const taken = await snapshotFrom(full);
  await changed(taken, "progress", put(POSITION, 30)).then(async (bytes) => (await full.restore(bytes)).dispose());
  expect(await refusal(await changed(taken, "progress", put(POSITION, 31)), full)).toContain("progress");
});

test("NaN keys, which no checksum tells, end in an error that names the position", async () => {
  using session = await model.restore(await changed(snapshot, "layers.0.vRing", put(8, Number.NaN)));
  const { message } = await failure(ModelError, () => session.generate(undefined, { maxNewTokens: 9 }).text());
  expect(message).toMatch(/^logits at position 24: expected finite numbers, found NaN/);
  expect(session.next()).rejects.toThrow("has no logits to choose from");
});

test("a good snapshot is refused while every slot is taken, and restored when one is free", async () => {
  const sessions = await Promise.all(Array.from({ length: SLOTS }, () => model.session()));
  expect(() => model.restore(snapshot)).toThrow("at most 2 open at once");
  for (const session of sessions) session.dispose();
  (await model.restore(snapshot)).dispose();
});
